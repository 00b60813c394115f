"""Cron expressions: what a text means, and the local times it names. No zone and no clock here.

Five fields as in crontab(5): minute, hour, day of month, month, day of week. Six fields have the second in front.
Each is `*` (or `?`), a value, a range `a-b`, any of these with a step `/n`, or a list of them with commas; months and
days of the week have English names; Sunday is 0 or 7. `@hourly` and its like stand for what crontab(5) says.

Beyond crontab(5): `L` is the last day of the month, `5L` (or `L5`) the last Friday in it and `5#2` the second. `H`,
`H(a-b)` and `H/n` are values derived from the schedule's identity, so that many schedules do not all start at once.

What makes no sense is refused here, with the field and its range; nothing is bent to fit.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

from flowctl.core.errors import UsageError
from flowctl.sdk.errors import shown

NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
REBOOT = "@reboot"

_DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1).toordinal()
_LAST = -1  # as in "the last Friday"
_HINT = "five fields: minute hour day-of-month month day-of-week, such as 30 2 * * mon-fri"

_MONTHS = {
    "jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6,
    "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12,
}  # fmt: skip
_WEEKDAYS = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}
_ITEM = re.compile(
    r"(?:(?P<star>\*)|h(?:\((?P<from>\d+)-(?P<to>\d+)\))?|(?P<low>\d+|[a-z]{3})(?:-(?P<high>\d+|[a-z]{3}))?)"
    r"(?:/(?P<step>\d+))?",
    re.ASCII,
)
_NTH = re.compile(r"(?:(?P<day>\d|[a-z]{3})(?:l|\#(?P<nth>[1-5]))|l(?P<last>\d))", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of an expression: its name, range and the names of its values. `H` draws from `low` to `hash_high`."""

    name: str
    low: int
    high: int
    hash_high: int
    names: dict[str, int]


_SECOND = _Field("second", 0, 59, 59, {})
_MINUTE = _Field("minute", 0, 59, 59, {})
_HOUR = _Field("hour", 0, 23, 23, {})
_DAY = _Field("day of month", 1, 31, 28, {})  # every month has a 28th
_MONTH = _Field("month", 1, 12, 12, _MONTHS)
_WEEKDAY = _Field("day of week", 0, 7, 6, _WEEKDAYS)
_FIELDS = (_SECOND, _MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY)


@dataclass(frozen=True, slots=True)
class Days:
    """The dates of an expression. `either` says that one of day of month and day of week is enough."""

    month_days: frozenset[int]
    last_day: bool
    months: frozenset[int]
    weekdays: frozenset[int]
    nth_weekdays: frozenset[tuple[int, int]]
    either: bool

    def include(self, day: date) -> bool:
        """Tell whether a date is one of them."""
        if day.month not in self.months:
            return False
        month_day = day.day in self.month_days or (self.last_day and (day + timedelta(days=1)).day == 1)
        weekday = day.isoweekday() % 7 in self.weekdays or (bool(self.nth_weekdays) and self._has_nth(day))
        return (month_day or weekday) if self.either else (month_day and weekday)

    def _has_nth(self, day: date) -> bool:
        weekday = day.isoweekday() % 7
        last = (day + timedelta(days=7)).month != day.month
        return (weekday, (day.day + 6) // 7) in self.nth_weekdays or (last and (weekday, _LAST) in self.nth_weekdays)


@dataclass(frozen=True, slots=True)
class Cron:
    """An expression that was understood. `minutes` are those of a day and `seconds` those of a minute, in ms.

    `real_time` says that the minute or the hour begins with `*`: such an expression follows real time when clocks are
    put forward or back; any other follows the clock on the wall.
    """

    minutes: tuple[int, ...]
    seconds: tuple[int, ...]
    days: Days
    real_time: bool

    def local_times(self, first: int, stop: int) -> Iterator[int]:
        """Yield the local times from first up to, not including, stop, ascending."""
        for number in range(first // _DAY_MS, -(-stop // _DAY_MS)):
            if self.days.include(date.fromordinal(_EPOCH + number)):
                midnight = number * _DAY_MS
                begin = bisect_left(self.minutes, first - midnight - 59_999)
                end = bisect_left(self.minutes, stop - midnight)
                for minute in self.minutes[begin:end]:
                    for second in self.seconds:
                        if first <= midnight + minute + second < stop:
                            yield midnight + minute + second


def check(expression: str, seed: str) -> None:
    """Refuse an expression that makes no sense, or that croniter reads otherwise. Raises UsageError."""
    from flowctl.core.second_reader import Reading, check_agreement

    parse(expression, seed)
    readings = []
    for field, text in zip(_FIELDS, _split(expression), strict=True):
        top = field.high if field is not _WEEKDAY else field.hash_high
        values = frozenset(value % 7 if field is _WEEKDAY else value for value in _values(field, text, seed))
        readings.append(Reading(field.name, text, values, frozenset(range(field.low, top + 1))))
    check_agreement(readings)


@lru_cache(maxsize=256)
def parse(expression: str, seed: str) -> Cron:
    """Return what an expression means, `H` being derived from the seed. Raises UsageError.

    Days as in cron(8): day of month and day of week are either-or, unless one of them begins with `*`; then both hold.
    """
    texts = _split(expression)
    values = [_values(field, text, seed) for field, text in zip(_FIELDS, texts, strict=True)]
    second, minute, hour, day, month, weekday = values
    month_text, week_text = texts[3], texts[5]
    days = Days(
        month_days=frozenset(day) - {_LAST},
        last_day=_LAST in day,
        months=frozenset(month),
        weekdays=frozenset(value % 7 for value in weekday),
        nth_weekdays=frozenset(_nth_weekdays(week_text)),
        either=not (month_text.startswith("*") or week_text.startswith("*")),
    )
    if not _possible(days):
        raise UsageError(
            f"{shown(expression)} never comes: no year has such a date",
            "look at the day of month, the month and the day of week",
        )
    return Cron(
        minutes=tuple((h * 60 + m) * 60_000 for h in sorted(hour) for m in sorted(minute)),
        seconds=tuple(s * 1_000 for s in sorted(second)),
        days=days,
        real_time=texts[1].startswith("*") or texts[2].startswith("*"),
    )


def _split(expression: str) -> list[str]:
    """Return the six fields of an expression in lower case, the second first and `?` written as `*`."""
    texts = expression.lower().split()
    if len(texts) == 1 and texts[0].startswith("@"):
        if texts[0] not in NICKNAMES:
            raise UsageError(f"{shown(expression)} is not known", f"give {', '.join([*NICKNAMES, REBOOT])}")
        texts = NICKNAMES[texts[0]].split()
    if len(texts) == 5:
        texts.insert(0, "0")
    if len(texts) != 6:
        raise UsageError(
            f"a cron expression has five fields, or six with the second in front; {shown(expression)} has {len(texts)}",
            _HINT,
        )
    return [text.replace("?", "*") for text in texts]


def _values(field: _Field, text: str, seed: str) -> set[int]:
    """Return the values of a field; _LAST stands for the last day of the month."""
    found: set[int] = set()
    for item in text.split(","):
        if field is _DAY and item == "l":
            found.add(_LAST)
        elif field is _WEEKDAY and _nth_weekday(item):
            continue
        else:
            found.update(_item(field, item, seed))
    return found


def _item(field: _Field, item: str, seed: str) -> range:
    match = _ITEM.fullmatch(item)
    if match is None:
        raise _misread(field, item)
    step = int(match["step"] or 1)
    if match["low"]:
        low, high = _bounds(field, match)
    elif match["star"]:
        low, high = field.low, field.high
    else:
        return _hashed(field, match, step, seed)
    _check_step(field, item, step, high - low)
    return range(low, high + 1, step)


def _bounds(field: _Field, match: re.Match[str]) -> tuple[int, int]:
    """Return the first and last value of `a`, `a-b`, `a/n` (to the end of the field) or `a-b/n`."""
    low = _value(field, match["low"])
    if match["high"] is None:
        top = field.hash_high if field is _WEEKDAY else field.high
        return (low, max(low, top)) if match["step"] else (low, low)
    high = 7 if match["high"] == "sun" and field is _WEEKDAY else _value(field, match["high"])
    if low > high:
        raise UsageError(
            f"{field.name} {shown(match[0])} runs backwards",
            f"write both parts: {low}-{field.high},{field.low}-{high}",
        )
    return low, high


def _value(field: _Field, text: str) -> int:
    if not text.isdecimal():
        if text not in field.names:
            raise _refused(field, f"has no value {shown(text)}")
        return field.names[text]
    value = int(text)
    if not field.low <= value <= field.high:
        raise _refused(field, f"{shown(value)} is out of range")
    return value


def _check_step(field: _Field, item: str, step: int, length: int) -> None:
    if step == 0:
        raise UsageError(f"{field.name} {shown(item)} has a step of 0", "a step is 1 or more, such as */5")
    if step > max(1, length):
        raise UsageError(
            f"{field.name} {shown(item)} has a step longer than its range, so that only its first value is left",
            f"give that value alone, or a step up to {max(1, length)}",
        )


def _hashed(field: _Field, match: re.Match[str], step: int, seed: str) -> range:
    """Return the values of `H`: one of its range, or with a step a start within the first step."""
    low, high = field.low, field.hash_high
    if match["from"]:
        low, high = _value(field, match["from"]), _value(field, match["to"])
    if low > high:
        raise UsageError(f"{field.name} {shown(match[0])} runs backwards", "give the lower bound first: H(0-29)")
    _check_step(field, match[0], step, high - low)
    from hashlib import sha256  # loads OpenSSL, which most schedules never need

    digest = sha256(f"{field.name}\0{seed}".encode("utf-8", "surrogatepass")).digest()
    number = int.from_bytes(digest[:8], "big")
    if match["step"]:
        return range(low + number % step, high + 1, step)
    value = low + number % (high - low + 1)
    return range(value, value + 1)


def _nth_weekdays(text: str) -> Iterator[tuple[int, int]]:
    for item in text.split(","):
        found = _nth_weekday(item)
        if found:
            yield found


def _nth_weekday(item: str) -> tuple[int, int] | None:
    """Return weekday and number of `5#2`, or weekday and _LAST of `5L` or `L5`; None for any other item."""
    match = _NTH.fullmatch(item)
    if match is None:
        return None
    day = _value(_WEEKDAY, match["day"] or match["last"]) % 7
    return day, int(match["nth"] or _LAST)


def _misread(field: _Field, item: str) -> UsageError:
    if re.match(r"r(?![a-z])", item):
        return UsageError(f"{field.name} {shown(item)} would be random", "give H: it is drawn once for each schedule")
    if field is _DAY and re.fullmatch(r"[\dl]*w\d*", item, re.ASCII):
        return _refused(field, f"{shown(item)} is a nearest weekday, which is not supported")
    return _refused(field, f"{shown(item)} cannot be read")


def _refused(field: _Field, what: str) -> UsageError:
    names = f" or {next(iter(field.names))} to {list(field.names)[-1]}" if field.names else ""
    return UsageError(f"{field.name} {what}: it is {field.low} to {field.high}{names}", _HINT)


def _possible(days: Days) -> bool:
    """Tell whether any year has such a date: these 28 years are every kind of year that there is."""
    start = date(2000, 1, 1).toordinal()
    return any(days.include(date.fromordinal(start + number)) for number in range(28 * 365 + 7))
