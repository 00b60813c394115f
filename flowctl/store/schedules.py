"""Schedules: the rules that create runs, and the ledger of what became of each of their slots."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from flowctl.core.errors import Conflict, NotFound
from flowctl.core.model import NewSchedule, RunState, Schedule, Slot, SlotGroup
from flowctl.store.connection import Connection, Row
from flowctl.store.payloads import read_column
from flowctl.store.queries import load

SQL = load("schedules")
LAST_MS = 2**53
_BACK = 200  # of the newest runs, how many more are looked at than are asked for: cancelled ones say nothing


class DueSchedule(NamedTuple):
    """A schedule with a slot that is due; `at` is that slot, or what is planned already where none is."""

    id: int
    namespace: str
    name: str
    at: int


class ChangeSchedule(NamedTuple):
    """A schedule that waits for files to change; `files` is how they looked when a slot was last made of that."""

    id: int
    namespace: str
    name: str
    expression: str
    debounce_ms: int
    files: str | None


class ActiveRun(NamedTuple):
    """A run of a schedule that is not final. With `after_id` it waits for another one of it."""

    id: int
    state: RunState
    after_id: int | None


class Schedules:
    """The schedules of one file, and their slots. Writes belong inside `store.transaction()`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # -- what a person has asked for

    def add(self, new: NewSchedule, now: int, *, planned_to: int, next_at: int | None) -> Schedule:
        """Make a schedule whose slots count after `planned_to`. Raises Conflict for a name that is taken."""
        if self.find(new.namespace, new.name) is not None:
            raise Conflict(f"there is a schedule {new.name} already", f"flowctl schedules update {new.name}")
        fields = _fields(new) | {"now": now, "planned_to": planned_to, "next_at": next_at}
        return _schedule(self._connection.write(SQL["add"], fields)[0])

    def update(self, new: NewSchedule, now: int) -> Schedule:
        """Change a schedule into this one; its slots, its pause and what is planned stay. Raises NotFound."""
        rows = self._connection.write(SQL["update"], _fields(new) | {"now": now})
        if not rows:
            raise self._unknown(new.namespace, new.name)
        return _schedule(rows[0])

    def remove(self, schedule: Schedule) -> None:
        """Delete a schedule and its slots; its runs stay."""
        self._connection.write(SQL["remove"], {"schedule": schedule.id})
        self._connection.write(SQL["forget"], {"schedule": schedule.id})

    def pause(self, schedule_id: int, now: int, reason: str) -> None:
        """Pause a schedule: its slots are recorded and skipped."""
        self._connection.write(SQL["pause"], {"schedule": schedule_id, "now": now, "reason": reason})

    def resume(self, schedule_id: int, now: int) -> bool:
        """Let a paused schedule go on. Returns False when it was not paused."""
        return bool(self._connection.change(SQL["resume"], {"schedule": schedule_id, "now": now}))

    # -- questions

    def read(self, schedule_id: int) -> Schedule | None:
        """Return the schedule with that id, None when it is gone."""
        row = self._connection.row(SQL["get"], {"schedule": schedule_id})
        return None if row is None else _schedule(row)

    def find(self, namespace: str, name: str) -> Schedule | None:
        """Return the schedule with that name, or None."""
        row = self._connection.row(SQL["find"], {"namespace": namespace, "name": name})
        return None if row is None else _schedule(row)

    def get(self, namespace: str, name: str) -> Schedule:
        """Return the schedule with that name. Raises NotFound with a name that is close."""
        found = self.find(namespace, name)
        if found is None:
            raise self._unknown(namespace, name)
        return found

    def all(self, namespace: str) -> list[Schedule]:
        """Return the schedules of a namespace by name."""
        return [_schedule(row) for row in self._connection.rows(SQL["all"], {"namespace": namespace})]

    # -- planning

    def due(self, now: int, limit: int) -> list[DueSchedule]:
        """Return the schedules that have a slot up to now which is not planned, the longest overdue first."""
        return [DueSchedule(*row) for row in self._connection.rows(SQL["due"], {"now": now, "limit": limit})]

    def next_due_at(self) -> int | None:
        """Return the instant of the next slot of all schedules, None when there is none."""
        found = self._connection.value(SQL["next_due_at"])
        return None if found is None else int(found)

    def last_fire_at(self) -> int | None:
        """Return the instant of the latest slot of all schedules that fired, None before the first."""
        found = self._connection.value(SQL["last_fire"])
        return None if found is None else int(found)

    def reboots(self) -> list[DueSchedule]:
        """Return the schedules that a boot of the machine makes due."""
        return [DueSchedule(*row) for row in self._connection.rows(SQL["reboots"])]

    def booted(self, schedule_id: int) -> str | None:
        """Return the boot for which an `@reboot` schedule has fired."""
        boot: str | None = self._connection.value(SQL["booted"], {"schedule": schedule_id})
        return boot

    def set_booted(self, schedule_id: int, boot: str) -> None:
        """Record the boot for which an `@reboot` schedule has fired."""
        self._connection.write(SQL["set_booted"], {"schedule": schedule_id, "boot": boot})

    def changes(self) -> list[ChangeSchedule]:
        """Return the schedules that files make due."""
        return [ChangeSchedule(*row) for row in self._connection.rows(SQL["changes"])]

    def files(self, schedule_id: int) -> str | None:
        """Return how the files of a schedule looked when a slot was last made of their change."""
        files: str | None = self._connection.value(SQL["files"], {"schedule": schedule_id})
        return files

    def set_files(self, schedule_id: int, files: str) -> None:
        """Record how the files of a schedule look."""
        self._connection.write(SQL["set_files"], {"schedule": schedule_id, "files": files})

    def local(self) -> list[DueSchedule]:
        """Return the schedules that follow the machine's own time zone."""
        return [DueSchedule(*row) for row in self._connection.rows(SQL["local"])]

    def local_zone(self) -> str | None:
        """Return the machine's time zone as it was when schedules were planned last."""
        zone: str | None = self._connection.value(SQL["local_zone"])
        return zone

    def set_local_zone(self, zone: str) -> None:
        """Record the machine's time zone."""
        self._connection.write(SQL["set_local_zone"], {"zone": zone})

    def advance(self, schedule_id: int, planned_to: int, next_at: int | None) -> None:
        """Record up to which instant the slots have their rows, and when the next one is due."""
        fields = {"schedule": schedule_id, "planned_to": planned_to, "next_at": next_at}
        self._connection.write(SQL["advance"], fields)

    def active(self, namespace: str, name: str) -> list[ActiveRun]:
        """Return the runs of a schedule that are not final, the oldest first."""
        rows = self._connection.rows(SQL["active"], {"namespace": namespace, "name": name})
        return [ActiveRun(*row) for row in rows]

    def outcomes(self, schedule: Schedule, since: int, limit: int) -> list[RunState]:
        """Return how the newest runs that were made since an instant have ended: succeeded or failed, newest first."""
        names = {"namespace": schedule.namespace, "name": schedule.name}
        rows = self._connection.rows(SQL["outcomes"], names | {"since": since, "newest": limit + _BACK})
        return [row[1] for row in rows[:limit]]

    def last_start(self, schedule: Schedule) -> int | None:
        """Return the slot of the newest run, or when it was made if it was outside the rhythm."""
        names = {"namespace": schedule.namespace, "name": schedule.name}
        found = self._connection.value(SQL["last_start"], names)
        return None if found is None else int(found)

    # -- the ledger

    def record(self, schedule_id: int, group: SlotGroup, now: int) -> None:
        """Write what became of slots, one row each."""
        fields = {"outcome": group.outcome, "reason": group.reason, "run": group.run_id, "now": now}
        self._connection.write(SQL["record"], fields | {"schedule": schedule_id, "due": json.dumps(group.due)})

    def fill(self, slot: Slot) -> None:
        """Write that a slot has fired after all, whatever its row said."""
        self._connection.write(SQL["fill"], slot._asdict())

    def slots(self, schedule_id: int, *, limit: int, since: int = 0, before: int = LAST_MS) -> list[Slot]:
        """Return what became of slots, the newest first."""
        parameters = {"schedule": schedule_id, "since": since, "before": before, "limit": limit}
        return [Slot(*row) for row in self._connection.rows(SQL["slots"], parameters)]

    def slot_times(self, schedule_id: int) -> list[int]:
        """Return the instants of all slots in the ledger, the newest first: 100,000 of them are one short read."""
        return [row[0] for row in self._connection.rows(SQL["slot_times"], {"schedule": schedule_id})]

    def fired(self, schedule_id: int, since: int, until: int) -> list[int]:
        """Return the slots of a span, its ends included, that have a run of their own."""
        parameters = {"schedule": schedule_id, "since": since, "until": until}
        return [row[0] for row in self._connection.rows(SQL["fired"], parameters)]

    # -- parts

    def _unknown(self, namespace: str, name: str) -> NotFound:
        names = [row[0] for row in self._connection.rows(SQL["names"], {"namespace": namespace})]
        import difflib

        near = difflib.get_close_matches(name, names, n=1)
        shown = name if name.isprintable() and name else repr(name)
        hint = f"did you mean {near[0]}?" if near else "flowctl schedules list"
        return NotFound(f"there is no schedule {shown[:100]}", hint)


def _fields(new: NewSchedule) -> dict[str, Any]:
    return new._asdict() | {"options": json.dumps(new.options, ensure_ascii=False)}


def _schedule(row: Row) -> Schedule:
    fields = list(row)
    fields[16] = read_column(row[16], dict, f"options of schedule {row[2]}")
    return Schedule(*fields)
