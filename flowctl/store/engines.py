"""Engines: the processes that decide, alive or not. Whether one is alive is told by its lock, not by its row."""

from __future__ import annotations

import json

from flowctl.core.model import EngineRow, NewEngine
from flowctl.store.connection import Connection, Row
from flowctl.store.payloads import read_column
from flowctl.store.queries import load

SQL = load("engines")


class Engines:
    """The engines of one file. Writes belong inside `store.transaction()`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def start(self, new: NewEngine, now: int) -> int:
        """Record an engine and return its number."""
        fields = new._asdict() | {"labels": json.dumps(new.labels), "now": now}
        fields["queues"] = None if new.queues is None else json.dumps(new.queues)
        return int(self._connection.write(SQL["start"], fields)[0][0])

    def stop(self, engine_id: int, now: int) -> None:
        """Record that an engine has stopped, or was found dead."""
        self._connection.write(SQL["stop"], {"id": engine_id, "now": now})

    def running(self) -> list[EngineRow]:
        """Return the engines that have not stopped, as far as the file knows."""
        return [_engine(row) for row in self._connection.rows(SQL["running"])]

    def get(self, engine_id: int) -> EngineRow | None:
        """Return an engine, or None."""
        row = self._connection.row(SQL["get"], {"id": engine_id})
        return None if row is None else _engine(row)


def _engine(row: Row) -> EngineRow:
    fields = list(row)
    fields[7] = read_column(row[7], list, f"labels of engine {row[0]}")
    fields[8] = None if row[8] is None else read_column(row[8], list, f"queues of engine {row[0]}")
    return EngineRow(*fields)
