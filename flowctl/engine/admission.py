"""Which due runs may begin now: by priority and then age, within the limits of their queues.

Everything is counted from the rows, inside the transaction that claims: a limit holds whatever died, and however many
engines share the file.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from math import inf
from typing import Any

from flowctl.core.model import Queue, Run
from flowctl.store import Store
from flowctl.store.runs import Due, Reach

Lane = tuple[str, str]  # (namespace, queue)
Key = tuple[Lane, str, Any]  # queue, attribute, value
KNOWN_LIMIT = 100_000  # attributes that are kept in memory


class Keys:
    """What runs of keyed queues share: read once for each run, because it never changes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[tuple[int, str], Any] = {}
        self._refused: defaultdict[Key, set[int]] = defaultdict(set)

    def of(self, run: Due, queue: Queue | None) -> Key | None:
        """Return what a run shares with others of its queue; None where there is nothing to share."""
        if queue is None or queue.key is None:
            return None
        place = (run.id, queue.key)
        if place not in self._known:
            if len(self._known) >= KNOWN_LIMIT:
                self._known.clear()
                self._refused.clear()
            self._known[place] = self._store.runs.attribute(*place)
        value = self._known[place]
        return None if value is None else ((run.namespace, run.queue), queue.key, value)

    def note(self, key: Key, run: Due, *, admitted: bool) -> None:
        """Remember a run that its key keeps from beginning, so that it is not looked at again and again."""
        if admitted:
            self._refused[key].discard(run.id)
        else:
            self._refused[key].add(run.id)

    def refused(self, keys: Iterable[Key]) -> set[int]:
        """Return the runs that are known to wait for one of these keys."""
        return set().union(*(self._refused[key] for key in keys if key in self._refused))


class Admission:
    """How much room the queues with limits have; each run that is chosen takes some."""

    def __init__(self, store: Store, now: int, keys: Keys) -> None:
        self._store = store
        self._now = now
        self._keys = keys
        self._queues = {(queue.namespace, queue.name): queue for queue in store.queues.all()}
        self.opens_at: int | None = None  # when a rate limit lets another run begin
        running = store.runs.running() if self._queues else []
        held = Counter((run.namespace, run.queue) for run in running)
        self._room = {lane: self._room_of(queue, held[lane]) for lane, queue in self._queues.items()}
        self._held = Counter(key for key in map(self._key, running) if key is not None)

    def choose(self, reach: Reach, count: int) -> list[int]:
        """Return at most so many runs that may begin now."""
        chosen: list[int] = []
        seen = reach.skip
        while True:
            limit = count + len(seen)
            reach = reach._replace(full=self._full(), skip=seen | self._keys.refused(self._full_keys()))
            rows = self._store.runs.claimable(self._now, reach, limit=limit)
            for run in rows:
                if len(chosen) < count and self._admits(run):
                    chosen.append(run.id)
            if len(chosen) == count or len(rows) < limit:
                return chosen
            seen |= {run.id for run in rows}

    def choose_unlimited(self, reach: Reach, count: int) -> list[int]:
        """Return at most so many runs of queues without limits."""
        reach = reach._replace(full=frozenset(self._queues))
        return [run.id for run in self._store.runs.claimable(self._now, reach, limit=count)]

    def count_start(self, run: Run, now: int) -> None:
        """Count a run that was claimed, where its queue has a rate limit."""
        queue = self._queues.get((run.namespace, run.queue))
        if queue is not None and queue.rate_ms is not None:
            self._store.queues.begin(Due(run.id, run.namespace, run.queue), queue.rate_ms, now)

    def _full(self) -> frozenset[Lane]:
        """Return the queues in which no further run may begin now."""
        return frozenset(lane for lane, room in self._room.items() if room is not None and room <= 0)

    def _full_keys(self) -> list[Key]:
        """Return the keys of which no further run may begin now."""
        return [key for key, held in self._held.items() if held >= (self._queues[key[0]].key_limit or inf)]

    def _admits(self, run: Due) -> bool:
        """Tell whether a run may begin, and take its place if so."""
        lane = (run.namespace, run.queue)
        queue = self._queues.get(lane)
        if queue is None:
            return True
        room, key = self._room[lane], self._key(run)
        if room is not None and room <= 0:
            return False
        if key is not None:
            admitted = self._held[key] < (queue.key_limit or inf)
            self._keys.note(key, run, admitted=admitted)
            if not admitted:
                return False
            self._held[key] += 1
        self._room[lane] = None if room is None else room - 1
        return True

    def _room_of(self, queue: Queue, held: int) -> int | None:
        """Return how many more runs of a queue may begin now, None for any number."""
        if queue.paused_at is not None:
            return 0
        rooms = [] if queue.concurrency is None else [queue.concurrency - held]
        if queue.rate is not None and queue.rate_ms is not None:
            rooms.append(queue.rate - self._store.queues.starts(queue, queue.rate_ms, self._now))
            if rooms[-1] <= 0:
                self._open_later(queue, queue.rate, queue.rate_ms)
        return min(rooms, default=None)

    def _open_later(self, queue: Queue, rate: int, rate_ms: int) -> None:
        """Note when a place of the rate is free again: one period after it was taken."""
        taken_at = self._store.queues.nth_start(queue, rate, self._now + rate_ms)
        if taken_at is not None:
            self.opens_at = min(taken_at + rate_ms, self.opens_at or taken_at + rate_ms)

    def _key(self, run: Due) -> Key | None:
        return self._keys.of(run, self._queues.get((run.namespace, run.queue)))
