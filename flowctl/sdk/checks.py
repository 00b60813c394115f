"""What options and their parts may be: names, each with a check that returns what counts or raises ValueError."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Callable, Optional

from flowctl.sdk.errors import shown

COUNT_LIMIT = 1_000_000

Checks = Mapping[str, tuple[str, Callable[[Any], Any]]]  # by name: the field it is kept in, and its check


def checked(
    what: str, given: Mapping[Any, Any], checks: Checks, known: Optional[Iterable[str]] = None
) -> dict[str, Any]:
    """Return the checked values by their fields, or raise ValueError, which suggests a known name for an unknown."""
    fields: dict[str, Any] = {}
    for name, value in given.items():
        if name not in checks:
            raise ValueError(unknown_name(what, str(name), known or checks))
        field, check = checks[name]
        try:
            fields[field] = check(value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return fields


def nearest(wanted: str, known: Iterable[str]) -> str:
    """Return the known name that looks most like the wanted one, or ''."""
    from difflib import get_close_matches

    return "".join(get_close_matches(wanted, list(known), n=1))


def unknown_name(what: str, wanted: str, known: Iterable[str]) -> str:
    """Return half a sentence that says a name is unknown and which one may be meant."""
    names = list(known)
    near = nearest(wanted, names)
    rest = f"did you mean {near!r}?" if near else f"known are {', '.join(names)}" if names else "there are none"
    return f"unknown {what} {wanted!r}; {rest}"


def whole(least: int, most: int = COUNT_LIMIT) -> Callable[[Any], int]:
    """Return the check of a whole number."""

    def check(value: Any) -> int:
        if type(value) is not int or not least <= value <= most:
            raise ValueError(f"{shown(value)} is not a whole number from {least} to {most}")
        return value

    return check


def one_of(*known: str) -> Callable[[Any], str]:
    """Return the check of a word that is one of a few."""

    def check(value: Any) -> str:
        if value not in known:
            raise ValueError(f"{shown(value)} is not one of {', '.join(map(repr, known))}")
        return str(value)

    return check
