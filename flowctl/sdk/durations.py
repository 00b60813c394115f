"""Durations as authors write them, to whole milliseconds and back.

Accepted: `timedelta`, seconds as a number, or text such as "90s", "1h30m", "2d", "250ms", "1.5h", "1w".
A fraction of a millisecond counts as a whole one: what waits never ends early.
"""

from __future__ import annotations

import math
import re
import sys
from typing import TYPE_CHECKING, Any, Union

from flowctl.sdk.errors import shown

if TYPE_CHECKING:
    from datetime import timedelta

    Duration = Union[str, int, float, timedelta]

LONGEST_MS = 36_500 * 86_400_000  # 100 years

_UNITS = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_ORDER = list(_UNITS)
_PART = r"\s*(\d{1,15})(?:\.(\d{1,15}))?\s*(ms|[wdhms])"
_EXAMPLES = 'seconds, a timedelta, or text such as "90s", "1h30m", "2d"'


def to_ms(value: Duration) -> int:
    """Return a duration in milliseconds; ValueError says what is wrong with it."""
    if isinstance(value, str):
        amount = _parse(value)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        amount = _from_seconds(value)
    elif _is_timedelta(value):
        amount = _from_timedelta(value)
    else:
        raise ValueError(f"{shown(value)} is not a duration: give {_EXAMPLES}")
    if amount < 0:
        raise ValueError(f"{shown(value)} is a negative duration")
    if amount > LONGEST_MS:
        raise ValueError(f"{shown(value)} is longer than 100 years")
    return amount


def short_text(ms: int) -> str:
    """Return milliseconds as short text that `to_ms` reads back to the same number, such as "1h30m" or "1.5s"."""
    if ms < 1000:
        return f"{ms}ms" if ms else "0s"
    parts = []
    for unit in ("d", "h", "m"):
        count, ms = divmod(ms, _UNITS[unit])
        if count:
            parts.append(f"{count}{unit}")
    if ms:
        parts.append(f"{ms // 1000}.{ms % 1000:03d}".rstrip("0").rstrip(".") + "s")
    return "".join(parts)


def _parse(text: str) -> int:
    if re.fullmatch(r"\s*\d{1,15}\s*", text, re.ASCII):
        return int(text) * 1000
    pattern = re.compile(
        _PART, re.ASCII
    )  # here, not above: it costs a program that only imports this half a millisecond
    at, amount, last = 0, 0, -1
    while at < len(text.rstrip()):
        part = pattern.match(text, at)
        unit = _ORDER.index(part[3]) if part else -1
        if part is None or unit <= last:
            raise ValueError(f"{shown(text)} is not a duration: give {_EXAMPLES}")
        whole, fraction, scale = part[1], part[2] or "", _UNITS[part[3]]
        amount += -(-int(whole + fraction) * scale // 10 ** len(fraction))
        at, last = part.end(), unit
    if last < 0:
        raise ValueError(f"{shown(text)} is not a duration: give {_EXAMPLES}")
    return amount


def _from_seconds(value: Union[int, float]) -> int:
    if isinstance(value, int):
        return value * 1000
    if not math.isfinite(value):
        raise ValueError(f"{value!r} is not a duration")
    # Rounding first: 0.1 + 0.2 seconds are 300 ms, not 301.
    return math.ceil(round(min(max(value, -1e12), 1e12) * 1000, 6))


def _is_timedelta(value: Any) -> bool:
    datetime = sys.modules.get("datetime")  # nobody has a timedelta before somebody has imported it
    return datetime is not None and isinstance(value, datetime.timedelta)


def _from_timedelta(value: Any) -> int:
    from datetime import timedelta

    whole, rest = divmod(value, timedelta(milliseconds=1))
    return int(whole) + bool(rest)
