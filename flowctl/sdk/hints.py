"""Type hints compiled to codecs: what a hint determines is written in a readable form without tags."""

from __future__ import annotations

import collections.abc
import typing
from collections.abc import Iterable, Iterator
from typing import Any, Callable, Optional, Union

from flowctl.sdk.codec import (
    ANY,
    DEPTH_LIMIT,
    Codec,
    Get,
    Put,
    decode_any,
    encode_any,
    key_text,
    misfit,
    read,
    tag_of,
    too_deep,
    written,
)
from flowctl.sdk.errors import Unreadable, Unstorable
from flowctl.sdk.jsontext import in_stable_order, step_into
from flowctl.sdk.values import Form, form_of

_compiled: dict[Any, Codec] = {}
_NATIVE_KINDS: dict[Any, str] = {str: "string", int: "number", bool: "bool", list: "array", dict: "object"}
_JSON_KINDS: dict[type, str] = {**_NATIVE_KINDS, float: "number", type(None): "null"}
_LISTS = (collections.abc.Sequence, collections.abc.MutableSequence)
_DICTS = (collections.abc.Mapping, collections.abc.MutableMapping)
_SETS = (collections.abc.Set, collections.abc.MutableSet)
_MANY = (collections.abc.Iterable, collections.abc.Collection)


def codec_for(hint: Any) -> Codec:
    """Return the codec of a type hint, compiled once."""
    try:
        known = _compiled.get(hint)
    except TypeError:  # an unhashable hint, such as Annotated[int, []]
        return _compile(hint)
    if known is None:
        _compiled[hint] = _deferred(hint)  # what a recursive alias meets inside itself
        try:
            known = _compile(hint)
        finally:
            del _compiled[hint]
        _compiled[hint] = known
    return known


def _deferred(hint: Any) -> Codec:
    def put(value: Any, depth: int) -> Any:
        return codec_for(hint).put(value, depth)

    def get(plain: Any) -> Any:
        return codec_for(hint).get(plain)

    return Codec(put, get, ANY.kinds, ())


def plain_hint(hint: Any) -> Any:
    """Return a hint without what does not change its values: Annotated, NewType, type aliases, Final, TypeVar."""
    while True:
        origin = typing.get_origin(hint)
        if hasattr(hint, "__metadata__"):
            hint = hint.__origin__
        elif hasattr(hint, "__supertype__"):
            hint = hint.__supertype__
        elif type(hint).__name__ == "TypeAliasType":
            hint = hint.__value__
        elif origin in (typing.Final, typing.ClassVar) or getattr(origin, "_name", "") in _MARKS:
            (hint,) = typing.get_args(hint)
        else:
            return Any if isinstance(hint, typing.TypeVar) else hint


_MARKS = ("Required", "NotRequired", "ReadOnly")


def is_union(hint: Any) -> bool:
    """Say whether a hint is a union, written either way."""
    return typing.get_origin(hint) is Union or type(hint).__name__ == "UnionType"


def _compile(hint: Any) -> Codec:
    hint = plain_hint(hint)
    if is_union(hint):
        return _union(list(typing.get_args(hint)))
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return _union(list({type(value): None for value in arguments}))
    return _compile_class(hint if origin is None else origin, arguments)


def _compile_class(kind: Any, arguments: tuple[Any, ...]) -> Codec:
    if not isinstance(kind, type):
        return ANY
    if kind in _GENERIC:
        return _GENERIC[kind](arguments)
    concrete = abstract_members(kind)
    if concrete:
        return _union([_applied(one, arguments) for one in concrete])
    if kind in _NATIVE_KINDS or kind is type(None):
        return Codec(encode_any, decode_any, frozenset({_JSON_KINDS[kind]}), (kind,))
    if kind is float:
        return _FLOAT
    form = form_of(kind)
    if form is not None:
        return _form_codec(kind, form)
    from flowctl.sdk.models import model_codec

    return model_codec(kind) or ANY


def abstract_members(kind: type) -> tuple[type, ...]:
    """Return the builtin types that an abstract collection may stand for; () for any other class."""
    return next((concrete for abstract, concrete in _ABSTRACT if kind in abstract), ())


def _applied(kind: Any, arguments: tuple[Any, ...]) -> Any:
    if kind is dict:
        return kind[arguments] if arguments else kind
    item = arguments[0] if arguments else Any
    return kind[item, ...] if kind is tuple else kind[item]


def _put_float(value: Any, depth: int) -> Any:
    """Write ints as floats, so that 3 and 3.0 are the same input."""
    if type(value) is int and -(1 << 53) <= value <= 1 << 53:
        return float(value)
    return encode_any(value, depth)


_FLOAT = Codec(_put_float, decode_any, frozenset({"number"}), (float,))


def _form_codec(kind: type, form: Form) -> Codec:
    write, reader = form.write, form.read
    exact = _exact_types(kind)

    def put(value: Any, depth: int) -> Any:
        return written(write, value) if type(value) in exact else misfit(value, depth)

    def get(plain: Any) -> Any:
        return read(reader, plain) if type(plain) is str else decode_any(plain)

    return Codec(put, get, frozenset({"string"}), exact, form.tag)


def _exact_types(kind: type) -> tuple[type, ...]:
    if kind.__name__ == "Path" and kind.__module__.partition(".")[0] == "pathlib":
        return (kind, type(kind()))  # a Path is really a PosixPath or a WindowsPath
    return (kind,)


def _list_codec(arguments: tuple[Any, ...]) -> Codec:
    item = codec_for(arguments[0]) if arguments else ANY
    return _sequence(list, item, "")


def _set_codec(arguments: tuple[Any, ...]) -> Codec:
    return _sequence(set, codec_for(arguments[0]) if arguments else ANY, "$set")


def _frozenset_codec(arguments: tuple[Any, ...]) -> Codec:
    return _sequence(frozenset, codec_for(arguments[0]) if arguments else ANY, "$frozenset")


def _tuple_codec(arguments: tuple[Any, ...]) -> Codec:
    if not arguments:
        return _sequence(tuple, ANY, "$tuple")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return _sequence(tuple, codec_for(arguments[0]), "$tuple")
    return _fixed([codec_for(argument) for argument in arguments if argument != ()])


def _sequence(kind: type, item: Codec, tag: str) -> Codec:
    if kind is list and item.put is encode_any and item.get is decode_any:
        return Codec(encode_any, decode_any, frozenset({"array"}), (list,))
    item_put, unordered = item.put, kind in (set, frozenset)

    def put(value: Any, depth: int) -> Any:
        if type(value) is not kind:
            return misfit(value, depth)
        forms = put_items(value, item_put, depth)
        return in_stable_order(forms) if unordered else forms

    def get(plain: Any) -> Any:
        return kind(get_items(plain, item.get)) if type(plain) is list else decode_any(plain)

    native = kind is list and item.get is decode_any
    return Codec(put, decode_any if native else get, frozenset({"array"}), (kind,), tag)


def put_items(value: Any, put: Put, depth: int) -> list[Any]:
    """Return the forms of items that have one hint."""
    if depth >= DEPTH_LIMIT:
        raise too_deep()
    out: list[Any] = []
    depth += 1
    try:
        for item in value:
            out.append(put(item, depth))
    except Unstorable as refusal:
        raise refusal.under(f"[{len(out)}]") from None
    return out


def get_items(plain: list[Any], get: Get) -> list[Any]:
    """Return the values of items that have one hint."""
    out: list[Any] = []
    try:
        for item in plain:
            out.append(get(item))
    except Unreadable as refusal:
        raise refusal.under(f"[{len(out)}]") from None
    return out


def _fixed(items: list[Codec]) -> Codec:
    """Return the codec of a tuple of fixed length."""

    def put(value: Any, depth: int) -> Any:
        if type(value) is not tuple or len(value) != len(items):
            return misfit(value, depth)
        writers = iter(items)
        return put_items(value, lambda item, depth: next(writers).put(item, depth), depth)

    def get(plain: Any) -> Any:
        if type(plain) is not list or len(plain) != len(items):
            return decode_any(plain)
        readers = iter(items)
        return tuple(get_items(plain, lambda item: next(readers).get(item)))

    return Codec(put, get, frozenset({"array"}), (tuple,), "$tuple")


def _dict_codec(arguments: tuple[Any, ...]) -> Codec:
    item = codec_for(arguments[1]) if len(arguments) == 2 else ANY
    if item.put is encode_any and item.get is decode_any:
        return Codec(encode_any, decode_any, frozenset({"object"}), (dict,))
    codec_of = _Same(item).__getitem__

    def put(value: Any, depth: int) -> Any:
        return put_fields(value.items(), codec_of, depth) if type(value) is dict else misfit(value, depth)

    def get(plain: Any) -> Any:
        fields = fields_of(plain)
        return decode_any(plain) if fields is None else get_fields(fields, codec_of)

    native = item.get is decode_any
    return Codec(put, decode_any if native else get, frozenset({"object"}), (dict,))


class _Same:
    """A mapping in which every key has the same codec."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    def __getitem__(self, key: str) -> Codec:
        return self._codec


def put_fields(fields: Iterable[tuple[Any, Any]], codec_of: Callable[[str], Codec], depth: int) -> dict[str, Any]:
    """Return the form of an object whose fields have hints. It never looks like a tag."""
    if depth >= DEPTH_LIMIT:
        raise too_deep()
    out: dict[str, Any] = {}
    key: Any = ""
    depth += 1
    try:
        for key, value in fields:
            if type(key) is not str:
                key = key_text(key)
            out[key] = codec_of(key).put(value, depth)
    except Unstorable as refusal:
        raise (refusal.under(step_into(key)) if type(key) is str else refusal) from None
    return {"$object": out} if tag_of(out) else out


def fields_of(plain: Any) -> Optional[dict[str, Any]]:
    """Return the fields of an object's form, or None when the form is something else."""
    if type(plain) is not dict:
        return None
    tag = tag_of(plain)
    if not tag:
        return plain
    inner = plain[tag]
    return inner if tag == "$object" and type(inner) is dict else None


def get_fields(fields: dict[str, Any], codec_of: Callable[[str], Codec]) -> dict[str, Any]:
    """Return the values of an object's fields."""
    out: dict[str, Any] = {}
    key = ""
    try:
        for key, plain in fields.items():
            out[key] = codec_of(key).get(plain)
    except Unreadable as refusal:
        raise refusal.under(step_into(key)) from None
    return out


def _union(members: list[Any]) -> Codec:
    wanted = list(dict.fromkeys(_flat(members)))
    codecs = [codec_for(member) for member in wanted if member is not type(None)]
    if len(codecs) == 1:
        return codecs[0]._replace(kinds=codecs[0].kinds | {"null"})
    return _Union(codecs).codec() if codecs else ANY


def _flat(members: Iterable[Any]) -> Iterator[Any]:
    for member in map(plain_hint, members):
        if is_union(member):
            yield from _flat(typing.get_args(member))
        else:
            yield type(None) if member is None else member


class _Union:
    """The codec of several members: it writes by the exact type of a value and reads by tag, else by JSON kind.

    A member is tagged when another one shares a JSON kind of its form; lists and dicts never are. Where two members
    have the same Python type, such as list[Foo] and list[Bar], values of that type are written without help of a hint.
    """

    def __init__(self, codecs: list[Codec]) -> None:
        self.kinds = frozenset(kind for codec in codecs for kind in codec.kinds)
        self.by_type: dict[type, tuple[str, Codec]] = {}
        self.by_tag: dict[str, Codec] = {}
        self.by_kind: dict[str, Codec] = {}
        types = [kind for codec in codecs for kind in codec.types]
        for codec in codecs:
            if any(types.count(kind) > 1 for kind in codec.types):
                continue
            others = [kind for other in codecs if other is not codec for kind in other.kinds]
            self._add(codec, codec.tag != "" and not codec.kinds.isdisjoint(others))

    def _add(self, codec: Codec, tagged: bool) -> None:
        tag = codec.tag if tagged else ""
        if tag in self.by_tag:
            tag = f"${codec.types[0].__module__}.{codec.types[0].__qualname__}"
        for kind in codec.types:
            self.by_type[kind] = (tag, codec)
        if tagged:
            self.by_tag[tag] = codec
        elif codec.get is not decode_any:
            self.by_kind.update(dict.fromkeys(codec.kinds, codec))

    def put(self, value: Any, depth: int) -> Any:
        tag, codec = self.by_type.get(type(value), ("", ANY))
        form = codec.put(value, depth)
        if tag:
            return {tag: form}
        if codec is ANY and _JSON_KINDS[type(form)] in self.by_kind and not (type(form) is dict and tag_of(form)):
            return {"$value": form}
        return form

    def get(self, plain: Any) -> Any:
        tag = tag_of(plain) if type(plain) is dict else ""
        if tag in self.by_tag:
            return self.by_tag[tag].get(plain[tag])
        return self.by_kind.get(_JSON_KINDS[type(plain)], ANY).get(plain)

    def codec(self) -> Codec:
        get = self.get if self.by_tag or self.by_kind else decode_any
        return Codec(self.put, get, self.kinds, tuple(self.by_type))


_GENERIC: dict[Any, Callable[[tuple[Any, ...]], Codec]] = {
    list: _list_codec,
    tuple: _tuple_codec,
    set: _set_codec,
    frozenset: _frozenset_codec,
    dict: _dict_codec,
}
_ABSTRACT: tuple[tuple[tuple[Any, ...], tuple[type, ...]], ...] = (
    (_LISTS, (list, tuple)),
    (_DICTS, (dict,)),
    (_SETS, (set, frozenset)),
    (_MANY, (list, tuple, set, frozenset)),
)
