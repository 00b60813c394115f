"""The schedule that a workflow asks for in its code: what `@workflow(schedule=…)` may be, and its form on the wire.

Only its shape is checked here; what an expression or a zone means is flowctl's to say, when the file is registered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

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
    for name, part in given.items():
        if name in _KINDS:
            continue
        if name not in _PARTS:
            from flowctl.sdk.options import unknown_name

            raise ValueError(unknown_name("part of a schedule", str(name), [*_KINDS, *_PARTS]))
        field, check = _PARTS[name]
        try:
            fields[field] = check(part)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return fields


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


def _duration(value: Any) -> int:
    return to_ms(value)


def _limit(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= 1_000_000:
        raise ValueError(f"{shown(value)} is not a whole number from 1 to 1000000")
    return value


def _one_of(*known: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in known:
            raise ValueError(f"{shown(value)} is not one of {', '.join(map(repr, known))}")
        return str(value)

    return check


def _input(value: Any) -> str:
    from flowctl.sdk.jsontext import text_of

    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"{shown(value)} is not a dict of parameters")
    try:
        return text_of(dict(value))
    except (TypeError, ValueError, RecursionError):
        raise ValueError(f"{shown(value)} holds what is not plain JSON") from None


_PARTS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "tz": ("zone", _text),
    "jitter": ("jitter_ms", _duration),
    "catch_up": ("catch_up", _one_of("latest", "skip", "all")),
    "cap": ("catch_up_cap", _limit),
    "window": ("window_ms", _duration),
    "overlap": ("overlap", _one_of("skip", "queue", "allow", "replace")),
    "pause_after": ("pause_after", _limit),
    "input": ("input", _input),
}
