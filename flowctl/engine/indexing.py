"""The daemon's duty to keep the full-text index in step with what is recorded, in small batches and behind it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from flowctl.core.clock import SYSTEM_CLOCK, Clock
from flowctl.core.errors import Busy, DiskTrouble, NotPermitted
from flowctl.store import Store

ROWS = 200  # of each kind in one transaction: some 20 ms
PAUSE_MS = 200  # between two batches, so that runs go on as if there were no index
EVERY_MS = 5_000  # once nothing is left
WHILE_ASKED_S = 1.0  # what a search spends on the index before it looks


class Indexing:
    """Indexes what is new."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._next_at = 0

    def tick(self, now: int) -> int:
        """Index one batch when it is time, and return when the next one is due. A clock set back does not delay it."""
        if self._next_at - EVERY_MS <= now < self._next_at:
            return self._next_at
        search = self._store.search
        more = search.stale() and _batch(self._store, now)
        self._next_at = now + (PAUSE_MS if more else EVERY_MS)
        return self._next_at


def _batch(store: Store, now: int) -> bool:
    with store.transaction():
        return store.search.index(ROWS, now)


def rebuild(store: Store, now: int) -> Iterator[None]:
    """Make the whole index anew, one short transaction at each turn."""
    clear(store, now)
    while store.search.stale():
        _batch(store, now)
        yield


def clear(store: Store, now: int) -> None:
    """Empty the index."""
    with store.transaction():
        store.search.clear(now)


def catch_up(store: Store, clock: Clock = SYSTEM_CLOCK) -> None:
    """Index for a second at most. A search is complete without it, and then quicker the next time."""
    until = clock.monotonic() + WHILE_ASKED_S
    with suppress(Busy, DiskTrouble, NotPermitted):
        while store.search.stale() and clock.monotonic() < until:
            _batch(store, clock.now())
