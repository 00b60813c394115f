"""Python values to JSON text and back, exactly.

A type hint that determines the type gives a readable form (`hints.py`). Where there is none, what JSON cannot hold is
tagged by an object with a single key that starts with "$":

| tag | holds |
|---|---|
| $tuple, $set, $frozenset | a list |
| $datetime, $date, $time, $timedelta, $uuid, $decimal, $path, $bytes | text, see `values.py` |
| $secret | the name of a secret: its value is never written |
| $object | a dict of the user that would look like a tag |
| $value | something else than the hint promised |
| $ClassName | a member of a union whose form would be ambiguous |

"$payload" and "$sensitive" belong to the store and to sensitive parameters. No user value can look like a tag. The
text keeps the order of dicts; the hash ignores it. Sets are written in a stable order.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from threading import Lock
from typing import Any, Callable, NamedTuple, TypeVar

from flowctl.sdk.errors import Unreadable, Unstorable, shown
from flowctl.sdk.jsontext import canonical_hash as canonical_hash
from flowctl.sdk.jsontext import in_stable_order, loads, text_of
from flowctl.sdk.jsontext import parse_json as parse_json
from flowctl.sdk.jsontext import step_into as step_into
from flowctl.sdk.values import form_of, form_of_tag

DEPTH_LIMIT = 500
DIGITS_LIMIT = 4300  # what Python itself is willing to turn into text

R = TypeVar("R")
Put = Callable[[Any, int], Any]
Get = Callable[[Any], Any]

_room = Lock()
_SMALL = 1 << 64
_SCALARS = frozenset({str, bool, type(None)})
_TO_LIST = frozenset({"generator", "range", "map", "filter", "zip", "reversed", "deque", "dict_keys", "dict_values"})


class Secret(str):
    """The value of a secret: usable as text, recorded by its name only."""

    __slots__ = ("name",)
    name: str

    def __new__(cls, value: str, name: str) -> Secret:
        secret = super().__new__(cls, value)
        secret.name = name
        return secret

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]  # what copy needs
        return str(self), self.name

    def __repr__(self) -> str:
        return "'***'"


class Codec(NamedTuple):
    """Both directions of one type hint, compiled."""

    put: Put  # (value, depth) to what JSON can hold
    get: Get  # back
    kinds: frozenset[str]  # the JSON kinds of its form
    types: tuple[type, ...]  # the exact types it writes; a union chooses by them
    tag: str = ""  # what a union marks it with when its form would be ambiguous

    def encode(self, value: Any) -> str:
        """Return the JSON text of a value. Raises Unstorable, with the path."""
        return with_room(lambda: text_of(self.put(value, 0)))

    def decode(self, text: str) -> Any:
        """Return the value of a JSON text. Raises Unreadable, with the path."""
        if self.get is decode_any and '"$' not in text:
            return with_room(lambda: loads(text))
        return with_room(lambda: self.get(loads(text)))

    def plain(self, value: Any) -> Any:
        """Return what JSON can hold of a value. Raises Unstorable, with the path."""
        return with_room(lambda: self.put(value, 0))


def encode(value: Any, hint: Any = Any) -> str:
    """Return the JSON text of a value. Raises Unstorable, with the path."""
    return _codec(hint).encode(value)


def decode(text: str, hint: Any = Any) -> Any:
    """Return the value of a JSON text that `encode` wrote with the same hint. Raises Unreadable, with the path."""
    return _codec(hint).decode(text)


def with_room(work: Callable[[], R]) -> R:
    """Return what the work returns, on a call stack that is deep enough for it.

    A value may be as deep as the limit wherever the call comes from, and its depth is limited, so this is safe.
    """
    try:
        return work()
    except RecursionError:
        with _room:  # the limit is the whole process's
            before = sys.getrecursionlimit()
            sys.setrecursionlimit(before + 10 * DEPTH_LIMIT)
            try:
                return work()
            finally:
                sys.setrecursionlimit(before)


def resolve_secrets_with(resolver: Callable[[str], str]) -> None:
    """Take the function that gives the value of a secret by its name when a recorded reference is read."""
    global _resolver
    _resolver = resolver


def encode_any(value: Any, depth: int) -> Any:
    """Return what JSON can hold of a value without help of a hint."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    return _WRITERS.get(kind, _encode_other)(value, depth)


def decode_any(plain: Any) -> Any:
    """Return the value that `encode_any` wrote."""
    kind = type(plain)
    if kind is dict:
        tag = tag_of(plain)
        return _untag(tag, plain[tag]) if tag else _decode_items(plain)
    if kind is list:
        return _decode_list(plain)
    return plain


def misfit(value: Any, depth: int) -> Any:
    """Return the form of a value that is not what its hint promised; `decode_any` understands it."""
    plain = encode_any(value, depth)
    if plain is None or (type(plain) is dict and tag_of(plain)):
        return plain
    return {"$value": plain}


def tag_of(plain: Mapping[str, Any]) -> str:
    """Return the only key of an object if it starts with "$", else ''."""
    if len(plain) != 1:
        return ""
    (key,) = plain
    return key if key.startswith("$") else ""


def name_of(kind: type) -> str:
    """Return the name of a type as its author would write it."""
    return (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    )


def key_text(key: Any) -> str:
    """Return a dict key as text; only strings can be one."""
    if isinstance(key, str) and not _is_enum(type(key)):
        return str.__str__(key)
    raise Unstorable(f"has the key {shown(key)}, which is a {name_of(type(key))}: only strings can be keys")


def _codec(hint: Any) -> Codec:
    if hint is Any:
        return ANY
    from flowctl.sdk.hints import codec_for

    return codec_for(hint)


def _put_int(value: int, _depth: int = 0) -> int:
    if not -_SMALL < value < _SMALL and value.bit_length() > 3.32 * DIGITS_LIMIT and abs(value) >= 10**DIGITS_LIMIT:
        raise Unstorable(f"is a number of more than {DIGITS_LIMIT} digits")
    return value


def _put_float(value: float, _depth: int = 0) -> float:
    if not math.isfinite(value):
        raise Unstorable(f"is {value!r}, and NaN and Infinity cannot be recorded: use None instead")
    return value


def put_dict(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    """Return the form of a dict whose values have no hints."""
    if depth >= DEPTH_LIMIT:
        raise too_deep()
    out: dict[str, Any] = {}
    key: Any = ""
    depth += 1
    try:
        for key, item in value.items():
            if type(key) is not str:
                key = key_text(key)
            kind = type(item)
            out[key] = item if kind in _SCALARS else _WRITERS.get(kind, _encode_other)(item, depth)
    except Unstorable as refusal:
        raise (refusal.under(step_into(key)) if type(key) is str else refusal) from None
    return {"$object": out} if len(out) == 1 and key.startswith("$") else out


def put_list(value: Any, depth: int) -> list[Any]:
    """Return the forms of a sequence's items, which have no hints."""
    if depth >= DEPTH_LIMIT:
        raise too_deep()
    out: list[Any] = []
    depth += 1
    try:
        for item in value:
            kind = type(item)
            out.append(item if kind in _SCALARS else _WRITERS.get(kind, _encode_other)(item, depth))
    except Unstorable as refusal:
        raise refusal.under(f"[{len(out)}]") from None
    return out


def _put_tagged(tag: str) -> Put:
    def put(value: Any, depth: int) -> Any:
        return {tag: put_list(value, depth)}

    return put


def _put_set(tag: str) -> Put:
    def put(value: Any, depth: int) -> Any:
        return {tag: in_stable_order(put_list(value, depth))}

    return put


def _put_secret(value: Secret, _depth: int) -> Any:
    return {"$secret": value.name}


def _encode_other(value: Any, depth: int) -> Any:
    kind = type(value)
    form = form_of(kind)
    if form is not None:
        return {form.tag: written(form.write, value)}
    if _needs_hint(kind):
        name = kind.__qualname__
        raise Unstorable(f"is a {name_of(kind)}, which comes back only by its type hint: add one, such as `-> {name}`")
    for base, write in _BASES:
        if isinstance(value, base):
            return write(value, depth)
    if kind.__name__ in _TO_LIST:
        raise Unstorable(f"is a {name_of(kind)}, which cannot be recorded: make it a list(…) first")
    raise Unstorable(f"is a {name_of(kind)}, which cannot be recorded: return only the data that is needed of it")


def written(write: Callable[[Any], Any], value: Any) -> Any:
    """Return what a form writes of a value; its complaint becomes a refusal."""
    try:
        return write(value)
    except (ValueError, OverflowError) as error:
        raise Unstorable(str(error)) from None


def read(reader: Callable[[Any], Any], plain: Any) -> Any:
    """Return what a form reads; its complaint becomes a refusal."""
    try:
        return reader(plain)
    except Unreadable:
        raise
    except (ValueError, OverflowError, ArithmeticError) as error:
        raise Unreadable(f"cannot be read: {error}") from None


def _needs_hint(kind: type) -> bool:
    marks = ("__dataclass_fields__", "__attrs_attrs__", "__struct_fields__", "__pydantic_fields__", "_fields")
    return _is_enum(kind) or any(hasattr(kind, mark) for mark in marks)


def _is_enum(kind: type) -> bool:
    return hasattr(kind, "__members__")


def _decode_items(plain: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    key = ""
    try:
        for key, item in plain.items():
            out[key] = item if type(item) in _SCALARS else decode_any(item)
    except Unreadable as refusal:
        raise refusal.under(step_into(key)) from None
    return out


def _decode_list(plain: list[Any]) -> list[Any]:
    out: list[Any] = []
    try:
        for item in plain:
            out.append(item if type(item) in _SCALARS else decode_any(item))
    except Unreadable as refusal:
        raise refusal.under(f"[{len(out)}]") from None
    return out


def _untag(tag: str, inner: Any) -> Any:
    form = form_of_tag(tag)
    if form is not None and isinstance(inner, str):
        return read(form.read, inner)
    container = _CONTAINERS.get(tag)
    if container is not None and isinstance(inner, list):
        try:
            return container(_decode_list(inner))
        except TypeError as error:  # a list in a set
            raise Unreadable(f"cannot be read: {error}") from None
    if tag == "$object" and isinstance(inner, dict):
        return _decode_items(inner)
    if tag == "$value":
        return decode_any(inner)
    if tag == "$secret" and isinstance(inner, str):
        return Secret(read(_resolver, inner), inner)
    raise Unreadable(f"holds the tag {shown(tag)}, which means nothing here")


def _resolve_from_environment(name: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise ValueError(f"there is no secret {name}")
    return value


def too_deep() -> Unstorable:
    """Return the refusal of a value that is nested too deeply."""
    return Unstorable(f"is nested deeper than {DEPTH_LIMIT} levels, or contains itself")


_resolver: Callable[[str], str] = _resolve_from_environment
_CONTAINERS: dict[str, Callable[[list[Any]], Any]] = {
    "$tuple": tuple,
    "$set": set,
    "$frozenset": frozenset,
}
_WRITERS: dict[type, Put] = {
    int: _put_int,
    float: _put_float,
    dict: put_dict,
    list: put_list,
    tuple: _put_tagged("$tuple"),
    set: _put_set("$set"),
    frozenset: _put_set("$frozenset"),
    Secret: _put_secret,
}
# Subclasses that mean no more than their base: OrderedDict, numpy.float64, a library's own str.
_BASES: tuple[tuple[type, Put], ...] = (
    (str, lambda value, _: str.__str__(value)),
    (int, lambda value, _: _put_int(int.__int__(value))),
    (float, lambda value, _: _put_float(float.__float__(value))),
    (dict, put_dict),
    (list, put_list),
)
ANY = Codec(encode_any, decode_any, frozenset({"null", "bool", "number", "string", "array", "object"}), ())
