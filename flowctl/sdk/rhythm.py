"""The schedule that a workflow asks for in its code: what `@workflow(schedule=…)` may be, and its form on the wire.

Only its shape is checked here; what an expression or a zone means is flowctl's to say, when the file is registered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flowctl.sdk.checks import Checks, checked, one_of, whole
from flowctl.sdk.durations import to_ms
from flowctl.sdk.errors import shown

_KINDS = ("cron", "every", "once")


def schedule_fields(value: Any) -> dict[str, Any]:
    """Return the wire form of a schedule: a cron text, or a dict with one of cron, every, once. Or ValueError."""
    given = {"cron": value} if isinstance(value, str) else value
    if not isinstance(given, Mapping):
        raise ValueError(f"{shown(value)} is not a schedule: give a cron text or a dict")
    kinds = [kind for kind in _KINDS if kind in given]
    if len(kinds) != 1:
        raise ValueError("give exactly one of cron, every and once")
    fields: dict[str, Any] = {"kind": kinds[0], "expression": _expression(kinds[0], given[kinds[0]])}
    parts = {name: part for name, part in given.items() if name not in _KINDS}
    return fields | checked("part of a schedule", parts, _PARTS, [*_KINDS, *_PARTS])


def _expression(kind: str, value: Any) -> str:
    if kind == "every":
        from flowctl.sdk.durations import short_text

        return short_text(to_ms(value))
    if kind == "once" and hasattr(value, "isoformat"):
        return str(value.isoformat())
    return _text(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ValueError(f"{shown(value)} is not a text")
    return value


def _input(value: Any) -> str:
    from flowctl.sdk.jsontext import text_of

    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"{shown(value)} is not a dict of parameters")
    try:
        return text_of(dict(value))
    except (TypeError, ValueError, RecursionError):
        raise ValueError(f"{shown(value)} holds what is not plain JSON") from None


_PARTS: Checks = {
    "tz": ("zone", _text),
    "jitter": ("jitter_ms", to_ms),
    "catch_up": ("catch_up", one_of("latest", "skip", "all")),
    "cap": ("catch_up_cap", whole(1)),
    "window": ("window_ms", to_ms),
    "overlap": ("overlap", one_of("skip", "queue", "allow", "replace")),
    "pause_after": ("pause_after", whole(1)),
    "input": ("input", _input),
}
