"""What happened last: the newest slots and runs of many schedules or workflows, in one question."""

from __future__ import annotations

import json
from collections.abc import Iterable

from flowctl.core.model import Slot
from flowctl.store.connection import Connection
from flowctl.store.queries import load

SQL = load("recent")


class Recent:
    """Questions about one file that an overview asks."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def slots(self, schedules: Iterable[int], limit: int) -> dict[int, list[Slot]]:
        """Return the newest slots of each schedule, the newest first; nothing of one that had none yet."""
        found: dict[int, list[Slot]] = {}
        asked = {"schedules": json.dumps(list(schedules)), "more": limit - 1}
        for row in self._connection.rows(SQL["slots"], asked):
            found.setdefault(row[0], []).append(Slot(*row))
        return found

    def runs_of_workflows(self, namespace: str, names: Iterable[str], limit: int) -> dict[str, list[int]]:
        """Return the numbers of the newest runs of each workflow, the newest first; nothing of one that never ran."""
        found: dict[str, list[int]] = {}
        asked = {"namespace": namespace, "workflows": json.dumps(list(names)), "more": limit - 1}
        for name, number in self._connection.rows(SQL["runs_of_workflows"], asked):
            found.setdefault(name, []).append(number)
        return found

    def run_of_schedules(self, namespace: str, names: Iterable[str]) -> dict[str, int]:
        """Return the number of the newest run of each schedule; nothing of one that made none."""
        asked = {"namespace": namespace, "schedules": json.dumps(list(names))}
        rows = self._connection.rows(SQL["run_of_schedules"], asked)
        return {name: number for name, number in rows if number is not None}
