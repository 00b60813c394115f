"""What a person writes after the target: name=value, name:=JSON, name=@file, and --input and --each."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from flowctl.core.errors import NotFound, NotPermitted, UsageError
from flowctl.core.text import quoted

_PAIR = re.compile(r"([^\W\d]\w*)(:?=)(.*)", re.DOTALL)
_HINT = "write name=value, name:=JSON, or name=@file"


class Arguments(NamedTuple):
    """What is to be bound to a workflow's parameters: texts by their types, and a JSON object as it is."""

    texts: dict[str, str]
    object_text: str | None = None


def parse_arguments(pairs: Iterable[str], input_text: str | None = None) -> Arguments:
    """Return what the words after a target mean, on top of the object given by --input. Raises UsageError."""
    texts: dict[str, str] = {}
    values: dict[str, Any] = {}
    for pair in pairs:
        name, value, is_json = _split(pair)
        if name in texts or name in values:
            raise UsageError(f"{name} is given twice", "name each parameter once")
        if is_json:
            values[name] = parse_json(value, f"the value of {name}")
        else:
            texts[name] = value
    if input_text is not None:
        base = parse_object(input_text, "--input")
        if not values and not texts.keys() & base.keys():
            return Arguments(texts, input_text)
        values = {name: value for name, value in base.items() if name not in texts} | values
    return Arguments(texts, json.dumps(values) if values or input_text is not None else None)


def _split(pair: str) -> tuple[str, str, bool]:
    match = _PAIR.fullmatch(pair)
    if match is None:
        raise UsageError(f"{quoted(pair)} is not an argument", _HINT)
    name, sign, value = match.groups()
    if value.startswith("@"):
        value = read_source(value[1:], f"the value of {name}", f"for text that begins with @ write {name}:='\"@…\"'")
    return name, value, sign == ":="


def read_input(source: str, what: str = "--input") -> str:
    """Return the JSON text that an option names: itself, @file, or - for stdin. `what` is the option."""
    if source == "-":
        return read_stdin(what)
    return read_source(source[1:], what) if source.startswith("@") else source


def read_each(source: str) -> Iterator[tuple[int, str]]:
    """Yield number and text of the JSON lines that --each names, without empty lines."""
    text = read_stdin("--each") if source == "-" else read_source(source.removeprefix("@"), "--each")
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line


def read_source(path: str, what: str, hint: str = "") -> str:
    """Return the text of a file. Raises NotFound, NotPermitted or UsageError."""
    try:
        return read_bytes(path, what, hint).decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"the file {path} is not UTF-8 text, at byte {error.start} ({what})") from None


def read_bytes(path: str, what: str, hint: str = "") -> bytes:
    """Return what a file holds. Raises NotFound, NotPermitted or UsageError."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise NotFound(f"there is no file {path} ({what})", hint) from None
    except PermissionError:
        raise NotPermitted(f"the file {path} cannot be read: permission denied ({what})") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"the file {path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def read_stdin(what: str) -> str:
    """Return the text that comes by stdin. Raises UsageError."""
    try:
        return read_stdin_bytes(what).decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"stdin is not UTF-8 text, at byte {error.start} ({what})") from None


def read_stdin_bytes(what: str) -> bytes:
    """Return everything that comes by stdin. Raises UsageError."""
    if sys.stdin is None:
        raise UsageError(f"{what} - reads stdin, which is closed")
    return sys.stdin.buffer.read()


def parse_object(text: str, what: str) -> dict[str, Any]:
    """Return the JSON object in a text. Raises UsageError that shows the place."""
    value = parse_json(text, what)
    if not isinstance(value, dict):
        raise UsageError(f"{what} is not a JSON object but {_kind(value)}", 'give an object: {"name": value}')
    return value


def parse_json(text: str, what: str) -> Any:
    """Return the value of a JSON text. Raises UsageError that shows the place; NaN and Infinity are not JSON."""
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except json.JSONDecodeError as error:
        caret = _caret(text, error.pos)
        message = f"{what} is not JSON: {_lower(error.msg)}, line {error.lineno} column {error.colno}"
        raise UsageError(message, caret) from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{what} is not JSON: {error}") from None


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:40]} is too large a number")
    return value


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]


def _caret(text: str, at: int) -> str:
    """Return the line of the text around a place, and a caret below it."""
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    line = text[start : len(text) if end < 0 else end].replace("\t", " ")
    left = max(0, at - start - 40)
    return f"{line[left : left + 70]}\n{'':{at - start - left}}^"


def _kind(value: object) -> str:
    names = {list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")
