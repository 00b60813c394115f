"""Queues: the limits of named lanes. A queue without a row has none."""

from __future__ import annotations

from flowctl.core.model import Queue
from flowctl.store.connection import Connection
from flowctl.store.queries import load
from flowctl.store.runs import Due

SQL = load("queues")


class Queues:
    """The queues of one file that have limits. Writes belong inside `store.transaction()`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def all(self) -> list[Queue]:
        """Return every queue with limits."""
        return [Queue(*row) for row in self._connection.rows(SQL["all"])]

    def set(self, queue: Queue, now: int) -> None:
        """Give a queue these limits."""
        self._connection.write(SQL["set"], queue._asdict() | {"now": now})

    def remove(self, namespace: str, name: str) -> bool:
        """Take the limits of a queue away. Returns False when it had none."""
        return bool(self._connection.change(SQL["remove"], {"namespace": namespace, "name": name}))

    def begin(self, run: Due, rate_ms: int, now: int) -> None:
        """Count a run that begins in a queue with a rate limit, and forget those that count no more."""
        queue = {"namespace": run.namespace, "queue": run.queue}
        self._connection.write(SQL["begin"], queue | {"run": run.id, "now": now})
        self._connection.change(SQL["forget"], queue | {"until": now - rate_ms})

    def starts(self, queue: Queue, since: int) -> list[int]:
        """Return when runs began in a queue with a rate limit after an instant, the oldest first."""
        parameters = {"namespace": queue.namespace, "queue": queue.name, "since": since}
        return [row[0] for row in self._connection.rows(SQL["starts"], parameters)]
