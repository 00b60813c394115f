"""Which due runs may begin now: by priority and then age, within the limits of their queues.

Everything is counted from the rows, inside the transaction that claims: a limit holds whatever died, and however many
engines share the file.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from flowctl.core.model import Queue
from flowctl.store import Store
from flowctl.store.runs import Due, Reach

Lane = tuple[str, str]  # (namespace, queue)


def count_start(store: Store, run: Due, now: int) -> None:
    """Count a run that was claimed, where its queue has a rate limit."""
    for queue in store.queues.all():
        if queue.rate_ms is not None and (queue.namespace, queue.name) == (run.namespace, run.queue):
            store.queues.begin(run, queue.rate_ms, now)


class Admission:
    """How much room the queues with limits have; each run that is chosen takes some."""

    def __init__(self, store: Store, now: int) -> None:
        self._store = store
        self._now = now
        self._queues = {(queue.namespace, queue.name): queue for queue in store.queues.all()}
        self.opens_at: int | None = None  # when a rate limit lets another run begin
        running = store.runs.running() if self._queues else []
        held = Counter((run.namespace, run.queue) for run in running)
        self._room = {lane: self._room_of(queue, held[lane]) for lane, queue in self._queues.items()}
        self._keys = Counter(self._key(run) for run in running)

    def choose(self, reach: Reach, count: int, skip: set[int]) -> list[int]:
        """Return at most so many runs that may begin now, none of those to skip."""
        chosen: list[int] = []
        seen = set(skip)
        while len(chosen) < count:
            limit = count + 2 * len(seen)
            rows = self._store.runs.claimable(self._now, reach._replace(full=self._full()), limit=limit)
            fresh = [run for run in rows if run.id not in seen]
            chosen += [run.id for run in fresh if len(chosen) < count and self._admits(run)]
            if not fresh or not self._queues:
                break
            seen.update(run.id for run in fresh)
        return chosen[:count]

    def _full(self) -> frozenset[Lane]:
        """Return the queues in which no further run may begin now."""
        return frozenset(lane for lane, room in self._room.items() if room is not None and room <= 0)

    def _admits(self, run: Due) -> bool:
        """Tell whether a run may begin, and take its place if so."""
        lane = (run.namespace, run.queue)
        queue = self._queues.get(lane)
        if queue is None:
            return True
        room, key = self._room[lane], self._key(run)
        if (room is not None and room <= 0) or (
            key is not None and queue.key_limit is not None and self._keys[key] >= queue.key_limit
        ):
            return False
        self._room[lane] = None if room is None else room - 1
        self._keys[key] += 1
        return True

    def _room_of(self, queue: Queue, held: int) -> int | None:
        """Return how many more runs of a queue may begin now, None for any number."""
        if queue.paused_at is not None:
            return 0
        rooms = [] if queue.concurrency is None else [queue.concurrency - held]
        if queue.rate is not None and queue.rate_ms is not None:
            starts = self._store.queues.starts(queue, self._now - queue.rate_ms)
            rooms.append(queue.rate - len(starts))
            if starts:  # each place is free again one period after it was taken
                opens_at = starts[0] + queue.rate_ms
                self.opens_at = opens_at if self.opens_at is None else min(self.opens_at, opens_at)
        return min(rooms, default=None)

    def _key(self, run: Due) -> tuple[Lane, Any] | None:
        """Return what runs of a keyed queue share; None where there is nothing to share."""
        lane = (run.namespace, run.queue)
        queue = self._queues.get(lane)
        if queue is None or queue.key is None:
            return None
        value = self._store.runs.attribute(run.id, queue.key)
        return None if value is None else (lane, value)
