"""Instants and durations as people and JSON read them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


def iso(ms: int | None) -> str | None:
    """Return an instant as ISO-8601 text in UTC with milliseconds."""
    if ms is None:
        return None
    seconds, rest = divmod(ms, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except (ValueError, OverflowError, OSError):  # a damaged row is shown, not hidden behind an error
        return "9999-12-31T23:59:59"


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
