"""What cron(8) says, by brute force: an oracle for the recurrence rules that shares nothing with them but zoneinfo.

It walks through real time minute by minute (or second by second), reads the clock on the wall, and remembers which wall
times it has seen. `python -m tests.unit.cron_oracle` compares every pair of expression and zone over three whole years,
which takes some minutes; the tests compare the days around every transition.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise, product
from zoneinfo import ZoneInfo

EPOCH = date(1970, 1, 1)
DAY = 86_400
NAMES = {
    name: str(number)
    for names in ("sun mon tue wed thu fri sat", "- jan feb mar apr may jun jul aug sep oct nov dec")
    for number, name in enumerate(names.split())
}
YEARS = (2025, 2026, 2027)
ZONES = [
    "UTC", "Africa/Cairo", "Africa/Casablanca", "America/Havana", "America/New_York", "America/Nuuk",
    "America/Santiago", "America/St_Johns", "Antarctica/Troll", "Asia/Beirut", "Asia/Gaza", "Asia/Kathmandu",
    "Asia/Kolkata", "Asia/Tehran", "Atlantic/Azores", "Australia/Lord_Howe", "Europe/Berlin", "Europe/London",
    "Pacific/Apia", "Pacific/Chatham",
]  # fmt: skip
EXPRESSIONS = [
    "* * * * *", "*/7 * * * *", "*/15 * * * *", "*/30 * * * *", "0 * * * *", "17 * * * *", "0,30 * * * *",
    "5-59/15 * * * *", "59 * * * *", "*/15 2 * * *", "*/20 0,1,2,3 * * *", "* 1 * * *", "* 0 * * *", "* 23 * * *",
    "0 */2 * * *", "30 */3 * * *", "45 */6 * * 1-5", "0 */12 1 * *", "30 1 * * *", "30 2 * * *", "0 2 * * *",
    "0 3 * * *", "15 3 * * *", "0 0 * * *", "15 0 * * *", "30 0 * * *", "45 0 * * *", "0 1 * * *", "30 23 * * *",
    "59 23 * * *", "5,15,45 1,2,3 * * *", "0,15,30,45 0 * * *", "0-59/15 2 * * *", "10-20 1-3 * * *",
    "0 0 1 * *", "0 0 31 * *", "0 12 29 2 *", "30 2 * * 0", "30 2 * * 7", "0 0 * * sun", "0 9 * * mon-fri",
    "0 0 13 * 5", "0 0 1,15 * 1", "30 1 1-7 * 0", "30 1 */2 * 0", "0 0 */5 * */2", "0 0 * 3,10 sun",
    "0 2 25-31 3,10 *", "0 2 * mar,oct,apr,sep 0", "30 0 * 4 5", "0 0 24-30 apr,oct thu,fri", "0 1,2 8-14 mar,nov *",
    "@hourly", "@daily", "@weekly", "@monthly", "@yearly",
]  # fmt: skip
SHORT = {
    "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}  # fmt: skip


@dataclass
class Walk:
    """The wall times that were seen while real time went by, all in seconds since 1970 (of UTC, or of the wall)."""

    first: dict[int, int] = field(default_factory=dict)  # wall -> when it was seen first
    again: list[tuple[int, int]] = field(default_factory=list)  # (wall, when)
    gaps: list[tuple[int, int, int]] = field(default_factory=list)  # (first missing, first there again, when)

    def expected(self, text: str, walls: set[int]) -> list[int]:
        """Return when cron starts the line, given every wall time that its fields name."""
        found = {self.first[wall] for wall in self.first.keys() & walls}
        minute, hour = SHORT.get(text, text).split()[-5:][:2]
        if minute.startswith("*") or hour.startswith("*"):
            found |= {when for wall, when in self.again if wall in walls}
        else:
            found |= {when for low, high, when in self.gaps if any(wall in walls for wall in range(low, high))}
        return sorted(found)


def walk(zone: str, start: int, stop: int, step: int = 60) -> Walk:
    """Look at the clock on the wall of a zone from start to stop, as often as step says."""
    info, seen, newest = ZoneInfo(zone), Walk(), None
    for now in range(start, stop, step):
        local = datetime.fromtimestamp(now, info)
        wall = ((local.date() - EPOCH).days * 24 + local.hour) * 3600 + local.minute * 60 + local.second
        if newest is not None and wall <= newest:
            seen.again.append((wall, now))
            continue
        if newest is not None and wall > newest + step:
            seen.gaps.append((newest + step, wall, now))
        seen.first[wall] = now
        newest = wall
    return seen


def walls(text: str, start: date, stop: date) -> set[int]:
    """Return every wall time from start to before stop that the fields of an expression name."""
    *early, minute, hour, day, month, weekday = SHORT.get(text, text).split()
    seconds = [s for s in range(60) if names(early[0] if early else "0", s, 59)]
    minutes = [m for m in range(60) if names(minute, m, 59)]
    hours = [h for h in range(24) if names(hour, h, 23)]
    times = [h * 3600 + m * 60 + s for h, m, s in product(hours, minutes, seconds)]
    found = set()
    for at in range((start - EPOCH).days, (stop - EPOCH).days):
        each = EPOCH + timedelta(days=at)
        by_day = names(day, each.day, 31)
        by_weekday = names(weekday, each.isoweekday(), 7) or (each.isoweekday() == 7 and names(weekday, 0, 7))
        both = by_day and by_weekday
        either = by_day or by_weekday
        if names(month, each.month, 12) and (both if day[0] == "*" or weekday[0] == "*" else either):
            found.update(at * DAY + time for time in times)
    return found


def names(text: str, value: int, top: int) -> bool:
    """Tell whether a field of crontab(5) names a value."""
    for item in text.split(","):
        values, _, step = item.partition("/")
        low, _, high = values.partition("-")
        low, high = NAMES.get(low, low), NAMES.get(high, high)
        first = int(low) if low != "*" else (1 if top in (31, 12) else 0)
        last = int(high) if high else (first if low != "*" else top)
        if first <= value <= last and (value - first) % int(step or 1) == 0:
            return True
    return False


def transitions(zone: str, start: int, stop: int) -> Iterator[int]:
    """Yield the hours after which the clock on the wall was moved."""
    info = ZoneInfo(zone)
    offsets = [(now, datetime.fromtimestamp(now, info).utcoffset()) for now in range(start, stop, 3600)]
    for (_, before), (now, after) in pairwise(offsets):
        if before != after:
            yield now


def midnight(year: int, month: int = 1, day: int = 1) -> int:
    """Return a date in UTC as seconds since 1970."""
    return int(datetime(year, month, day, tzinfo=UTC).timestamp())


def main() -> int:
    """Compare every pair over the three years, minute by minute. Return how many pairs differ."""
    from flowctl.core.recurrence import Rule, slots

    start, stop = midnight(YEARS[0]), midnight(YEARS[-1] + 1)
    wrong = total = 0
    for zone in ZONES:
        seen = walk(zone, start, stop)
        for text in EXPRESSIONS:
            named = walls(text, date(YEARS[0] - 1, 12, 30), date(YEARS[-1] + 1, 1, 3))
            expected = seen.expected(text, named)
            found = [each // 1000 for each in slots(Rule("cron", text, zone), start * 1000 - 1, stop * 1000 - 1)]
            total += len(found)
            if expected != found:
                wrong += 1
                print(f"{text}  {zone}: {sorted(set(expected) ^ set(found))[:5]}")
        print(f"{zone}: {len(EXPRESSIONS)} expressions", flush=True)
    print(f"{len(ZONES) * len(EXPRESSIONS)} pairs, {total} slots, {wrong} pairs differ")
    return wrong


if __name__ == "__main__":
    sys.exit(bool(main()))
