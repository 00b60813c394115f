"""Engines: the processes that decide, alive or not. Whether one is alive is told by its lock, not by its row."""

from __future__ import annotations

from typing import Literal

from flowctl.core.model import EngineRow
from flowctl.store.connection import Connection
from flowctl.store.queries import load

SQL = load("engines")


class Engines:
    """The engines of one file. Writes belong inside `store.transaction()`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def start(self, token: str, kind: Literal["foreground", "daemon"], pid: int, boot_id: str, now: int) -> int:
        """Record an engine and return its number."""
        fields = {"token": token, "kind": kind, "pid": pid, "boot_id": boot_id, "now": now}
        return int(self._connection.write(SQL["start"], fields)[0][0])

    def stop(self, engine_id: int, now: int) -> None:
        """Record that an engine has stopped, or was found dead."""
        self._connection.write(SQL["stop"], {"id": engine_id, "now": now})

    def running(self) -> list[EngineRow]:
        """Return the engines that have not stopped, as far as the file knows."""
        return [EngineRow(*row) for row in self._connection.rows(SQL["running"])]

    def get(self, engine_id: int) -> EngineRow | None:
        """Return an engine, or None."""
        row = self._connection.row(SQL["get"], {"id": engine_id})
        return None if row is None else EngineRow(*row)
