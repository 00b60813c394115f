"""Codecs of classes: enums, dataclasses, NamedTuple, TypedDict, and the author's pydantic, attrs or msgspec models.

No library is imported here: a class that is one of theirs brings it along.
"""

from __future__ import annotations

import sys
from typing import Any, Callable, NamedTuple, Optional

from flowctl.sdk.codec import ANY, Codec, decode_any, encode_any, misfit
from flowctl.sdk.errors import Unreadable, Unstorable, shown
from flowctl.sdk.hints import codec_for, fields_of, get_fields, put_fields
from flowctl.sdk.resolve import resolve_hints

_OBJECT = frozenset({"object"})


class Field(NamedTuple):
    """One field of a class: its attribute, the name its constructor takes, and whether that is all it needs."""

    name: str
    parameter: Optional[str]
    required: bool


def model_codec(kind: type) -> Optional[Codec]:
    """Return the codec of a class, or None when it is not of a kind that has one."""
    if hasattr(kind, "__members__"):
        return _enum_codec(kind)
    if hasattr(kind, "__total__") and hasattr(kind, "__required_keys__"):
        return _typed_dict_codec(kind)
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return _named_tuple_codec(kind)
    if hasattr(kind, "model_validate") or hasattr(kind, "__get_validators__"):
        return _library_codec(kind, *_pydantic(kind))
    if hasattr(kind, "__struct_fields__"):
        return _library_codec(kind, *_msgspec(kind))
    if hasattr(kind, "__dataclass_fields__") or hasattr(kind, "__attrs_attrs__"):
        return _record_codec(kind, record_fields(kind))
    return None


def record_fields(kind: Any) -> list[Field]:
    """Return the fields of a dataclass or attrs class that are its state."""
    return _dataclass_fields(kind) if hasattr(kind, "__dataclass_fields__") else _attrs_fields(kind)


def _tag(kind: type) -> str:
    """Return the mark of a class in a union. The tags of the standard library are single lower-case words."""
    name = kind.__qualname__
    return f"${name}" if name[:1].isupper() else f"${kind.__module__}.{name}"


def _enum_codec(kind: Any) -> Codec:
    """Return the codec of an enum: by value if all values are text or all are whole numbers, else by name."""
    value_types = {type(member.value) for member in kind}
    is_flag = any(base.__name__ == "Flag" for base in kind.__mro__)
    by_value = is_flag or value_types in ({str}, {int})

    def put(value: Any, depth: int) -> Any:
        if type(value) is not kind:
            return misfit(value, depth)
        return value.value if by_value else value.name

    def get(plain: Any) -> Any:
        if type(plain) not in (str, int):
            return decode_any(plain)
        try:
            return kind(plain) if by_value else kind[plain]
        except (ValueError, KeyError):
            known = ", ".join(str(member.value if by_value else member.name) for member in kind)
            raise Unreadable(f"is {shown(plain)}, which is not a {kind.__qualname__} ({known})") from None

    form = "number" if is_flag or value_types == {int} else "string"
    return Codec(put, get, frozenset({form}), (kind,), _tag(kind))


def _record_codec(kind: Any, fields: list[Field]) -> Codec:
    """Return the codec of a class that is made by its constructor and whose state is its fields."""
    lazily: list[Callable[[str], Codec]] = []  # hints may name classes that are defined later

    def codec_of(name: str) -> Codec:
        if not lazily:
            hints = resolve_hints(kind)
            codecs = {field.name: codec_for(hints.get(field.name, Any)) for field in fields}
            lazily.append(lambda name: codecs.get(name, ANY))
        return lazily[0](name)

    def put(value: Any, depth: int) -> Any:
        if type(value) is not kind:
            return misfit(value, depth)
        present = [(field.name, getattr(value, field.name)) for field in fields if hasattr(value, field.name)]
        return put_fields(present, codec_of, depth)

    def get(plain: Any) -> Any:
        found = fields_of(plain)
        return decode_any(plain) if found is None else _make(kind, fields, get_fields(found, codec_of))

    return Codec(put, get, _OBJECT, (kind,), _tag(kind))


def _make(kind: Any, fields: list[Field], values: dict[str, Any]) -> Any:
    _check_names(kind, {field.name for field in fields}, values)
    missing = [field.name for field in fields if field.required and field.name not in values]
    if missing:
        raise Unreadable(f"is not a whole {kind.__qualname__}: {', '.join(missing)} missing")
    given = {field.parameter: values[field.name] for field in fields if field.parameter and field.name in values}
    try:
        made = kind(**given)
    except Exception as error:  # noqa: BLE001  # the author's own code runs here
        raise Unreadable(f"cannot become a {kind.__qualname__}: {_first_line(error)}") from None
    restore = hasattr(kind, "__post_init__") or hasattr(kind, "__attrs_post_init__") or len(given) < len(values)
    if restore:  # what the constructor computes or changes was recorded after it did so
        for name, value in values.items():
            object.__setattr__(made, name, value)
    return made


def _check_names(kind: type, known: set[str], values: dict[str, Any]) -> None:
    unknown = [name for name in values if name not in known]
    if unknown:
        raise Unreadable(f"has {shown(unknown[0])}, and {kind.__qualname__} has no such field")


def _dataclass_fields(kind: Any) -> list[Field]:
    found = []
    for name, field in kind.__dataclass_fields__.items():
        if field._field_type.name != "_FIELD":  # ClassVar and InitVar are no state
            continue
        missing = type(field.default).__name__ == "_MISSING_TYPE"
        no_factory = type(field.default_factory).__name__ == "_MISSING_TYPE"
        found.append(Field(name, name if field.init else None, field.init and missing and no_factory))
    return found


def _attrs_fields(kind: Any) -> list[Field]:
    found = []
    for field in kind.__attrs_attrs__:
        required = field.init and type(field.default).__name__ == "_Nothing"
        alias = getattr(field, "alias", None) or field.name.lstrip("_")
        found.append(Field(field.name, alias if field.init else None, required))
    return found


def _typed_dict_codec(kind: Any) -> Codec:
    lazily: list[dict[str, Codec]] = []

    def codec_of(name: str) -> Codec:
        if not lazily:
            lazily.append({key: codec_for(hint) for key, hint in resolve_hints(kind).items()})
        return lazily[0].get(name, ANY)

    def put(value: Any, depth: int) -> Any:
        return put_fields(value.items(), codec_of, depth) if type(value) is dict else misfit(value, depth)

    def get(plain: Any) -> Any:
        found = fields_of(plain)
        return decode_any(plain) if found is None else get_fields(found, codec_of)

    return Codec(put, get, _OBJECT, (dict,))


def _named_tuple_codec(kind: Any) -> Codec:
    lazily: list[dict[str, Codec]] = []

    def codec_of(name: str) -> Codec:
        if not lazily:
            lazily.append({key: codec_for(hint) for key, hint in resolve_hints(kind).items()})
        return lazily[0].get(name, ANY)

    def put(value: Any, depth: int) -> Any:
        if type(value) is not kind:
            return misfit(value, depth)
        return put_fields(zip(kind._fields, value), codec_of, depth)

    def get(plain: Any) -> Any:
        found = fields_of(plain)
        if found is None:
            return decode_any(plain)
        _check_names(kind, set(kind._fields), found)
        try:
            return kind(**get_fields(found, codec_of))
        except TypeError as error:
            raise Unreadable(f"cannot become a {kind.__qualname__}: {error}") from None

    return Codec(put, get, _OBJECT, (kind,), _tag(kind))


def _library_codec(kind: type, dump: Callable[[Any], Any], load: Callable[[Any], Any]) -> Codec:
    """Return the codec of a model that knows its own JSON form."""

    def put(value: Any, depth: int) -> Any:
        if type(value) is not kind:
            return misfit(value, depth)
        try:
            form = dump(value)
        except Exception as error:  # noqa: BLE001  # the author's own code runs here
            raise Unstorable(f"is a {kind.__qualname__} that cannot be written: {_first_line(error)}") from None
        return encode_any(form, depth)

    def get(plain: Any) -> Any:
        if type(plain) is dict and "$value" in plain:
            return decode_any(plain)
        form = decode_any(plain)
        if form is None:
            return None
        try:
            return load(form)
        except Exception as error:  # noqa: BLE001  # the author's own code runs here
            raise Unreadable(f"cannot become a {kind.__qualname__}: {_first_line(error)}") from None

    return Codec(put, get, _OBJECT, (kind,), _tag(kind))


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _pydantic(kind: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    if not hasattr(kind, "model_dump"):  # version 1
        from json import loads

        return lambda value: loads(value.json(by_alias=True)), lambda form: kind.parse_obj(form)
    if _reads_by_name():
        return (
            lambda value: value.model_dump(mode="json", by_alias=False),
            lambda form: kind.model_validate(form, by_name=True, by_alias=False),
        )
    return lambda value: value.model_dump(mode="json", by_alias=True), lambda form: kind.model_validate(form)


def _reads_by_name() -> bool:
    """Say whether this pydantic can read by field names whatever the aliases: since 2.11 it can."""
    version = getattr(sys.modules.get("pydantic"), "VERSION", "0")
    return tuple(int(part) for part in version.split(".")[:2]) >= (2, 11)


def _msgspec(kind: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    msgspec: Any = sys.modules["msgspec"]
    return (
        lambda value: msgspec.to_builtins(value, str_keys=True),
        lambda form: msgspec.convert(form, kind, str_keys=True),
    )
