"""Gaps in time: a machine that was asleep, a clock that was moved, a process that stood still."""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo
from typing import NamedTuple, Self

from flowctl.core.clock import Clock
from flowctl.core.zones import DAY_MS, find_zone
from flowctl.sdk.durations import short_text
from flowctl.store import Store

SUBJECT = "machine"
SMALL_MS = 10_000  # what clocks may differ by, as NTP corrects them
STILL_MS = 60_000  # a loop that looks every 15 s was not called for so long
_TEXT = re.compile(r"(suspended|flowctl stood still|clock moved by \S+) from (\S+) to (\S+)")


class Gap(NamedTuple):
    """A span in which nothing was worked on: why, and its first and last instant on the wall clock."""

    what: str
    from_at: int
    to_at: int

    @property
    def text(self) -> str:
        """Return the line of the audit log, which `of_text` reads."""
        return f"{self.what} from {_iso(self.from_at)} to {_iso(self.to_at)}"

    @classmethod
    def of_text(cls, text: str) -> Self | None:
        """Return the gap that a line of the audit log tells of, None when it tells of something else."""
        match = _TEXT.fullmatch(text)
        return None if match is None else cls(match[1], _instant(match[2]), _instant(match[3]))

    def told(self, zone: str) -> str:
        """Return what happened for a person, by the clock of a zone."""
        if self.what.startswith("clock"):
            return self.what
        here = find_zone(zone)
        form = "%H:%M" if self.to_at - self.from_at < DAY_MS else "%Y-%m-%d %H:%M"
        span = "-".join(_local(at, here, form) for at in (self.from_at, self.to_at))
        return f"machine suspended {span}" if self.what == "suspended" else f"{self.what} {span}"


class Watch:
    """Looks at the clocks, and writes into the audit log what it finds between two looks."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._last = self._read()
        self._untold: list[Gap] = []  # those that could not be written yet

    def look(self) -> Gap | None:
        """Return what happened since the last look, if anything did. Look before the slots are planned."""
        before, self._last = self._last, self._read()
        gap = gap_between(before, self._last)
        if gap is not None:
            self._untold.append(gap)
        if self._untold:
            with self._store.transaction():
                for each in self._untold:
                    self._store.events.note(SUBJECT, each.text, self._last.wall)
            self._untold.clear()
        return gap

    def _read(self) -> Reading:
        clock = self._clock
        return Reading(clock.now(), int(clock.monotonic() * 1000), int(clock.uptime() * 1000))


class Reading(NamedTuple):
    """The clocks at one moment, in milliseconds. `monotonic` stands still while the machine sleeps."""

    wall: int
    monotonic: int
    uptime: int


def gap_between(before: Reading, after: Reading) -> Gap | None:
    """Return what happened between two looks at the clocks."""
    slept = (after.uptime - before.uptime) - (after.monotonic - before.monotonic)
    moved = (after.wall - before.wall) - (after.uptime - before.uptime)
    if slept > SMALL_MS:
        return Gap("suspended", before.wall, after.wall)
    if abs(moved) > SMALL_MS:
        sign = "+" if moved > 0 else "-"
        length = short_text(round(abs(moved) / 1000) * 1000)
        return Gap(f"clock moved by {sign}{length}", before.wall, after.wall)
    if after.monotonic - before.monotonic > STILL_MS:
        return Gap("flowctl stood still", before.wall, after.wall)
    return None


def _iso(instant: int) -> str:
    return datetime.fromtimestamp(instant // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _instant(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1000


def _local(instant: int, zone: tzinfo, form: str) -> str:
    return datetime.fromtimestamp(instant // 1000, zone).strftime(form)
