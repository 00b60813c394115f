"""Parameters as a JSON-Schema-like description that the store keeps and people read."""

from __future__ import annotations

import typing
from typing import Any, Mapping

from flowctl.sdk.codec import tag_of
from flowctl.sdk.errors import Unstorable
from flowctl.sdk.hints import abstract_members, codec_for, is_union, plain_hint
from flowctl.sdk.resolve import resolve_hints
from flowctl.sdk.signature import Signature
from flowctl.sdk.values import form_of

_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null", None: "null"}
_ARRAYS = (list, set, frozenset, tuple)


def parameters_schema(signature: Signature) -> dict[str, Any]:
    """Return the schema of a function's parameters: type object, properties in order, required names."""
    shape = signature.shape
    properties: dict[str, Any] = {}
    for name in shape.positional + shape.keyword_only:
        properties[name] = schema_of(hint_of(signature, name))
        if name in shape.defaults:
            _add_default(properties[name], signature, name)
    required = [name for name in properties if name not in shape.defaults]
    return {"type": "object", "properties": properties, "required": required}


def hint_of(signature: Signature, name: str) -> Any:
    """Return the hint of a parameter; where there is none, the type of a plain default."""
    hint = signature.hints.get(name, Any)
    default = signature.shape.defaults.get(name)
    return type(default) if hint is Any and type(default) in (str, int, float, bool) else hint


def _add_default(schema: dict[str, Any], signature: Signature, name: str) -> None:
    try:
        plain = signature.codecs[name].plain(signature.shape.defaults[name])
    except Unstorable:  # it is no input: the description goes without
        return
    if not (isinstance(plain, dict) and tag_of(plain)):
        schema["default"] = plain


def schema_of(hint: Any, inside: tuple[Any, ...] = ()) -> dict[str, Any]:
    """Return the schema of a type hint; {} for what may be anything. A recursive type is described once."""
    hint = plain_hint(hint)
    if is_union(hint):
        return {"anyOf": [schema_of(member, inside) for member in typing.get_args(hint)]}
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return {
            "enum": [value if type(value) in _PLAIN else codec_for(type(value)).plain(value) for value in arguments]
        }
    kind = hint if origin is None else origin
    if kind in _PLAIN:
        return {"type": _PLAIN[kind]}
    if not isinstance(kind, type) or kind in inside:
        return {}
    return _class_schema(kind, arguments, (*inside, kind))


def _class_schema(kind: Any, arguments: tuple[Any, ...], inside: tuple[Any, ...]) -> dict[str, Any]:
    if kind in _ARRAYS or (abstract_members(kind) and dict not in abstract_members(kind)):
        return _array(kind, arguments, inside[:-1])
    if kind is dict or abstract_members(kind):
        of = schema_of(arguments[1], inside[:-1]) if len(arguments) == 2 else {}
        return {"type": "object", "additionalProperties": of} if of else {"type": "object"}
    form = form_of(kind)
    if form is not None:
        return {"type": "string", "format": form.schema_format}
    if hasattr(kind, "__members__"):
        return {"enum": [codec_for(kind).plain(member) for member in kind]}
    if hasattr(kind, "model_json_schema"):
        return _of_library(kind)
    return _object(kind, inside)


def _array(kind: Any, arguments: tuple[Any, ...], inside: tuple[Any, ...]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "array"}
    if kind is tuple and arguments and arguments[-1] is not Ellipsis:
        schema["prefixItems"] = [schema_of(argument, inside) for argument in arguments]
    elif arguments:
        schema["items"] = schema_of(arguments[0], inside)
    if kind in (set, frozenset):
        schema["uniqueItems"] = True
    return schema


def _of_library(kind: Any) -> dict[str, Any]:
    try:
        schema = kind.model_json_schema()
    except Exception:  # noqa: BLE001  # a model may hold what its own library cannot describe
        return {"type": "object"}
    return schema if isinstance(schema, dict) else {"type": "object"}


def _object(kind: Any, inside: tuple[Any, ...]) -> dict[str, Any]:
    required = required_fields(kind)
    if required is None:
        return {}
    hints = fields_of_class(kind)
    return {
        "type": "object",
        "properties": {name: schema_of(hint, inside) for name, hint in hints.items()},
        "required": [name for name in hints if name in required],
    }


def fields_of_class(kind: Any) -> Mapping[str, Any]:
    """Return the hints of the fields of a dataclass, attrs or msgspec class, NamedTuple or TypedDict."""
    hints = resolve_hints(kind)
    for attribute in ("__struct_fields__", "_fields", "__dataclass_fields__"):
        if hasattr(kind, attribute):
            return {name: hints.get(name, Any) for name in getattr(kind, attribute)}
    if hasattr(kind, "__attrs_attrs__"):
        return {field.name: hints.get(field.name, Any) for field in kind.__attrs_attrs__}
    return hints


def required_fields(kind: Any) -> Any:
    """Return the names of fields that have no default, or None when the class has no fields of its own."""
    if hasattr(kind, "__required_keys__"):
        return kind.__required_keys__
    if hasattr(kind, "__struct_fields__"):
        fields = kind.__struct_fields__
        return fields[: len(fields) - len(kind.__struct_defaults__)]
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return [name for name in kind._fields if name not in kind._field_defaults]
    if hasattr(kind, "__dataclass_fields__") or hasattr(kind, "__attrs_attrs__"):
        from flowctl.sdk.models import record_fields

        return [field.name for field in record_fields(kind) if field.required]
    return None
