"""Instants as text."""

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
