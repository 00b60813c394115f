"""Parameters of a workflow as a person types them: the text of each becomes JSON, or the message of `flowctl run`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union
from uuid import UUID

from flowctl.core.schemas import Schema, misfit
from flowctl.sdk.errors import InputError, Unstorable
from flowctl.sdk.hints import codec_for
from flowctl.sdk.parameters import check_missing, read_json, read_text

_PLAIN = {"string": str, "integer": int, "number": float, "boolean": bool, "null": type(None)}
_FORMATS = {
    "byte": bytes,
    "date-time": datetime,
    "date": date,
    "time": time,
    "duration": timedelta,
    "uuid": UUID,
    "decimal": Decimal,
    "path": Path,
}
_WORDS = {True: "yes", False: "no", None: "null"}


class Parameter(NamedTuple):
    """A parameter of a registered workflow."""

    name: str
    schema: Schema
    required: bool

    @property
    def default(self) -> str | None:
        """Return its default as it is typed, None when it has none that can be."""
        return _typed(self.schema["default"]) if "default" in self.schema else None

    @property
    def starts_as(self) -> str:
        """Return the text that stands in its field at first: a default that may be emptied there, '' for any other."""
        default = self.schema.get("default")
        try:
            return default if isinstance(default, str) and self.read("") == "" else ""
        except InputError:
            return ""

    @property
    def kind(self) -> str:
        """Return its type in a word or two."""
        return _kind(self.schema)

    @property
    def choices(self) -> tuple[str, ...]:
        """Return the only texts that it may have, () when there are more."""
        members = self.schema.get("anyOf", [self.schema])
        if not all("enum" in each or each.get("type") in ("boolean", "null") for each in members):
            return ()
        return tuple(_typed(value) for each in members for value in _values(each))

    @property
    def is_json(self) -> bool:
        """Tell whether it is typed as JSON: no text says it in a simpler way."""
        return not _is_simple(self.schema)

    def read(self, text: str) -> Any:
        """Return the plain JSON value that a text means. Raises InputError with the message of the command line."""
        hint = _hint(self.schema)
        value = read_json(self.name, hint, text) if self.is_json else read_text(self.name, hint, text)
        try:
            plain = codec_for(hint).plain(value)
        except Unstorable as refusal:
            raise InputError(f"parameter {self.name}: {refusal}") from None
        wrong = misfit(self.schema, plain)
        if wrong is not None:
            raise InputError(f"parameter {self.name}: {wrong}")
        return plain


def parameters_of(schema: Mapping[str, Any]) -> list[Parameter]:
    """Return the parameters that a workflow was registered with."""
    required = schema.get("required") or []
    properties = schema.get("properties") or {}
    return [Parameter(name, each, name in required) for name, each in properties.items()]


def input_of(workflow: str, parameters: list[Parameter], texts: Mapping[str, str]) -> str:
    """Return the input as a JSON text: without what is as the default is, or left empty. Raises InputError."""
    left = {each.name: (each.default, each.starts_as) for each in parameters}
    given = {name: texts[name] for name in left if texts[name] not in left[name]}
    check_missing(workflow, [each.name for each in parameters if each.required], given)
    values = {each.name: each.read(given[each.name]) for each in parameters if each.name in given}
    return json.dumps(values, ensure_ascii=False)


def _typed(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return _WORDS[value]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _values(schema: Schema) -> list[Any]:
    if "enum" in schema:
        return list(schema["enum"])
    return [True, False] if schema.get("type") == "boolean" else [None]


def _is_simple(schema: Schema) -> bool:
    if "anyOf" in schema:
        return all(map(_is_simple, schema["anyOf"]))
    if schema.get("type") == "array" and "prefixItems" not in schema:
        return str(schema.get("items", {}).get("type")) in _PLAIN
    return "enum" in schema or str(schema.get("type")) in _PLAIN


def _hint(schema: Schema) -> Any:
    """Return the type hint that a schema describes; Any where it describes none."""
    if "anyOf" in schema:
        return Union[tuple(map(_hint, schema["anyOf"]))]  # noqa: UP007 - of members that are known only now
    if "enum" in schema:
        return Literal[tuple(schema["enum"])]
    kind = schema.get("type")
    if kind == "string":
        return _FORMATS.get(schema.get("format", ""), str)
    if kind == "array" and "prefixItems" not in schema:
        return list[_hint(schema.get("items", {}))]  # type: ignore[misc]  # a hint that is known only now
    return _PLAIN.get(str(kind), Any)


def _kind(schema: Schema) -> str:
    if "anyOf" in schema:
        return " or ".join(map(_kind, schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(map(_typed, schema["enum"]))
    kind = str(schema.get("format") or schema.get("type") or "any value")
    return f"list of {_kind(schema['items'])}" if kind == "array" and schema.get("items") else kind
