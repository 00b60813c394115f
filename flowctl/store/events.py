"""Events: the audit log. Triggers write the lines of runs; those of other subjects are written here."""

from __future__ import annotations

from flowctl.core.listing import EventFilter
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

    def note(self, subject: str, text: str, now: int) -> None:
        """Write what happened to a subject that is not a run: "machine", "daemon", "schedule nightly"."""
        self._connection.write(SQL["note"], {"now": now, "subject": subject, "text": text})

    def of_subject(self, subject: str, since: int = 0) -> list[Event]:
        """Return what happened to a subject since an instant, the oldest first."""
        return [Event(*row) for row in self._connection.rows(SQL["of_subject"], {"subject": subject, "since": since})]

    def find(self, filter: EventFilter) -> list[Event]:
        """Return the newest lines that a filter means, the oldest of them first."""
        fields = filter._asdict()
        if filter.run is not None:
            sql = SQL["find_run"]
        else:
            sql = SQL["find"] if filter.subject is None else SQL["find_subject"]
        return [Event(*row) for row in reversed(self._connection.rows(sql, fields))]
