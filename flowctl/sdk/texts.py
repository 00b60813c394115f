"""What a person typed as `name=value`, read by the type of the parameter."""

from __future__ import annotations

import typing
from typing import Any, Callable

from flowctl.sdk.durations import to_ms
from flowctl.sdk.errors import shown
from flowctl.sdk.hints import abstract_members, codec_for, is_union, plain_hint
from flowctl.sdk.jsontext import parse_json
from flowctl.sdk.schema import fields_of_class, required_fields
from flowctl.sdk.values import form_of

_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_MANY = (list, tuple, set, frozenset)


def parse_text(text: str, hint: Any) -> Any:
    """Return the value that a text means for a hint. ValueError when it means none."""
    hint = plain_hint(hint)
    if is_union(hint):
        return _parse_member(text, list(typing.get_args(hint)))
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return _parse_literal(text, arguments)
    kind: Any = hint if origin is None else origin
    if kind is Any or kind is str or kind is object:
        return text
    if kind in _SCALARS:
        return _SCALARS[kind](text)
    members = abstract_members(kind) if isinstance(kind, type) else ()
    if members:
        kind = members[0]
    if kind in _MANY:
        return _parse_many(text, kind, arguments)
    return _parse_class(text, kind, hint)


def _parse_class(text: str, kind: Any, hint: Any) -> Any:
    form = form_of(kind) if isinstance(kind, type) else None
    if form is not None:
        return form.read(text) if form.tag != "$timedelta" or "P" in text else _timedelta(text)
    if hasattr(kind, "__members__"):
        return _parse_enum(text, kind)
    return codec_for(hint).get(parse_json(text))


def _parse_member(text: str, members: list[Any]) -> Any:
    """Return what the text means for a union: str takes what no other member understands."""
    may_be_none = type(None) in members
    others = [member for member in members if member not in (type(None), str)]
    if may_be_none and str not in members and text.strip().lower() in ("", "null", "none"):
        return None
    problem = ValueError("")
    for member in others:
        try:
            return parse_text(text, member)
        except ValueError as error:
            problem = error
    if str in members:
        return text
    raise problem


def _parse_literal(text: str, values: tuple[Any, ...]) -> Any:
    for value in values:
        name = getattr(value, "name", None)
        if text in (str(value), name) or (type(value) is bool and _WORDS.get(text.lower()) is value):
            return value
    raise ValueError(f"it must be one of {', '.join(map(str, values))}")


def _parse_enum(text: str, kind: Any) -> Any:
    for member in kind:
        if text in (str(member.value), member.name):
            return member
    raise ValueError(f"it must be one of {', '.join(str(member.value) for member in kind)}")


def _parse_many(text: str, kind: Any, arguments: tuple[Any, ...]) -> Any:
    """Read a JSON array, or words between commas."""
    hint = kind[arguments] if arguments else kind
    if text.lstrip().startswith("["):
        return codec_for(hint).get(parse_json(text))
    words = [word.strip() for word in text.split(",")] if text.strip() else []
    if kind is tuple and arguments and arguments[-1] is not Ellipsis:
        if len(words) != len(arguments):
            raise ValueError(f"it must have {len(arguments)} parts between commas, not {len(words)}")
        return tuple(parse_text(word, argument) for word, argument in zip(words, arguments))
    item = arguments[0] if arguments else Any
    return kind(parse_text(word, item) for word in words)


def _int(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("") from None


def _float(text: str) -> float:
    from math import isfinite

    try:
        value = float(text)
    except ValueError:
        raise ValueError("") from None
    if not isfinite(value):
        raise ValueError("NaN and Infinity cannot be recorded")
    return value


def _bool(text: str) -> bool:
    value = _WORDS.get(text.strip().lower())
    if value is None:
        raise ValueError(f"write one of {', '.join(_WORDS)}")
    return value


def _none(text: str) -> None:
    if text.strip().lower() not in ("", "null", "none"):
        raise ValueError("")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _timedelta(text: str) -> Any:
    from datetime import timedelta

    return timedelta(milliseconds=to_ms(text))


_SCALARS: dict[Any, Callable[[str], Any]] = {int: _int, float: _float, bool: _bool, type(None): _none, bytes: _bytes}


def misfit_of(value: Any, hint: Any, path: str = "") -> str:
    """Return what is wrong with a decoded value for its hint, such as "$.top is 'x', not int"; '' when it fits.

    Reading is lenient, since Python's hints are; what a person gives as input is not.
    """
    hint = plain_hint(hint)
    if is_union(hint):
        members = [member for member in typing.get_args(hint) if member is not type(None)]
        if value is None or len(members) == 1:
            fits = len(members) < len(typing.get_args(hint)) and value is None
            return "" if fits else misfit_of(value, members[0], path)
        wrong = [misfit_of(value, member, path) for member in members]
        return "" if "" in wrong else f"${path} is {shown(value)}, not {spelled(hint)}"
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        fits = any(value == one and type(value) is type(one) for one in arguments)
        return "" if fits else f"${path} is {shown(value)}, not {spelled(hint)}"
    kind = hint if origin is None else origin
    if not isinstance(kind, type) or kind is object:
        return ""
    if not _is_a(value, kind):
        return f"${path} is {shown(value)}, not {spelled(hint)}"
    return _misfit_inside(value, arguments, path) or _misfit_in_fields(value, kind, path)


def _is_a(value: Any, kind: type) -> bool:
    if kind in (int, float) and isinstance(value, bool):
        return False
    if hasattr(kind, "__required_keys__"):  # a TypedDict answers isinstance with an error
        return isinstance(value, dict)
    try:
        return isinstance(value, kind) or (kind is float and isinstance(value, int))
    except TypeError:  # a Protocol and the like: nothing to check
        return True


def _misfit_inside(value: Any, arguments: tuple[Any, ...], path: str) -> str:
    pairs: typing.Iterable[tuple[str, Any, Any]] = ()
    if isinstance(value, dict) and len(arguments) == 2:
        pairs = ((f"{path}.{key}", item, arguments[1]) for key, item in value.items())
    elif isinstance(value, tuple) and arguments and arguments[-1] is not Ellipsis:
        if len(value) != len(arguments):
            return f"${path} has {len(value)} items, not {len(arguments)}"
        pairs = ((f"{path}[{at}]", item, arguments[at]) for at, item in enumerate(value))
    elif isinstance(value, _MANY) and arguments:
        pairs = ((f"{path}[{at}]", item, arguments[0]) for at, item in enumerate(value))
    return next(filter(None, (misfit_of(item, hint, inner) for inner, item, hint in pairs)), "")


def _misfit_in_fields(value: Any, kind: Any, path: str) -> str:
    if required_fields(kind) is None or hasattr(kind, "__struct_fields__"):  # msgspec has checked its own
        return ""
    read: Callable[..., Any] = value.get if isinstance(value, dict) else lambda name, _: getattr(value, name, None)
    missing = [name for name in required_fields(kind) if isinstance(value, dict) and name not in value]
    if missing:
        return f"${path} lacks {missing[0]}"
    hints = fields_of_class(kind)
    present = [name for name in hints if not isinstance(value, dict) or name in value]
    wrong = (misfit_of(read(name, None), hints[name], f"{path}.{name}") for name in present)
    return next(filter(None, wrong), "")


def spelled(hint: Any) -> str:
    """Return a hint as its author would write it."""
    hint = plain_hint(hint)
    if is_union(hint):
        return " or ".join(spelled(member) for member in typing.get_args(hint))
    if hint is type(None):
        return "None"
    if typing.get_origin(hint) is None and isinstance(hint, type):
        return hint.__qualname__
    return str(hint).replace("typing.", "").replace("pathlib._local.", "").replace("datetime.", "")
