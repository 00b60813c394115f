"""What is looked for in recorded texts: a text from the beginning of a word on, or a regular expression."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from flowctl.core.errors import UsageError
from flowctl.core.text import without_colour
from flowctl.sdk.jsontext import step_into

BEFORE, AFTER = 30, 60  # characters of an excerpt around what was found
_DEPENDS_ON_ENDS = re.compile(r"[$^]|\\[AZbB]|\(\?")  # of a value, which in JSON has no such ends

_Parts = tuple["_Parts", str | int] | None  # the way to a value, the last part outermost


class Place(NamedTuple):
    """Where something was found: its path in a JSON value, None in plain text, and what stands there."""

    path: str | None
    excerpt: str


class Needle:
    """A text or a regular expression to look for. `text` is None for an expression."""

    def __init__(self, pattern: re.Pattern[str], text: str | None = None) -> None:
        self.text = text
        self._pattern = pattern
        self._spellings = () if text is None else _spellings(text)
        self._anywhere = text is None and not _DEPENDS_ON_ENDS.search(pattern.pattern)

    def in_text(self, text: str) -> Iterator[Place]:
        """Yield the first place in plain text."""
        text = without_colour(text).strip("\n")
        if found := self._pattern.search(text):
            yield Place(None, _excerpt(text, found))

    def in_json(self, payload: str) -> Iterator[Place]:
        """Yield every value and key of a JSON text in which it stands; the whole, where only the JSON itself has it."""
        if not self._may_be_in(payload):
            return
        paths: set[str] = set()
        for place, text in _leaves(payload):
            if (found := self._pattern.search(text)) and (path := _path(place)) not in paths:
                paths.add(path)  # of a key and its value: once
                yield Place(path, _excerpt(text, found))
        for spelling in () if paths else self._spellings:
            if found := re.search(_from_a_word_on(spelling), payload, re.IGNORECASE):
                yield Place("$", _excerpt(payload, found))
                return

    def _may_be_in(self, payload: str) -> bool:
        """Tell quickly that it is in none of the values: most rows of a search through all of them have it not."""
        if self._spellings:
            lower = payload.lower()
            return any(spelling.lower() in lower for spelling in self._spellings)
        return "\\" in payload or not self._anywhere or self._pattern.search(payload) is not None


def text_needle(text: str) -> Needle:
    """Look for a text, upper or lower case, where a word begins with it. Raises UsageError for an empty one."""
    _require_something(text)
    return Needle(re.compile(_from_a_word_on(text), re.IGNORECASE), text)


def regex_needle(expression: str) -> Needle:
    """Look for a regular expression of Python's. Raises UsageError for an empty or a bad one."""
    _require_something(expression)
    try:
        return Needle(re.compile(expression))
    except (re.error, RecursionError, OverflowError) as error:
        raise UsageError(f"{expression!r} is not a regular expression: {error}") from None


def _require_something(text: str) -> None:
    if not text:
        raise UsageError("there is nothing to look for", "flowctl grep TEXT")


def _from_a_word_on(text: str) -> str:
    """Return the expression for a text where a word begins with it; an underscore divides words."""
    begins = r"(?<![^\W_])" if re.match(r"[^\W_]", text) else ""
    return begins + re.escape(text)


def _spellings(text: str) -> tuple[str, ...]:
    """Return how a text may be written in JSON."""
    return tuple(dict.fromkeys((text, json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1])))


def _leaves(payload: str) -> Iterator[tuple[_Parts, str]]:
    """Yield place and text of each key and each value that holds no others, in their order."""
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        yield None, payload
        return
    waiting: list[tuple[_Parts, Any]] = [(None, value)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, dict):
            yield from (((place, key), key) for key in value)
            waiting += [((place, key), each) for key, each in reversed(value.items())]
        elif isinstance(value, list):
            waiting += [((place, index), each) for index, each in reversed(list(enumerate(value)))]
        else:
            yield place, without_colour(value) if isinstance(value, str) else json.dumps(value)


def _path(place: _Parts) -> str:
    """Return a place as a path: $.items[3].name."""
    parts: list[str] = []
    while place is not None:
        place, part = place
        parts.append(step_into(part) if isinstance(part, str) else f"[{part}]")
    return "".join(["$", *reversed(parts)])


def _excerpt(text: str, found: re.Match[str]) -> str:
    start = max(0, found.start() - BEFORE)
    end = max(start, min(len(text), found.start() + AFTER))
    return ("…" if start else "") + text[start:end] + ("…" if end < len(text) else "")
