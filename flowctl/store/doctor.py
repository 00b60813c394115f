"""What `flowctl doctor` asks of the file, and the one thing of a schedule that it may put right."""

from __future__ import annotations

from typing import NamedTuple

from flowctl.core.model import Schedule
from flowctl.store.connection import Connection
from flowctl.store.payloads import read_column
from flowctl.store.queries import load

SQL = load("doctor")


class Elsewhere(NamedTuple):
    """An engine of another boot, or of another machine."""

    id: int
    pid: int
    started_at: int
    stopped_at: int | None


class Doctor:
    """Questions about one file."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def schedules(self) -> list[Schedule]:
        """Return the schedules of all namespaces."""
        found = []
        for row in self._connection.rows(SQL["schedules"]):
            fields = list(row)
            fields[16] = read_column(row[16], dict, f"options of schedule {row[2]}")
            found.append(Schedule(*fields))
        return found

    def last_slot(self, schedule_id: int) -> int | None:
        """Return the last slot of a schedule that was decided."""
        found = self._connection.value(SQL["last_slot"], {"schedule": schedule_id})
        return None if found is None else int(found)

    def rearm(self, schedule_id: int, next_at: int | None) -> None:
        """Say when the next slot of a schedule is. Inside a transaction."""
        self._connection.write(SQL["rearm"], {"schedule": schedule_id, "next_at": next_at})

    def elsewhere(self, boot: str, since: int) -> Elsewhere | None:
        """Return the newest engine that was started since an instant under another boot."""
        row = self._connection.row(SQL["elsewhere"], {"boot": boot, "since": since})
        return None if row is None else Elsewhere(*row)

    def machine(self) -> str | None:
        """Return what stands for the machine that made the file, None when that is not known."""
        found: str | None = self._connection.value(SQL["machine"])
        return found or None
