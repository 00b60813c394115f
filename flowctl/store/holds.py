"""Holds: runs that are due, and wait until their conditions hold."""

from __future__ import annotations

from flowctl.core.model import HELD_AT
from flowctl.store.connection import Connection
from flowctl.store.queries import load

SQL = load("holds")


class Holds:
    """The held runs of one file. Writes belong inside `store.transaction()`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def held(self) -> list[int]:
        """Return the runs that are held, the oldest first."""
        return [row[0] for row in self._connection.rows(SQL["held"], {"held": HELD_AT})]

    def keep(self, run_id: int, reason: str) -> bool:
        """Record why a held run is held."""
        return bool(self._connection.change(SQL["keep"], {"run": run_id, "reason": reason, "held": HELD_AT}))

    def release(self, run_id: int) -> bool:
        """Let a held run begin. Returns False for one that is not held."""
        return bool(self._connection.change(SQL["release"], {"run": run_id, "held": HELD_AT}))
