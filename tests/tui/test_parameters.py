"""Parameters as they are typed: each text makes what `flowctl run name=text` makes, or gives its message."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Literal

import pytest

from flowctl.sdk.definition import workflow
from flowctl.sdk.errors import InputError
from flowctl.sdk.parameters import bind_arguments, describe
from flowctl.tui.parameters import input_of, parameters_of


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@workflow
def everything(
    number: int,
    part: float = 0.5,
    name: str = "x",
    deep: bool = False,
    mode: Literal["fast", "slow", 3] = "fast",
    colour: Colour = Colour.RED,
    top: int | None = None,
    wait: timedelta = timedelta(seconds=5),
    when: datetime | None = None,
    pages: list[int] = [],  # noqa: B006 - a default as authors write it
    sizes: dict[str, int] = {},  # noqa: B006
    pair: tuple[int, str] = (1, "a"),
    anything: Any = None,
) -> None:
    """Take one of each."""


PARAMETERS = parameters_of(describe(everything)["parameters"])
BY_NAME = {each.name: each for each in PARAMETERS}
TEXTS = [
    ("number", "5"), ("number", "x"), ("number", "5.5"), ("part", "2"), ("part", "nan"), ("name", "any text"),
    ("deep", "yes"), ("mode", "slow"), ("mode", "3"), ("colour", "blue"), ("mode", "medium"), ("top", "4"),
    ("top", "null"), ("top", "x"), ("wait", "90s"), ("wait", "soon"), ("when", "2026-01-31T09:30Z"), ("when", "x"),
    ("pages", "1,2"), ("pages", "[1, 2]"), ("pages", "a"), ("sizes", '{"a": 1}'), ("sizes", "{"),
    ("pair", '[2, "b"]'), ("anything", '{"a": [null]}'), ("anything", "word"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text"), TEXTS)
def test_a_text_makes_what_the_command_line_makes_of_it(name: str, text: str) -> None:
    parameter = BY_NAME[name]
    words = {"number": "1", f"{name}{':' if parameter.is_json else ''}": text}
    expected = answer(lambda: json.loads(bind_arguments(everything, words, None))[name])
    assert expected == answer(lambda: parameter.read(text))


def answer(read: Callable[[], Any]) -> tuple[Any, str]:
    try:
        return read(), ""
    except InputError as refusal:
        return None, refusal.message


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [("sizes", '{"a": "b"}', 'parameter sizes: $.a is "b", not a whole number'), ("pair", "[1]", "has 1 members")],
)
def test_what_is_inside_a_value_is_checked_too(name: str, text: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        BY_NAME[name].read(text)
    assert message in refused.value.message


def test_what_has_few_values_is_chosen_and_what_has_no_simple_text_is_json() -> None:
    assert ("yes", "no") == BY_NAME["deep"].choices
    assert ("fast", "slow", "3") == BY_NAME["mode"].choices
    assert ["deep", "mode", "colour"] == [each.name for each in PARAMETERS if each.choices]
    assert ["sizes", "pair", "anything"] == [each.name for each in PARAMETERS if each.is_json]


def test_the_input_leaves_out_what_is_empty_or_as_the_default_is() -> None:
    texts = {each.name: each.starts_as for each in PARAMETERS} | {"number": "5", "deep": "no", "mode": "slow"}
    assert {"number": 5, "mode": "slow"} == json.loads(input_of("everything", PARAMETERS, texts))


def test_a_default_that_is_text_stands_there_and_is_emptied_as_any_other_text_is_changed() -> None:
    assert {"name": "x"} == {each.name: each.starts_as for each in PARAMETERS if each.starts_as}
    texts = {each.name: each.starts_as for each in PARAMETERS} | {"number": "5", "name": ""}
    assert {"number": 5, "name": ""} == json.loads(input_of("everything", PARAMETERS, texts))


def test_a_parameter_that_is_needed_is_named() -> None:
    with pytest.raises(InputError) as refused:
        input_of("everything", PARAMETERS, {each.name: "" for each in PARAMETERS})
    assert "everything needs the parameter number" == refused.value.message
