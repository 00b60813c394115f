"""Events: the audit log. Triggers write it; here it is only read."""

from __future__ import annotations

from flowctl.core.model import Event
from flowctl.store.connection import Connection
from flowctl.store.queries import load

SQL = load("events")


class Events:
    """The audit log of one file."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of_run(self, run_id: int) -> list[Event]:
        """Return every change of a run's state, the oldest first."""
        return [Event(*row) for row in self._connection.rows(SQL["of_run"], {"run": run_id})]

    def attempt_began(self, run_id: int, attempt: int) -> int | None:
        """Return when an attempt of a run was first worked on, None if it was not yet."""
        found = self._connection.value(SQL["attempt_began"], {"run": run_id, "attempt": attempt})
        return None if found is None else int(found)
