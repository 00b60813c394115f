"""Whether a JSON value fits the schema of a type hint, as flowctl.sdk.schema describes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from flowctl.core.text import shorten

Schema = Mapping[str, Any]


def misfit(schema: Schema, value: Any, path: str = "$") -> str | None:
    """Return where and how a value does not fit, None when it does. What the schema does not say is accepted."""
    if isinstance(value, dict) and any(name.startswith("$") for name in value):  # a value that says its type itself
        return None
    if "anyOf" in schema:
        found = [misfit(member, value, path) for member in schema["anyOf"]]
        return None if not found or None in found else _not(value, " or ".join(map(_name, schema["anyOf"])), path)
    if "enum" in schema and not any(_same(value, known) for known in schema["enum"]):
        known = ", ".join(json.dumps(known, ensure_ascii=False) for known in schema["enum"])
        return _not(value, f"one of {known}", path)
    kind = schema.get("type")
    if isinstance(kind, str) and kind in _TYPES and not _TYPES[kind](value):
        return _not(value, _name(schema), path)
    if isinstance(value, dict):
        return _of_object(schema, value, path)
    return _of_array(schema, value, path) if isinstance(value, list) else None


def _of_object(schema: Schema, value: Mapping[str, Any], path: str) -> str | None:
    for name in schema.get("required", ()):
        if name not in value:
            return f"{path}.{name} is missing"
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    for name, member in value.items():
        of = properties.get(name, others)
        found = misfit(of, member, f"{path}.{name}") if isinstance(of, Mapping) else None
        if found is not None:
            return found
    return None


def _of_array(schema: Schema, value: list[Any], path: str) -> str | None:
    first = schema.get("prefixItems", ())
    if first and len(first) != len(value):
        return f"{path} has {len(value)} members, not {len(first)}"
    for index, member in enumerate(value):
        found = misfit(first[index] if first else schema.get("items", {}), member, f"{path}[{index}]")
        if found is not None:
            return found
    return None


def _same(value: Any, known: Any) -> bool:
    return type(value) is type(known) and bool(value == known)


def _number(value: Any) -> bool:
    return type(value) in (int, float)


_TYPES: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: type(value) is str,
    "integer": lambda value: type(value) is int,
    "number": _number,
    "boolean": lambda value: type(value) is bool,
    "null": lambda value: value is None,
    "array": lambda value: type(value) is list,
    "object": lambda value: type(value) is dict,
}
_NAMES = {"null": "null", "array": "a list", "object": "an object", "integer": "a whole number"}


def _name(schema: Schema) -> str:
    kind = str(schema.get("type", "another value"))
    return _NAMES.get(kind, f"a {kind}") if "format" not in schema else f"a {schema['format']}"


def _not(value: Any, wanted: str, path: str) -> str:
    return f"{path} is {shorten(json.dumps(value, ensure_ascii=False), 60)}, not {wanted}"
