"""A workflow's description, and what a person gives for its parameters."""

# ruff: noqa: UP007, UP045  # these hints are evaluated, and Python 3.9 has no X | Y

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import enum
import json
import pathlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Optional, TypedDict, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowctl.sdk.definition import workflow
from flowctl.sdk.errors import InputError
from flowctl.sdk.parameters import bind_arguments, describe


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Mail:
    to: str
    copies: list[str] = field(default_factory=list)
    parent: Mail | None = None


class Spot(NamedTuple):
    x: int
    y: int = 0


class Limits(TypedDict):
    least: int


@workflow(name="daily digest", timeout="5m")
def digest(feeds: list[str], top: int = 5, *, dry: bool = False) -> str:
    """Read the feeds.

    And mail the best.
    """
    return ""


def taking(hint: Any) -> Any:
    def one(value: Any) -> None: ...

    one.__annotations__["value"] = hint
    return workflow(one)


def bound(hint: Any, text: str) -> Any:
    return json.loads(bind_arguments(taking(hint), {"value": text}, None))["value"]


# -- describe ----------------------------------------------------------------------------------------------------------


def test_a_workflow_is_described_as_plain_json() -> None:
    expected = {
        "name": "daily digest",
        "function": "digest",
        "doc": "Read the feeds.\n\nAnd mail the best.",
        "parameters": {
            "type": "object",
            "properties": {
                "feeds": {"type": "array", "items": {"type": "string"}},
                "top": {"type": "integer", "default": 5},
                "dry": {"type": "boolean", "default": False},
            },
            "required": ["feeds"],
        },
        "options": {"timeout_ms": 300_000},
        "schedule": None,
    }
    assert expected == json.loads(json.dumps(describe(digest)))


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (str, {"type": "string"}),
        (Any, {}),
        (float, {"type": "number"}),
        (None, {"type": "null"}),
        (Optional[int], {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (dt.datetime, {"type": "string", "format": "date-time"}),
        (dt.timedelta, {"type": "string", "format": "duration"}),
        (uuid.UUID, {"type": "string", "format": "uuid"}),
        (pathlib.Path, {"type": "string", "format": "path"}),
        (bytes, {"type": "string", "format": "byte"}),
        (Color, {"enum": ["red", "blue"]}),
        (Literal["a", 1, None], {"enum": ["a", 1, None]}),
        (set[Color], {"type": "array", "items": {"enum": ["red", "blue"]}, "uniqueItems": True}),
        (Sequence[int], {"type": "array", "items": {"type": "integer"}}),
        (tuple[int, str], {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (Mapping, {"type": "object"}),
        (
            Mail,
            {
                "type": "object",
                "properties": {
                    "to": {"type": "string"},
                    "copies": {"type": "array", "items": {"type": "string"}},
                    "parent": {"anyOf": [{}, {"type": "null"}]},
                },
                "required": ["to"],
            },
        ),
        (
            Spot,
            {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}}, "required": ["x"]},
        ),
        (Limits, {"type": "object", "properties": {"least": {"type": "integer"}}, "required": ["least"]}),
    ],
    ids=lambda part: str(part)[:40],
)
def test_every_hint_has_a_schema(hint: Any, schema: dict[str, Any]) -> None:
    assert schema == describe(taking(hint))["parameters"]["properties"]["value"]


def test_a_default_that_cannot_be_written_is_left_out() -> None:
    @workflow
    def odd(a: Any = object(), b: Color = Color.RED, c: Any = (1,)) -> None: ...  # noqa: B008

    assert {"a": {}, "b": {"enum": ["red", "blue"], "default": "red"}, "c": {}} == describe(odd)["parameters"][
        "properties"
    ]


# -- texts -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hint", "text", "recorded"),
    [
        (str, "5", "5"),
        (str, "", ""),
        (Any, "5", "5"),
        (int, "-5", -5),
        (float, "2", 2.0),
        (bool, "Yes", True),
        (bool, "off", False),
        (bool, "1", True),
        (bool, "0", False),
        (Optional[int], "7", 7),
        (Optional[int], "null", None),
        (Optional[int], "", None),
        (Optional[str], "null", "null"),
        (Union[int, str], "7", 7),
        (Union[str, int], "x", "x"),
        (pathlib.Path, "a/b", "a/b"),
        (dt.datetime, "2026-01-31T09:00:00Z", "2026-01-31T09:00:00+00:00"),
        (dt.datetime, "2026-01-31", "2026-01-31T00:00:00"),
        (dt.date, "2026-01-31", "2026-01-31"),
        (dt.timedelta, "1h30m", "PT1H30M"),
        (dt.timedelta, "PT5M", "PT5M"),
        (decimal.Decimal, "1.10", "1.10"),
        (bytes, "hi", "aGk="),
        (Color, "blue", "blue"),
        (Color, "BLUE", "blue"),
        (Literal["a", 1], "1", 1),
        (list[int], "1, 2,3", [1, 2, 3]),
        (list[int], "[1,2]", [1, 2]),
        (list[str], "", []),
        (list, "a,b", ["a", "b"]),
        (set[int], "2,1,2", [1, 2]),
        (tuple[int, str], "1,x", [1, "x"]),
        (Sequence[Color], "red,blue", ["red", "blue"]),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (dict, '{"a": [1]}', {"a": [1]}),
        (Mail, '{"to": "ann"}', {"to": "ann", "copies": [], "parent": None}),
        (Optional[Mail], '{"to": "ann", "parent": {"to": "bob"}}', None),
        (Spot, '{"x": 1}', {"x": 1, "y": 0}),
        (Limits, '{"least": 1}', {"least": 1}),
    ],
    ids=lambda part: str(part)[:40],
)
def test_a_text_is_read_by_the_type_of_its_parameter(hint: Any, text: str, recorded: Any) -> None:
    if recorded is not None or hint == Optional[int]:
        assert recorded == bound(hint, text)
    else:
        assert "bob" == bound(hint, text)["parent"]["to"]


@pytest.mark.parametrize(
    ("hint", "text", "problem"),
    [
        (int, "five", "^parameter value must be int, not 'five'"),
        (int, "5.0", "must be int, not '5.0'"),
        (float, "nan", "must be float, not 'nan': NaN and Infinity"),
        (bool, "maybe", "must be bool, not 'maybe': write one of true, yes"),
        (Optional[int], "x", "must be int or None, not 'x'"),
        (dt.datetime, "soon", "must be datetime, not 'soon'"),
        (dt.timedelta, "soon", "must be timedelta, not 'soon': .* not a duration"),
        (uuid.UUID, "x", "must be UUID, not 'x'"),
        (Color, "green", "must be Color, not 'green': it must be one of red, blue"),
        (Literal["a", "b"], "c", "not 'c': it must be one of a, b"),
        (list[int], "1,x", "not '1,x'"),
        (list[int], "[1,", "not '\\[1,': .*column"),
        (list[int], '["x"]', r"\$\[0\] is 'x', not int"),
        (tuple[int, int], "1", "2 parts between commas, not 1"),
        (dict, "x", "must be dict, not 'x'"),
        (dict, "[1]", r"\$ is \[1\], not dict"),
        (dict[str, int], '{"a": "x"}', r"\$\.a is 'x', not int"),
        (dict[str, int], '{"a": true}', r"\$\.a is True, not int"),
        (Mail, '{"to": 5}', r"\$\.to is 5, not str"),
        (Mail, '{"too": "x"}', "has 'too', and Mail has no such field"),
        (Mail, '{"to": "a", "copies": [5]}', r"\$\.copies\[0\] is 5, not str"),
        (Limits, "{}", "lacks least"),
        (int, "9" * 5000, "must be int"),
    ],
    ids=lambda part: str(part)[:40],
)
def test_m01_a_text_that_does_not_fit_is_refused_with_name_type_and_value(hint: Any, text: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as refused:
        bound(hint, text)
    assert "value" in str(refused.value)
    assert len(str(refused.value)) < 400


def test_a_parameter_without_a_hint_is_read_by_its_default() -> None:
    @workflow
    def loose(count=5, rate=0.5, dry=False, name="x", other=None):  # type: ignore[no-untyped-def]
        ...

    texts = {"count": "7", "rate": "1", "dry": "yes", "name": "5", "other": "5"}
    expected = {"count": 7, "rate": 1.0, "dry": True, "name": "5", "other": "5"}
    assert expected == json.loads(bind_arguments(loose, texts, None))


# -- JSON, names, missing ones -----------------------------------------------------------------------------------------


def test_a_name_that_ends_in_a_colon_is_json_and_texts_win_over_the_object() -> None:
    text = bind_arguments(digest, {"feeds:": '["a"]', "top": "3"}, '{"feeds": ["x", "y"], "dry": true}')
    assert '{"feeds":["a"],"top":3,"dry":true}' == text


@pytest.mark.parametrize(
    ("texts", "json_text", "problem", "hint"),
    [
        ({"feed": "a"}, None, "daily digest has no parameter feed", "did you mean feeds?"),
        ({"zzz:": "1"}, None, "has no parameter zzz", "it has feeds, top, dry"),
        ({}, '{"zzz": 1}', "has no parameter zzz", "it has"),
        ({}, None, "needs the parameter feeds", "give feeds=…"),
        ({}, "[1]", r"must be a JSON object, not \[1\]", '"feeds": …'),
        ({}, "{'a'}", "the input is not JSON: .*column 2", ""),
        ({}, '{"feeds": 1}', r"parameter feeds: \$ is 1, not [lL]ist\[str\]", ""),
        ({}, '{"feeds": [], "top": null}', r"parameter top: \$ is None, not int", ""),
        ({}, '{"feeds": [], "feeds": []}', "'feeds' stands twice", ""),
        ({"feeds:": "[a]"}, None, r"parameter feeds: '\[a\]' is not JSON", "or as text: feeds=…"),
        ({"feeds:": "[" * 100_000}, None, "parameter feeds: .* nested too deeply", ""),
    ],
)
def test_m01_bad_input_is_one_sentence(texts: Any, json_text: str | None, problem: str, hint: str) -> None:
    with pytest.raises(InputError, match=problem) as refused:
        bind_arguments(digest, texts, json_text)
    assert hint in refused.value.hint
    assert len(str(refused.value)) < 400


def test_every_missing_parameter_is_listed_in_one_sentence() -> None:
    @workflow
    def many(a: int, b: int, c: int, d: int = 1) -> None: ...

    with pytest.raises(InputError, match=r"^many needs the parameters a, b and c$") as refused:
        bind_arguments(many, {}, None)
    assert "give a=… b=… c=…" == refused.value.hint


def test_an_int_is_accepted_for_a_float_in_json() -> None:
    assert '{"value":3.0}' == bind_arguments(taking(float), {}, '{"value": 3}')


def test_k06_input_that_is_too_deep_is_refused() -> None:
    with pytest.raises(InputError, match=r"nested too deeply|500 levels"):
        bind_arguments(taking(Any), {"value:": "[" * 600 + "]" * 600}, None)


def test_a_secret_can_be_given_by_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "hunter2")
    assert '{"value":{"$secret":"TOKEN"}}' == bind_arguments(taking(str), {"value:": '{"$secret": "TOKEN"}'}, None)


@given(st.text(), st.sampled_from([int, float, bool, list[int], dict[str, int], Optional[dt.date], Color, Mail, str]))
def test_m01_any_text_is_bound_or_refused_cleanly(text: str, hint: Any) -> None:
    with contextlib.suppress(InputError):
        json.loads(bind_arguments(taking(hint), {"value": text}, None))
