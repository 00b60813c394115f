"""What it takes to say why something has not happened, or has."""

from __future__ import annotations

from flowctl.core.model import Run, Slot
from flowctl.store.connection import Connection
from flowctl.store.queries import load

SQL = load("why")


class Evidence:
    """Questions about one file that only `flowctl why` asks."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def running_in(self, namespace: str, queue: str) -> list[int]:
        """Return the runs of a queue that engines hold."""
        rows = self._connection.rows(SQL["running_in"], {"namespace": namespace, "queue": queue})
        return [row[0] for row in rows]

    def running(self) -> int:
        """Return how many runs engines hold."""
        return int(self._connection.value(SQL["all_running"]))

    def ready(self) -> list[int]:
        """Return of each queue the run that has been ready for the longest."""
        return [row[0] for row in self._connection.rows(SQL["ready"])]

    def ahead(self, run: Run) -> int:
        """Return how many runs are ready that are claimed before this one."""
        return int(self._connection.value(SQL["ahead"], {"priority": run.priority, "run": run.id}))

    def slot_from(self, schedule_id: int, instant: int) -> Slot | None:
        """Return the first recorded slot at or after an instant."""
        return self._slot("slot_from", schedule_id, instant)

    def slot_before(self, schedule_id: int, instant: int) -> Slot | None:
        """Return the last recorded slot before an instant."""
        return self._slot("slot_before", schedule_id, instant)

    def _slot(self, name: str, schedule_id: int, instant: int) -> Slot | None:
        row = self._connection.row(SQL[name], {"schedule": schedule_id, "instant": instant})
        return None if row is None else Slot(*row)
