"""Retention: what has been kept long enough is deleted, a little at a time.

A pruning is a chain of transactions that each hold the file's write lock for some 30 ms, so that runs go on meanwhile.
It may end after any of them: the next one goes on where it ended. Two never prune at once.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import NamedTuple

from flowctl.core import failpoint
from flowctl.core.clock import Clock
from flowctl.core.errors import Busy, DiskTrouble
from flowctl.core.keeping import DAY_MS, Keep, keep_of, limits
from flowctl.store import Store
from flowctl.store.files import disk_error
from flowctl.store.unreferenced import Unreferenced

HOUR = 3  # of the night, local time
HOLD_S = 0.025  # after which a transaction ends
ROWS = 100  # that go at once: the least that a transaction does
WINDOW = 500  # families looked at between two looks at the loop
PAGES = 256  # of the file, given back at once
PAUSE_MS = 20  # between two batches
AGAIN_MS = 60_000  # after a batch that the disk or another writer did not allow
NEWEST_SLOTS = 1_000
SLOTS_MS = NOTES_MS = 365 * DAY_MS
NOTICES_MS = 30 * DAY_MS
ENGINES_MS = 90 * DAY_MS


class Wanted(NamedTuple):
    """What a person asks of one pruning, other than the settings say."""

    namespace: str | None = None  # only in this one
    workflow: str | None = None  # only of this one
    keep_ms: int | None = None
    keep_runs: int | None = None


AS_SET = Wanted()


class Going(NamedTuple):
    """The families of a workflow that go: the runs at their tops."""

    namespace: str
    workflow: str
    roots: list[int]


class Retention:
    """The daemon's duty: a pruning each night, or as soon as the machine is on again."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._batches: Iterator[None] | None = None

    def tick(self, now: int) -> int:
        """Do one batch when it is time; return when to be called again."""
        try:
            if self._batches is None:
                due_at = next_night(self._store.retention.pruned_at(), now)
                if now < due_at:
                    return due_at
                self._batches = prune(self._store, now, AS_SET, self._clock)
            for _ in self._batches:
                return now + PAUSE_MS
        except (Busy, DiskTrouble):
            self._batches = None
            return now + AGAIN_MS
        self._batches = None
        return next_night(now, now)


def next_night(last: int, now: int) -> int:
    """Return the first instant after the last pruning that is 03:00 here. One in the future does not count."""
    here = datetime.fromtimestamp(min(last, now) / 1000).astimezone()
    wall = here.replace(hour=HOUR, minute=0, second=0, microsecond=0, tzinfo=None)
    while (instant := int(wall.astimezone().timestamp() * 1000)) <= min(last, now):
        wall += timedelta(days=1)
    return instant


def going(store: Store, now: int, wanted: Wanted = AS_SET) -> Iterator[Going]:
    """Yield the families that are to go, a window of a workflow's runs at each turn."""
    for namespace, workflow in store.retention.workflows():
        if wanted.namespace not in (None, namespace) or wanted.workflow not in (None, workflow):
            continue
        keep = _keep(store, namespace, workflow, wanted)
        beyond = store.retention.beyond(namespace, workflow, keep.keep_runs)
        after = 0
        while window := store.retention.walk((namespace, workflow), limits(keep, now), beyond, after, WINDOW):
            yield Going(namespace, workflow, [root for root, goes in window if goes])
            after = window[-1][0]


def _keep(store: Store, namespace: str, workflow: str, wanted: Wanted) -> Keep:
    keep = keep_of(store.retention.setting(namespace, workflow))
    if wanted.keep_ms is not None:  # of the failed ones too: it is what the person said
        keep = keep._replace(keep_ms=wanted.keep_ms, keep_failed_ms=wanted.keep_ms)
    return keep if wanted.keep_runs is None else keep._replace(keep_runs=wanted.keep_runs)


def prune(store: Store, now: int, wanted: Wanted, clock: Clock) -> Iterator[None]:
    """Prune, one short transaction or read at each turn. Raises Busy when another process prunes."""
    batch = _Batches(store, now, clock)
    with _alone(store.path):
        if (marked := store.retention.marked()) is not None:
            yield from batch.delete_families([marked])
        for each in going(store, now, wanted):
            yield from batch.delete_families(each.roots)
            yield
        yield from batch.delete_others()
        yield from batch.delete_unreferenced()
        yield from batch.give_back()
        with store.transaction():
            store.retention.set_pruned_at(now)
            store.events.note("database", "pruned", now)


@contextmanager
def _alone(store_path: str) -> Iterator[None]:
    """Hold the lock of the folder of the engines' locks, which leaves no file behind."""
    folder = f"{store_path}-engines"
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise disk_error(error, f"use the folder {folder}") from None
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"another process is pruning {store_path}", "Try again in a minute.") from None
        yield
    finally:
        os.close(fd)


class _Batches:
    """The transactions of one pruning. Each ends soon, and whatever it has done stands."""

    def __init__(self, store: Store, now: int, clock: Clock) -> None:
        self._store = store
        self._retention = store.retention
        self._now = now
        self._clock = clock
        self._noted = False

    def _watch(self) -> Callable[[], bool]:
        """Return what tells whether the time of a transaction is over."""
        until = self._clock.monotonic() + HOLD_S
        return lambda: self._clock.monotonic() >= until

    def delete_families(self, roots: list[int]) -> Iterator[None]:
        """Delete whole families, as many in a transaction as there is time for."""
        waiting = list(reversed(roots))
        members: list[int] = []  # of the family that is being deleted, the next to go last
        while waiting:
            with self._retention.pruning():
                over = self._watch()
                while waiting and not over():
                    members = members or self._begin(waiting[-1])
                    if not members or self._delete_some(members):
                        waiting.pop()
                if members:
                    self._retention.mark(waiting[-1])
                else:
                    self._retention.unmark()
                failpoint.reach("prune-batch")
            yield

    def _begin(self, root: int) -> list[int]:
        """Return the runs of a family, its root first; none when it may no longer go."""
        if root != self._retention.marked() and not self._retention.may_go(root):
            return []
        if not self._noted:  # and so the newest line of the audit log stays: the numbers of lines only rise
            self._store.events.note("retention", "runs that were kept long enough are deleted", self._now)
            self._noted = True
        return [root, *self._retention.members(root)]

    def _delete_some(self, members: list[int]) -> bool:
        """Delete rows of a family's last member; tell whether it was the last of the family."""
        if self._retention.delete_run(members[-1], ROWS):
            members.pop()
        return not members

    def delete_others(self) -> Iterator[None]:
        """Delete old slots, starts, messages, engines, and old lines of the audit log about other subjects."""
        retention, now = self._retention, self._now
        deletions: list[Callable[[], int]] = [
            lambda: retention.delete_starts(now, ROWS),
            lambda: retention.delete_notices(now - NOTICES_MS, ROWS),
            lambda: retention.delete_notes(now - NOTES_MS, ROWS),
            lambda: retention.delete_engines(now - ENGINES_MS, ROWS),
        ]
        for schedule in retention.schedules():
            deletions.append(lambda schedule=schedule: self._delete_slots(schedule))  # type: ignore[misc]
        while deletions:
            with retention.pruning():
                over = self._watch()
                while deletions and not over():
                    if not deletions[-1]():
                        deletions.pop()
            yield

    def _delete_slots(self, schedule_id: int) -> int:
        return self._retention.delete_slots(schedule_id, NEWEST_SLOTS, self._now - SLOTS_MS, ROWS)

    def delete_unreferenced(self) -> Iterator[None]:
        """Delete payloads, code and environments that no row refers to any more."""
        found = Unreferenced(self._store.connection)
        yield from found.walk()
        done = False
        while not done:
            with self._retention.pruning():
                done = found.delete(self._watch())
            yield

    def give_back(self) -> Iterator[None]:
        """Make the file smaller by the pages that are free now."""
        while self._retention.give_back(PAGES):
            yield
