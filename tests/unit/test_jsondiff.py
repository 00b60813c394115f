"""Differences of JSON values: what they say, and that the other value follows from them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowctl.core.errors import UsageError
from flowctl.core.jsondiff import apply, differences
from flowctl.core.jsonpath import MISSING, parse_path, path_text, value_at, with_value

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(VALUES, VALUES)
def test_the_differences_applied_to_the_one_give_the_other(one: Any, other: Any) -> None:
    assert _exact(other) == _exact(apply(one, differences(one, other)))


@given(VALUES)
def test_a_value_does_not_differ_from_itself(value: Any) -> None:
    assert [] == differences(value, json.loads(json.dumps(value)))


@given(st.lists(st.integers(0, 3)), st.lists(st.integers(0, 3)))
def test_lists_with_common_items_are_told_apart(one: list[int], other: list[int]) -> None:
    assert other == apply(one, differences(one, other))


def _exact(value: Any) -> Any:
    """Return a value in which 1, 1.0 and true differ from each other only where JSON tells them apart."""
    if isinstance(value, dict):
        return {key: _exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_exact(item) for item in value]
    return (isinstance(value, bool), value)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"items": [{"price": 3}]}, {"items": [{"price": 4}]}, [("$.items[0].price", 3, 4)]),
        ([1, 2, 3], [0, 1, 2, 3], [("$[0]", MISSING, 0)]),
        ([1, 2, 3], [1, 3], [("$[1]", 2, MISSING)]),
        ({"a": 1}, {"b": 1}, [("$.a", 1, MISSING), ("$.b", MISSING, 1)]),
        (True, 1, [("$", True, 1)]),
        (1, 1.0, []),
        ({"a b": 1}, {"a b": 2}, [('$["a b"]', 1, 2)]),
        ([[]], [{}], [("$[0]", [], {})]),
        (MISSING, {"a": 1}, [("$", MISSING, {"a": 1})]),
    ],
)
def test_a_difference_names_its_place(one: Any, other: Any, expected: list[tuple[str, Any, Any]]) -> None:
    assert expected == [(each.place, each.before, each.after) for each in differences(one, other)]


def test_k06_values_that_are_nested_as_deeply_as_allowed_are_compared() -> None:
    one, other = (json.loads("[" * 490 + end + "]" * 490) for end in "12")
    found = differences(one, other)
    assert [("$" + "[0]" * 490, 1, 2)] == [(each.place, each.before, each.after) for each in found]


@given(st.lists(st.text(min_size=1) | st.integers(0, 999), max_size=5))
def test_a_path_is_read_back_as_it_is_written(path: list[str | int]) -> None:
    assert tuple(path) == parse_path(path_text(tuple(path))[1:])


@pytest.mark.parametrize("text", ["a..b", "a[", "a[x]", "a]b", 'a["', "a.", "a[0]b"])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a path"):
        parse_path(text)


def test_a_value_with_something_else_at_one_place_is_a_copy() -> None:
    value = {"items": [{"price": 3}]}
    made = with_value(value, parse_path("items[0].price"), 4)
    assert ({"items": [{"price": 3}]}, {"items": [{"price": 4}]}) == (value, made)
    assert {"items": [{"price": 3}, 7]} == with_value(value, ("items", 1), 7)
    assert MISSING is value_at(value, ("items", 2))


@pytest.mark.parametrize("path", ["items[2]", "items.price", "item[0]", "items[0].price.x"])
def test_a_path_that_leads_nowhere_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="there is nothing at"):
        with_value({"items": [{"price": 3}]}, parse_path(path), 4)
