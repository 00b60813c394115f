"""Retention: how long runs are kept, and the only deletions of what was recorded.

What is deleted goes in transactions of `pruning()`, a few rows at a time. A family whose deletion takes more than one
of them is marked in between: it is half gone, nobody may retry it, and the next one to prune goes on with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flowctl.core.keeping import Limits, Retained
from flowctl.store.connection import Connection
from flowctl.store.queries import load
from flowctl.store.search import Kind, Search

SQL = load("retention")
_BELOW = ("delete_logs", "delete_signals", "delete_attempts", "delete_steps", "delete_replaced", "delete_events")
_ROWS_BELOW = {name: SQL[name] for name in _BELOW}
_SEARCHED: dict[str, Kind] = {"delete_logs": "log", "delete_steps": "step", "delete_replaced": "step"}


class Retention:
    """Settings and deletions of one file. Deletions belong inside `pruning()`, other writes in `transaction()`."""

    def __init__(self, connection: Connection, search: Search) -> None:
        self._connection = connection
        self._search = search

    # -- settings

    def settings(self) -> list[Retained]:
        """Return the settings of every workflow that has its own."""
        return [Retained(*row) for row in self._connection.rows(SQL["settings"])]

    def setting(self, namespace: str, workflow: str) -> Retained | None:
        """Return the settings of a workflow, None when it has none of its own."""
        row = self._connection.row(SQL["setting"], {"namespace": namespace, "workflow": workflow})
        return None if row is None else Retained(*row)

    def set(self, settings: Retained, now: int) -> None:  # noqa: ARG002 - every write takes now
        """Give a workflow settings of its own."""
        self._connection.write(SQL["set"], settings._asdict())

    def reset(self, namespace: str, workflow: str) -> bool:
        """Leave a workflow to the defaults. Returns False when it had no settings."""
        return bool(self._connection.change(SQL["reset"], {"namespace": namespace, "workflow": workflow}))

    def pruned_at(self) -> int:
        """Return when the last pruning was finished, or else when the file was made."""
        return int(self._connection.value(SQL["pruned_at"]) or 0)

    def set_pruned_at(self, now: int) -> None:
        """Remember that a pruning was finished."""
        self._connection.write(SQL["set_pruned_at"], {"now": str(now)})

    # -- what is to go

    def workflows(self) -> Iterator[tuple[str, str]]:
        """Yield namespace and workflow of everything that has runs."""
        place = ("", "")
        while row := self._connection.row(SQL["next_workflow"], {"namespace": place[0], "workflow": place[1]}):
            place = (row[0], row[1])
            yield place

    def beyond(self, namespace: str, workflow: str, keep_runs: int) -> int | None:
        """Return the newest run that so many newer ones of its workflow leave no room for."""
        fields = {"namespace": namespace, "workflow": workflow, "keep_runs": keep_runs}
        found = self._connection.value(SQL["beyond"], fields)
        return None if found is None else int(found)

    def walk(
        self, place: tuple[str, str], limits: Limits, beyond: int | None, after: int, limit: int
    ) -> list[tuple[int, bool]]:
        """Return the next families of a workflow by the run at their top, and whether each is to go."""
        fields = {"namespace": place[0], "workflow": place[1], **limits._asdict()}
        rows = self._connection.rows(SQL["walk"], fields | {"beyond": beyond, "after": after, "limit": limit})
        return [(row[0], bool(row[1])) for row in rows]

    def members(self, root_id: int) -> list[int]:
        """Return the runs below the one at the top of a family, parents before children."""
        return [row[0] for row in self._connection.rows(SQL["members"], {"run": root_id})]

    def marked(self) -> int | None:
        """Return the family that is half gone."""
        found = self._connection.value(SQL["marked"])
        return None if found is None else int(found)

    # -- deletions

    @contextmanager
    def pruning(self) -> Iterator[None]:
        """Delete in one transaction.

        Foreign keys are not looked after: for each run that goes SQLite would scan all steps. So children go first.
        """
        self._connection.rows("PRAGMA foreign_keys = OFF")
        try:
            with self._connection.transaction():
                self._connection.write(SQL["allow"])
                yield
                self._search.lower_marks()
                self._connection.write(SQL["forbid"])
        finally:
            self._connection.rows("PRAGMA foreign_keys = ON")

    def may_go(self, root_id: int) -> bool:
        """Tell whether a family is still there, and still idle."""
        return self._connection.row(SQL["gone_or_busy"], {"run": root_id}) is None

    def mark(self, root_id: int) -> None:
        """Say that a family is half gone."""
        self._connection.write(SQL["mark"], {"run": str(root_id)})

    def unmark(self) -> None:
        """Say that no family is half gone."""
        self._connection.write(SQL["unmark"])

    def delete_run(self, run_id: int, limit: int) -> bool:
        """Delete at most so many rows below a run, and the run itself when none is left. Tell whether it is gone."""
        for name, sql in _ROWS_BELOW.items():
            gone = self._connection.write(sql, {"run": run_id, "limit": limit})
            if name in _SEARCHED:
                self._search.forget(_SEARCHED[name], [row[0] for row in gone])
            limit -= len(gone)
            if limit <= 0:
                return False
        self._search.forget("run", [run_id])
        self._connection.change(SQL["delete_run"], {"run": run_id})
        return True

    def schedules(self) -> list[int]:
        """Return the schedules, whose slots are pruned one by one."""
        return [row[0] for row in self._connection.rows(SQL["schedules"])]

    def delete_slots(self, schedule_id: int, newest: int, before: int, limit: int) -> int:
        """Delete slots that are older than an instant, or not among the newest; return how many."""
        fields = {"schedule": schedule_id, "newest": newest, "before": before, "limit": limit}
        return self._connection.change(SQL["delete_slots"], fields)

    def delete_starts(self, now: int, limit: int) -> int:
        """Delete what no rate limit counts any more; return how many."""
        return self._connection.change(SQL["delete_starts"], {"now": now, "limit": limit})

    def delete_notices(self, before: int, limit: int) -> int:
        """Delete messages that were sent, or given up; return how many."""
        return self._connection.change(SQL["delete_notices"], {"before": before, "limit": limit})

    def delete_notes(self, before: int, limit: int) -> int:
        """Delete lines of the audit log about other subjects than runs; return how many."""
        return self._connection.change(SQL["delete_notes"], {"before": before, "limit": limit})

    def delete_engines(self, before: int, limit: int) -> int:
        """Delete engines that have stopped before an instant; return how many."""
        return self._connection.change(SQL["delete_engines"], {"before": before, "limit": limit})

    def give_back(self, pages: int) -> int:
        """Give free pages at the end of the file back to the disk; return how many are left to give.

        A file that was made before this was possible keeps them for its own use.
        """
        if self._connection.value("PRAGMA auto_vacuum") != 2:
            return 0
        self._connection.rows(f"PRAGMA incremental_vacuum({pages})")
        return int(self._connection.value("PRAGMA freelist_count"))
