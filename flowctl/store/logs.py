"""Logs: what user code printed and logged."""

from __future__ import annotations

from typing import Literal

from flowctl.core.model import LogLine
from flowctl.store.connection import Connection
from flowctl.store.queries import load

SQL = load("logs")


class Logs:
    """The captured output of one file's runs. Writes belong inside `store.transaction()`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def append(
        self,
        run_id: int,
        step: str | None,
        attempt: int | None,
        at: int,
        stream: Literal["stdout", "stderr", "log"],
        level: str | None,
        text: str,
    ) -> int:
        """Store a captured chunk and return its number. What is not UTF-8 is stored as `\\udc80` and the like."""
        fields = {"run": run_id, "step": step, "attempt": attempt, "at": at, "stream": stream, "level": level}
        storable = text.encode(errors="backslashreplace").decode()
        return int(self._connection.write(SQL["append"], fields | {"text": storable})[0][0])

    def of_run(
        self, run_id: int, step: str | None = None, after_id: int = 0, limit: int | None = None
    ) -> list[LogLine]:
        """Return the chunks of a run, or of one of its steps, in the order in which they were captured."""
        parameters = {"run": run_id, "step": step, "after": after_id, "limit": -1 if limit is None else limit}
        return [LogLine(*row) for row in self._connection.rows(SQL["of_run"], parameters)]

    def before(self, run_id: int, step: str | None, before_id: int, limit: int) -> list[LogLine]:
        """Return the last chunks with a smaller number, the oldest of them first."""
        parameters = {"run": run_id, "step": step, "before": before_id, "limit": limit}
        return [LogLine(*row) for row in reversed(self._connection.rows(SQL["before"], parameters))]
