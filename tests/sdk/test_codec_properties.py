"""Whatever the values are: they come back equal, their text is UTF-8 JSON, and their hash is stable."""

# ruff: noqa: UP007, UP017, UP045  # these hints are evaluated, and Python 3.9 has no X | Y

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any, Optional, Union
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from flowctl.sdk.codec import canonical_hash, decode, encode
from flowctl.sdk.values import read_timedelta, write_timedelta

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | st.integers() | FLOATS | TEXT
ZONES = st.none() | st.timezones() | st.just(dt.timezone.utc)
KEYS = TEXT | st.sampled_from(["$tuple", "$object", "$value", "$secret", "$datetime", "$payload", "$"])
PLAIN = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=20)
ATOMS: Any = (
    SCALARS
    | st.binary()
    | st.dates()
    | st.datetimes(timezones=ZONES)
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.builds(Path, st.text("ab/ .ü", max_size=10))
)
VALUES = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(KEYS, inner)
        | st.lists(inner).map(tuple)
        | st.frozensets(SCALARS)
        | st.sets(st.integers() | TEXT)
    ),
    max_leaves=20,
)
TYPES: list[tuple[Any, Any]] = [
    (int, st.integers()),
    (str, TEXT),
    (bool, st.booleans()),
    (type(None), st.none()),
    (bytes, st.binary()),
    (dt.date, st.dates()),
    (dt.datetime, st.datetimes(timezones=ZONES)),
    (dt.timedelta, st.timedeltas()),
    (UUID, st.uuids()),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
]


def _hinted(inner: Any) -> Any:
    """Grow (hint, values) pairs: containers and unions of smaller ones."""

    def grow(pairs: Any) -> Any:
        (one, values), (other, others) = pairs
        return st.sampled_from(
            [
                (list[one], st.lists(values)),
                (dict[str, one], st.dictionaries(KEYS, values)),
                (tuple[one, ...], st.lists(values).map(tuple)),
                (tuple[one, other], st.tuples(values, others)),
                (Optional[one], st.none() | values),
                (Union[one, other], values | others),
            ]
        )

    return st.tuples(inner, inner).flatmap(grow)


HINTED = st.recursive(st.sampled_from(TYPES), _hinted, max_leaves=6)


def same(one: Any, other: Any) -> bool:
    """Say whether two values are equal with equal types all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dt.datetime):
        return one == other and one.utcoffset() == other.utcoffset() and str(one.tzinfo) == str(other.tzinfo)
    return bool(one == other)


@given(VALUES)
def test_any_value_comes_back_without_a_hint(value: Any) -> None:
    text = encode(value)
    json.loads(text.encode("utf-8"))
    assert same(value, decode(text))


@given(st.data())
def test_any_value_comes_back_by_its_hint(data: st.DataObject) -> None:
    hint, values = data.draw(HINTED)
    value = data.draw(values)
    assert same(value, decode(encode(value, hint), hint))


@given(VALUES, HINTED)
def test_any_value_comes_back_under_any_hint_but_for_floats(value: Any, hinted: Any) -> None:
    hint, _ = hinted
    assert same(value, decode(encode(value, hint), hint))


@given(PLAIN)
def test_the_hash_does_not_depend_on_the_order_of_keys(value: Any) -> None:
    def turned(one: Any) -> Any:
        if isinstance(one, dict):
            return {key: turned(one[key]) for key in reversed(list(one))}
        return [turned(item) for item in one] if isinstance(one, list) else one

    assert canonical_hash(encode(value)) == canonical_hash(encode(turned(value)))


@given(PLAIN, PLAIN)
def test_different_values_have_different_hashes(one: Any, other: Any) -> None:
    a, b = (json.dumps(json.loads(encode(value)), sort_keys=True) for value in (one, other))
    assert (a == b) == (canonical_hash(encode(one)) == canonical_hash(encode(other)))


@given(st.text())
def test_k04_any_text_comes_back_or_is_refused(text: str) -> None:
    try:
        written = encode(text)
    except TypeError:
        assert any("\ud800" <= char <= "\udbff" for char in text)
        return
    written.encode("utf-8")
    assert text == decode(written)


@given(st.frozensets(TEXT | st.integers()), st.randoms(use_true_random=False))
def test_a_set_has_one_text_however_it_was_made(value: frozenset[Any], random: Any) -> None:
    items = list(value)
    random.shuffle(items)
    other: set[Any] = set(items)
    assert encode(set(value)) == encode(other)


@given(st.timedeltas())
def test_iso_durations_are_exact(value: dt.timedelta) -> None:
    assert value == read_timedelta(write_timedelta(value))
