"""Times and durations as people and JSON read them, and as people give them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from flowctl.core.errors import UsageError
from flowctl.core.instants import clock_time, iso, local, short
from flowctl.sdk.durations import to_ms

__all__ = ["clock_time", "iso", "local", "parse_duration", "parse_instant", "parse_since", "short"]

_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?", re.ASCII)
_EXAMPLES = "give a time such as 09:30, 2026-01-31, 2026-01-31T09:30 (local) or 2026-01-31T09:30Z"


def parse_duration(text: str, option: str) -> int:
    """Return the milliseconds of a duration such as 90s or 1h30m. Raises UsageError that names the option."""
    try:
        return to_ms(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None


def parse_instant(text: str, option: str, now: int, zone: str = "") -> int:
    """Return the instant that a person means by a date, a date and time, or a time of day: its next occurrence.

    It is by the clock of a zone, "" being the machine's own, unless the text says how far it is from UTC.
    """
    try:
        match = _TIME.fullmatch(text)
        if match:
            return _next(int(match[1]), int(match[2]), int(match[3] or 0), now, zone)
        return _instant(datetime.fromisoformat(text), zone)
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"{option}: {text!r} is not a time", _EXAMPLES) from None


def parse_since(text: str, now: int, zone: str = "") -> int:
    """Return the instant since when: so long ago, or a date and time by the clock of a zone."""
    try:
        return now - to_ms(text)
    except ValueError:
        pass
    match = _TIME.fullmatch(text)
    instant = parse_instant(text, "--since", now, zone)
    return instant - 86_400_000 if match and instant > now else instant


def _next(hour: int, minute: int, second: int, now: int, zone: str) -> int:
    here = datetime.fromtimestamp(now / 1000).astimezone()
    if zone:
        from flowctl.core.zones import find_zone

        here = here.astimezone(find_zone(zone))
    wall = here.replace(hour=hour, minute=minute, second=second, microsecond=0, tzinfo=None)
    instant = _instant(wall, zone)
    return instant if instant > now else _instant(wall + timedelta(days=1), zone)


def _instant(moment: datetime, zone: str) -> int:
    if moment.tzinfo is None and zone:
        from flowctl.core.zones import find_zone, to_instant

        return to_instant(find_zone(zone), moment)
    return int(moment.astimezone(UTC).timestamp() * 1000)
