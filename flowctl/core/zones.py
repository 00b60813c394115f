"""Time zones: names, the machine's own zone, and when a zone's clocks differ from UTC by how much.

The one module of this band that looks at the machine. The machine's zone is a file (`/etc/localtime`) and a variable
(`TZ`) that may change while a daemon runs, and zone names mean nothing without the zone data of the machine; so both
are read here, at each use, and the rules of recurrence stay pure.

Instants and durations are UTC milliseconds. A local time is written the same way: the milliseconds from
1970-01-01T00:00 on the zone's own clock.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, available_timezones

from flowctl.core.errors import UsageError
from flowctl.sdk.errors import shown

DAY_MS = 86_400_000
# The last instant that has a local time in every zone: Python knows no year 10000.
LAST_MS = 253_402_214_400_000  # 9999-12-31T00:00:00Z

_LOCALTIME = "/etc/localtime"
_TIMEZONE = "/etc/timezone"
_LONGEST_NAME = 100
_KNOWN = "Europe/Berlin"  # is among the zones wherever there are any


def find_zone(name: str) -> tzinfo:
    """Return the zone of an IANA name, "" being the machine's own. Raises UsageError with names that are close."""
    known = _load(name or local_zone_name())
    if known is None:
        raise _unknown(name)
    return known


def in_zone(instant: int, name: str) -> datetime:
    """Return an instant by the clock of a zone; one whose name is not known any more is the machine's own."""
    try:
        return datetime.fromtimestamp(instant / 1000, find_zone(name))
    except UsageError:
        return datetime.fromtimestamp(instant / 1000).astimezone()


def zoned(instant: int, name: str = "") -> str:
    """Return an instant for people by the clock of a zone, and which zone that is."""
    return in_zone(instant, name).strftime("%Y-%m-%d %H:%M:%S %Z")


def local_zone_name() -> str:
    """Return the IANA name of the machine's zone: of `TZ`, else of /etc/localtime, else "UTC".

    As in the C library, a `TZ` that is set but names no zone means UTC.
    """
    setting = os.environ.get("TZ")
    name = _configured() if setting is None else _name_in(setting.removeprefix(":"))
    return name if _load(name) is not None else "UTC"


def misnamed() -> str | None:
    """Return what `TZ` is set to when that names no zone, None when there is no doubt which one is meant."""
    name = _name_in(os.environ.get("TZ", "").removeprefix(":"))
    return name if name and _load(name) is None else None


def has_zone_data() -> bool:
    """Tell whether zones can be looked up by their names."""
    return _load(_KNOWN) is not None


def offset_at(zone: tzinfo, instant: int) -> int:
    """Return by how much the zone's clock is ahead of UTC at an instant, in whole seconds as every offset is."""
    offset = datetime.fromtimestamp(instant // 1000, zone).utcoffset()
    assert offset is not None
    return (offset.days * 86_400 + offset.seconds) * 1000


def spans(zone: tzinfo, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yield the time from start (a whole second) to stop as (begin, end, offset), at most a day each.

    No two transitions of any zone lie within one day of each other since 1970; the closest are a week apart.
    """
    offset = offset_at(zone, start)
    while start < stop:
        end = min(start + DAY_MS, stop)
        next_offset = offset_at(zone, end)
        if next_offset != offset:
            end = _transition(zone, start, end)
            next_offset = offset_at(zone, end)
        yield start, end, offset
        start, offset = end, next_offset


def to_instant(zone: tzinfo, wall: datetime) -> int:
    """Return the instant of a local time without a zone.

    Of a time that occurs twice it is the first; one that never occurs means the first instant after the gap.
    """
    before = wall.replace(tzinfo=zone, fold=0).utcoffset()
    assert before is not None
    instant = milliseconds(wall.replace(tzinfo=UTC) - before)
    offset = before // timedelta(milliseconds=1)
    if offset_at(zone, instant) == offset:
        return instant
    *_, (transition, _end, _offset) = spans(zone, (instant - DAY_MS) // 1000 * 1000, instant + 1)
    return transition


def milliseconds(moment: datetime) -> int:
    """Return an aware datetime as UTC milliseconds."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _transition(zone: tzinfo, low: int, high: int) -> int:
    """Return the first instant after low at which the offset is another; it is not the same at high."""
    offset = offset_at(zone, low)
    while high - low > 1000:
        middle = (low + high) // 2000 * 1000
        if offset_at(zone, middle) == offset:
            low = middle
        else:
            high = middle
    return high // 1000 * 1000


def _load(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # no such zone, a path that leaves the folder, a folder, a damaged file
        return UTC if name == "UTC" else None


def _configured() -> str:
    try:
        name = _name_in(os.path.realpath(_LOCALTIME))
        if name != _LOCALTIME:
            return name
        with open(_TIMEZONE, encoding="ascii") as file:  # /etc/localtime is a copy; Debian keeps its name here
            return file.readline().strip()
    except (OSError, ValueError):
        return ""


def _name_in(path: str) -> str:
    """Return what follows the folder of zones in a path; a text that is no such path stays."""
    return path.rpartition("/zoneinfo/")[2].removeprefix("posix/").removeprefix("right/")


def _unknown(name: str) -> UsageError:
    zones = available_timezones()
    if not zones:
        return UsageError(
            f"time zone {shown(name)} cannot be looked up: this machine has no time zone data",
            "install the package tzdata",
        )
    wanted = name[:_LONGEST_NAME].casefold()
    from difflib import get_close_matches

    close = get_close_matches(wanted, {zone.casefold() for zone in zones}, cutoff=0.5)
    names = sorted((zone for zone in zones if zone.casefold() in close), key=lambda zone: close.index(zone.casefold()))
    hint = f"did you mean {' or '.join(names)}?" if names else "give an IANA name such as Europe/Berlin"
    return UsageError(f"unknown time zone {shown(name)}", hint)
