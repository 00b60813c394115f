"""Metrics: counts over the whole file, for `flowctl metrics`."""

from __future__ import annotations

from flowctl.store.connection import Connection, Row
from flowctl.store.queries import load

SQL = load("metrics")
BUCKETS_MS = (100, 500, 1_000, 5_000, 15_000, 60_000, 300_000, 900_000, 3_600_000, 14_400_000, 86_400_000)


class Metrics:
    """Counts over one file, read in one snapshot of it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def runs(self) -> list[Row]:
        """Return namespace, workflow, state, and how many runs."""
        return self._connection.rows(SQL["runs"])

    def durations(self) -> list[Row]:
        """Return namespace, workflow, place in BUCKETS_MS, how many runs took so long, and their milliseconds."""
        return self._connection.rows(SQL["durations"])

    def waits(self) -> list[Row]:
        """Return namespace, workflow, place in BUCKETS_MS, how many runs began so late, and their milliseconds."""
        return self._connection.rows(SQL["waits"])

    def attempts(self) -> list[Row]:
        """Return outcome, and how many attempts of steps had it."""
        return self._connection.rows(SQL["attempts"])

    def queues(self) -> list[Row]:
        """Return namespace, queue, how many runs are ready in it, and since when the oldest is."""
        return self._connection.rows(SQL["queues"])

    def schedules(self) -> list[Row]:
        """Return namespace, name and the instant of the next slot of every schedule that has one."""
        return self._connection.rows(SQL["schedules"])

    def slots(self) -> list[Row]:
        """Return namespace, schedule, outcome, and how many slots had it."""
        return self._connection.rows(SQL["slots"])
