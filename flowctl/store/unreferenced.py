"""What no row refers to any more: large payloads, snapshots, their sources, captured environments.

No index leads from a payload to the rows that refer to it, so all rows are walked, a page at a time while others
write. Whatever they may have changed meanwhile is read again inside the transaction that deletes: the runs with newer
events, the newer steps, and those that were not finished when they were passed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import chain

from flowctl.store.connection import Connection, Row
from flowctl.store.queries import load

SQL = load("unreferenced")
_PAGE = 1_000


class Unreferenced:
    """One search. Nobody else may delete runs or steps between `walk` and `delete`: their numbers would be reused."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        row = connection.row(SQL["newest"])
        self._event, self._step, self._environment = (each or 0 for each in row or (0, 0, 0))
        self._used: set[str] = set()  # hashes of all four kinds
        self._unfinished: list[int] = []

    def walk(self) -> Iterator[None]:
        """Read everything that refers, a page at each turn."""
        after = 0
        while rows := self._connection.rows(SQL["runs"], {"after": after, "limit": _PAGE}):
            self._use(rows, 1)
            after = rows[-1][0]
            yield
        after = 0
        while rows := self._connection.rows(SQL["steps"], {"after": after, "limit": _PAGE}):
            self._use(rows, 2)
            self._unfinished += [row[0] for row in rows if row[1]]
            after = rows[-1][0]
            yield
        place: Row = (0, "", 0)
        while rows := self._connection.rows(
            SQL["attempts"], {"run": place[0], "key": place[1], "attempt": place[2], "limit": _PAGE}
        ):
            self._use(rows, 3)
            place = rows[-1][:3]
            yield

    def delete(self, until: Callable[[], bool]) -> bool:
        """Delete what nothing refers to until told to stop. Tell whether all of it is gone. Inside `pruning()`."""
        self._read_changes()
        for found, delete in (
            ("payloads", "delete_payload"),
            ("snapshots", "delete_snapshot"),
            ("environments", "delete_environment"),
            ("sources", "delete_source"),  # after the snapshots
        ):
            for (digest,) in self._connection.rows(SQL[found], {"environment": self._environment}):
                if digest in self._used:
                    continue
                if until():
                    return False
                self._connection.change(SQL[delete], {"hash": digest})
        return True

    def _read_changes(self) -> None:
        since = {"step": self._step, "unfinished": json.dumps(self._unfinished)}
        self._use(self._connection.rows(SQL["others"]), 0)
        self._use(self._connection.rows(SQL["changed_runs"], {"event": self._event}), 1)
        self._use(self._connection.rows(SQL["changed_steps"], since), 2)
        self._use(self._connection.rows(SQL["changed_attempts"], since), 3)

    def _use(self, rows: list[Row], first: int) -> None:
        self._used.update(filter(None, chain.from_iterable(row[first:] for row in rows)))
