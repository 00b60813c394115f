"""Times and durations as people and JSON read them, and as people give them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from flowctl.core.errors import UsageError
from flowctl.core.instants import iso as iso
from flowctl.sdk.durations import to_ms

_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?", re.ASCII)
_EXAMPLES = "give a time such as 09:30, 2026-01-31, 2026-01-31T09:30 (local) or 2026-01-31T09:30Z"


def local(ms: int | None) -> str:
    """Return an instant as local time for people, '' for none."""
    if ms is None:
        return ""
    try:
        return datetime.fromtimestamp(ms // 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return iso(ms) or ""


def clock_time(ms: int) -> str:
    """Return the local time of day of an instant, to the millisecond."""
    return f"{local(ms)[11:]}.{ms % 1000:03d}"


def short(ms: int | None) -> str:
    """Return a duration in at most two units, '' for none: 12ms, 1.2s, 1m05s, 2h03m, 3d04h."""
    if ms is None:
        return ""
    ms = max(0, ms)
    if ms < 1000:
        return f"{ms}ms"
    if ms < 59_950:
        return f"{ms / 1000:.1f}s"
    seconds = round(ms / 1000)
    for big, unit, small, letter in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m")):
        if seconds >= big:
            return f"{seconds // big}{unit}{seconds % big // small:02d}{letter}"
    return f"{seconds // 60}m{seconds % 60:02d}s"


def parse_duration(text: str, option: str) -> int:
    """Return the milliseconds of a duration such as 90s or 1h30m. Raises UsageError that names the option."""
    try:
        return to_ms(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None


def parse_instant(text: str, option: str, now: int) -> int:
    """Return the instant that a person means by a date, a date and time, or a time of day: its next occurrence."""
    try:
        match = _TIME.fullmatch(text)
        if match:
            return _next(int(match[1]), int(match[2]), int(match[3] or 0), now)
        return int(datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"{option}: {text!r} is not a time", _EXAMPLES) from None


def parse_since(text: str, now: int) -> int:
    """Return the instant since when: so long ago, or a date and time."""
    try:
        return now - to_ms(text)
    except ValueError:
        pass
    match = _TIME.fullmatch(text)
    instant = parse_instant(text, "--since", now)
    return instant - 86_400_000 if match and instant > now else instant


def _next(hour: int, minute: int, second: int, now: int) -> int:
    here = datetime.fromtimestamp(now / 1000).astimezone()
    wall = here.replace(hour=hour, minute=minute, second=second, microsecond=0, tzinfo=None)
    instant = int(wall.astimezone().timestamp() * 1000)
    return instant if instant > now else int((wall + timedelta(days=1)).astimezone().timestamp() * 1000)
