"""Places in a JSON value: `items[0].price` as a person writes it, and a copy of the value that differs there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from flowctl.core.errors import UsageError
from flowctl.core.text import shorten

Path = tuple[str | int, ...]
MISSING: Final = object()  # there is nothing at that place

_PART = re.compile(r"""\.?(?P<name>[^.\[\]"]+)|\[(?P<index>\d{1,9})\]|\[(?P<quoted>"(?:[^"\\]|\\.)*")\]""")
_PLAIN = re.compile(r"[^\W\d][\w#-]*")


def parse_path(text: str) -> Path:
    """Return the parts of a path: `.name`, `[0]` and `["any name"]`. Raises UsageError."""
    return tuple(_parts(text))


def _parts(text: str) -> Iterator[str | int]:
    at = 0
    while at < len(text):
        match = _PART.match(text, at)
        if match is None or (match["name"] and at > 0 and match[0][0] != "."):
            raise UsageError(
                f"{shorten(repr(text), 80)} is not a path", 'write input.order.total, items[0].price, or ["any name"]'
            )
        if match["name"]:
            yield match["name"]
        else:
            yield int(match["index"]) if match["index"] else _name(match["quoted"])
        at = match.end()


def _name(quoted: str) -> str:
    try:
        return str(json.loads(quoted))
    except ValueError:
        raise UsageError(f"{shorten(quoted, 80)} is not a JSON string", 'write ["any name"]') from None


def path_text(path: Path) -> str:
    """Return a path as text: `$.items[0].price`."""
    return "$" + "".join(map(_step_into, path))


def _step_into(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return f".{part}" if _PLAIN.fullmatch(part) else f"[{json.dumps(part, ensure_ascii=False)}]"


def value_at(value: Any, path: Path) -> Any:
    """Return what stands at a place, MISSING when there is nothing."""
    for part in path:
        if not _has(value, part):
            return MISSING
        value = value[part]
    return value


def with_value(value: Any, path: Path, new: Any) -> Any:
    """Return a copy of a value that holds something else at one place.

    The last part may be a new key of an object, or the place after the last one of a list. Raises UsageError when the
    path leads nowhere.
    """
    if not path:
        return new
    made = value = value.copy() if isinstance(value, dict | list) else value
    for depth, part in enumerate(path[:-1]):
        if not _has(value, part):
            raise _nowhere(path[: depth + 1], value)
        inner = value[part]
        value[part] = inner = inner.copy() if isinstance(inner, dict | list) else inner
        value = inner
    last = path[-1]
    if isinstance(value, list) and last == len(value):
        value.append(new)
    elif (isinstance(value, dict) and isinstance(last, str)) or _has(value, last):
        value[last] = new
    else:
        raise _nowhere(path, value)
    return made


def _has(value: Any, part: str | int) -> bool:
    if isinstance(value, dict):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and part < len(value)


def _nowhere(path: Path, value: Any) -> UsageError:
    if isinstance(value, dict):
        hint = f"there is {', '.join(map(str, value))}" if value else "the object there is empty"
    elif isinstance(value, list):
        hint = f"the list there has {len(value)} items, from [0] on"
    else:
        hint = f"what stands there is {shorten(json.dumps(value, ensure_ascii=False), 60)}"
    return UsageError(f"there is nothing at {path_text(path)}", shorten(hint, 200))
