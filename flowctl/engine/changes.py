"""Files that schedules wait for: whether they have changed, and stand still again.

How they looked when a slot was last made of a change stands in the database, so what changes while no daemon runs is
seen at its next start. Only their times and sizes are looked at, once a second, or less often where that takes long.
"""

from __future__ import annotations

import glob
import json
import os
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from flowctl.core.clock import Clock
from flowctl.core.recurrence import patterns
from flowctl.core.text import safe_line, shorten
from flowctl.engine.looking import look_of_one
from flowctl.store import Store
from flowctl.store.schedules import ChangeSchedule

LOOK_MS = 1_000
MOST_FILES = 10_000  # of one schedule
SHARE = 20  # of the time: one part may go into looking
LONGEST_NAME = 300

Files = dict[str, list[int]]


class Change(NamedTuple):
    """Files of a schedule that have changed and stand still: since when, what happened, and both looks as text."""

    schedule: ChangeSchedule
    at: int
    reason: str
    after: str


class _Seen(NamedTuple):
    """How the files of a schedule look, and since when."""

    text: str
    since: int
    is_first: bool  # of this process: what differs then has changed while no daemon ran


class Changes:
    """Looks at the files of all schedules of the kind `change`."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._seen: dict[int, _Seen] = {}
        self._pause = LOOK_MS
        self.next_at: int | None = None  # of the next look, None where no schedule waits for files

    def look(self, now: int) -> list[Change]:
        """Look at the files, if it is time, and return what has changed and stands still."""
        if self.next_at is not None and now < self.next_at <= now + self._pause:
            return []
        began = self._clock.monotonic()
        waiting = self._store.schedules.changes()
        found = [change for each in waiting if (change := self._look_at(each, now)) is not None]
        self._seen = {each.id: self._seen[each.id] for each in waiting}
        self._pause = max(LOOK_MS, round((self._clock.monotonic() - began) * 1000 * SHARE))
        self.next_at = now + self._pause if waiting else None
        return found

    def _look_at(self, schedule: ChangeSchedule, now: int) -> Change | None:
        text, seen = look_text(schedule.expression), self._seen.get(schedule.id)
        if seen is None or seen.text != text or now < seen.since:
            seen = self._seen[schedule.id] = _Seen(text, now, seen is None)
        if text == schedule.files or now < seen.since + schedule.debounce_ms:
            return None
        before, after = json.loads(schedule.files or "{}"), json.loads(text)
        changed = sorted(path for path in {*before, *after} if before.get(path) != after.get(path))
        at = min(_when(changed, now) + schedule.debounce_ms, now) if seen.is_first else now
        return Change(schedule, at, _told(changed, before, after), text)


def look_text(expression: str) -> str:
    """Return how the files of these patterns look, as text: equal as long as none changes, comes or goes."""
    return json.dumps(files_of(expression), sort_keys=True)


def files_of(expression: str) -> Files:
    """Return time, size and number of each file that one of these patterns names."""
    found = (path for pattern in patterns(expression) for path in glob.iglob(pattern, recursive=True))
    return {path: list(look) for path in islice(found, MOST_FILES) if (look := look_of_one(path)) is not None}


def _when(changed: list[str], now: int) -> int:
    """Return when files were last changed, as the disk says; of those that are gone nobody knows."""
    latest = 0
    for path in changed:
        with suppress(OSError):
            latest = max(latest, os.stat(path).st_ctime_ns // 1_000_000)
    return min(latest or now, now)


def _told(changed: list[str], before: Files, after: Files) -> str:
    first = changed[0]
    what = "is new" if first not in before else "is gone" if first not in after else "has changed"
    more = f", and {len(changed) - 1:,} more" if len(changed) > 1 else ""
    return f"{shorten(safe_line(first), LONGEST_NAME)} {what}{more}"
