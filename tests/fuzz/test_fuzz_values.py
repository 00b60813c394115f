"""M03, K10: durations, times, parameters, references and recorded values: understood, or refused in a sentence."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from flowctl import workflow
from flowctl.cli.arguments import parse_arguments
from flowctl.cli.instants import parse_duration, parse_instant, parse_since
from flowctl.cli.references import find_run, find_step
from flowctl.core.errors import NotFound, UsageError
from flowctl.sdk.codec import canonical_hash, decode, encode
from flowctl.sdk.durations import LONGEST_MS, short_text, to_ms
from flowctl.sdk.errors import InputError, Unreadable, Unstorable
from flowctl.sdk.parameters import bind_arguments
from flowctl.store import Store
from tests.fuzz.conftest import tries
from tests.fuzz.hostile import JSON, TEXTS
from tests.fuzz.test_fuzz_command_line import populate
from tests.store.scene import Scene

NOW = 1_700_000_000_000


@tries(250)
@given(TEXTS)
def test_m03_a_duration_is_understood_and_written_back_or_refused(text: str) -> None:
    with suppress(UsageError):
        amount = parse_duration(text, "--in")
        assert 0 <= amount <= LONGEST_MS
        assert to_ms(short_text(amount)) == amount


@tries(250)
@given(TEXTS | st.datetimes().map(str) | st.times().map(str))
def test_m03_a_time_is_an_instant_or_refused(text: str) -> None:
    with suppress(UsageError):
        assert abs(parse_instant(text, "--at", NOW)) < 1 << 53
    with suppress(UsageError):
        assert abs(parse_since(text, NOW)) < 1 << 53


_PAIRS = st.one_of(
    TEXTS,
    st.tuples(st.sampled_from(["n", "many", "é", "_"]), st.sampled_from(["=", ":="]), TEXTS).map("".join),
    st.tuples(st.just("n:="), JSON.map(json.dumps)).map("".join),
)


@tries(250)
@given(st.lists(_PAIRS, max_size=3), st.none() | TEXTS | JSON.map(json.dumps))
def test_m01_the_words_after_a_target_are_parameters_or_refused(pairs: list[str], text: str | None) -> None:
    with suppress(UsageError, NotFound):
        arguments = parse_arguments(pairs, text)
        assert arguments.object_text is None or isinstance(json.loads(arguments.object_text), dict)


class Colour(Enum):
    RED = "red"
    BLUE = 2


@dataclass
class Point:
    x: int
    label: str = ""


@workflow
def everything(
    n: int = 0,
    f: float = 0.0,
    b: bool = False,
    text: str = "",
    raw: bytes = b"",
    many: list[int] = [],  # noqa: B006 - never written to
    pair: tuple[int, str] = (0, ""),
    table: dict[str, float] | None = None,
    colour: Colour = Colour.RED,
    point: Point | None = None,
    when: datetime | timedelta | None = None,
    choice: Literal["a", 1, None] = None,
    other: UUID | Decimal | Path | None = None,
    any: Any = None,
) -> None:
    """Take one of each."""


_NAMES = st.sampled_from((
    "n", "f", "b", "text", "raw", "many", "pair", "table", "colour", "point", "when", "choice", "other", "any", "nope",
))  # fmt: skip
_TAGS = st.sampled_from((
    "$tuple", "$set", "$datetime", "$timedelta", "$uuid", "$decimal", "$path", "$bytes", "$secret", "$object", "$value",
    "$payload", "$Point", "$",
))  # fmt: skip
_TAGGED = st.recursive(
    JSON | TEXTS,
    lambda inner: st.dictionaries(_TAGS, inner, min_size=1, max_size=2) | st.lists(inner, max_size=3),
    max_leaves=4,
)


@tries(250)
@given(st.dictionaries(_NAMES, TEXTS, max_size=3), st.dictionaries(_NAMES, _TAGGED, max_size=3), st.booleans())
def test_m01_parameters_are_bound_or_refused(texts: dict[str, str], values: dict[str, Any], plain: bool) -> None:
    with suppress(InputError, Unstorable):
        bound = bind_arguments(everything, texts, None if plain else json.dumps(values))
        assert isinstance(json.loads(bound), dict)


@tries(250)
@given(
    _TAGGED,
    st.sampled_from([Any, int, Point, Colour, list[Point], dict[str, Any], datetime | int, tuple[int, str]]),
)
def test_k10_what_is_recorded_is_read_or_refused_whatever_it_is(plain: Any, hint: Any) -> None:
    with suppress(Unreadable):
        value = decode(json.dumps(plain), hint)
        with suppress(Unstorable):
            encode(value)


@tries(150)
@given(st.dictionaries(st.text(max_size=4), JSON, max_size=5))
def test_k10_the_hash_of_an_object_does_not_depend_on_the_order_of_its_keys(value: dict[str, Any]) -> None:
    turned = dict(reversed(value.items()))
    assert canonical_hash(json.dumps(value)) == canonical_hash(json.dumps(turned, ensure_ascii=False))


def test_n13_a_reference_is_a_run_or_refused(tmp_path: Path) -> None:
    with Store.open(tmp_path / "flow.db") as store:
        populate(Scene(store))
        run = store.runs.get(1)

        @tries(250)
        @given(TEXTS)
        def refer(text: str) -> None:
            with suppress(UsageError, NotFound):
                assert 1 <= find_run(store, text, "default").id <= 5
            with suppress(NotFound):
                assert "fetch" == find_step(store, run, text).key

        refer()
