"""Queues: the limits of named lanes. A queue without a row has none."""

from __future__ import annotations

from typing import NamedTuple

from flowctl.core.model import Queue
from flowctl.store.connection import Connection
from flowctl.store.queries import load
from flowctl.store.runs import Due

SQL = load("queues")


class Load(NamedTuple):
    """How many runs of a queue run, and how many could begin."""

    queue: str
    running: int
    queued: int
    oldest_at: int | None  # since when the first of these waits


class Queues:
    """The queues of one file that have limits. Writes belong inside `store.transaction()`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def all(self) -> list[Queue]:
        """Return every queue with limits."""
        return [Queue(*row) for row in self._connection.rows(SQL["all"])]

    def find(self, namespace: str, name: str) -> Queue | None:
        """Return a queue, None when it has no limits."""
        row = self._connection.row(SQL["find"], {"namespace": namespace, "name": name})
        return None if row is None else Queue(*row)

    def set(self, queue: Queue, now: int) -> None:
        """Give a queue these limits."""
        self._connection.write(SQL["set"], queue._asdict() | {"now": now})

    def remove(self, namespace: str, name: str) -> bool:
        """Take the limits of a queue away. Returns False when it had none."""
        return bool(self._connection.change(SQL["remove"], {"namespace": namespace, "name": name}))

    def loads(self, namespace: str, now: int) -> list[Load]:
        """Return what is in each queue that has runs which are not final."""
        return [Load(*row) for row in self._connection.rows(SQL["loads"], {"namespace": namespace, "now": now})]

    def begin(self, run: Due, rate_ms: int, now: int) -> None:
        """Count a run that begins in a queue with a rate limit, and forget those that count no more."""
        lane = {"namespace": run.namespace, "queue": run.queue}
        self._connection.write(SQL["begin"], lane | {"run": run.id, "now": now})
        self._connection.change(SQL["forget"], lane | {"since": now - rate_ms, "until": now + rate_ms})

    def starts(self, queue: Queue, rate_ms: int, now: int) -> int:
        """Return how many runs have begun in a queue within the last so many milliseconds.

        One that began in the future, as other engines read the clock later, counts too; one that lies further ahead
        than the period does not: the clock was set back.
        """
        window = {"since": now - rate_ms, "until": now + rate_ms}
        return int(self._connection.value(SQL["starts"], _lane(queue) | window))

    def nth_start(self, queue: Queue, number: int, until: int) -> int | None:
        """Return when the latest run but so many began in a queue, 1 for the latest. None when it has no such."""
        found = self._connection.value(SQL["nth_start"], _lane(queue) | {"number": number, "until": until})
        return None if found is None else int(found)


def _lane(queue: Queue) -> dict[str, str | int]:
    return {"namespace": queue.namespace, "queue": queue.name}
