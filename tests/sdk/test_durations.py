"""Durations as authors write them."""

from __future__ import annotations

import contextlib
import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flowctl.sdk.durations import LONGEST_MS, short_text, to_ms


@pytest.mark.parametrize(
    ("written", "ms"),
    [
        ("90s", 90_000),
        ("1h30m", 5_400_000),
        ("1h 30m", 5_400_000),
        (" 2d ", 172_800_000),
        ("250ms", 250),
        ("1.5h", 5_400_000),
        ("1w", 604_800_000),
        ("1m5ms", 60_005),
        ("90", 90_000),
        ("0s", 0),
        ("0.0001s", 1),
        (90, 90_000),
        (0, 0),
        (1.5, 1_500),
        (0.1 + 0.2, 300),
        (1e-9, 1),
        (timedelta(minutes=1, microseconds=1), 60_001),
        (timedelta(days=36_500), LONGEST_MS),
    ],
)
def test_every_way_to_write_a_duration(written: Any, ms: int) -> None:
    assert ms == to_ms(written)


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        (-1, "negative"),
        (-0.001, "negative"),
        (timedelta(microseconds=-1_000_000), "negative"),
        (math.nan, "not a duration"),
        (math.inf, "not a duration"),
        (1e300, "longer than 100 years"),
        ("99999999999d", "longer than 100 years"),
        (timedelta.max, "longer than 100 years"),
        ("", "not a duration"),
        ("   ", "not a duration"),
        ("soon", "not a duration"),
        ("-5s", "not a duration"),
        ("5 parsecs", "not a duration"),
        ("1h30", "not a duration"),
        ("30m1h", "not a duration"),
        ("1m1m", "not a duration"),
        ("1,5h", "not a duration"),
        ("١s", "not a duration"),
        ("1e3s", "not a duration"),
        ("9" * 10_000 + "s", "not a duration"),
        (True, "not a duration"),
        (None, "not a duration"),
        ([], "not a duration"),
    ],
)
def test_what_is_no_duration_is_refused_in_a_short_sentence(written: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as refused:
        to_ms(written)
    assert len(str(refused.value)) < 200


def test_a_number_of_too_many_digits_to_print_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than 100 years"):
        to_ms(10**5000)


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0, "0s"), (1, "1ms"), (999, "999ms"), (1_000, "1s"), (1_500, "1.5s"), (90_000, "1m30s"), (5_400_000, "1h30m")],
)
def test_short_text(ms: int, text: str) -> None:
    assert text == short_text(ms)


@given(st.integers(0, LONGEST_MS))
def test_short_text_is_read_back_to_the_same_number(ms: int) -> None:
    assert ms == to_ms(short_text(ms))


@given(st.timedeltas(timedelta(0), timedelta(days=36_499)))
def test_a_timedelta_never_becomes_shorter(value: timedelta) -> None:
    assert value <= timedelta(milliseconds=to_ms(value)) < value + timedelta(milliseconds=1)


@given(st.floats(0, 1e9))
@example(0.1 + 0.7)
def test_seconds_and_a_timedelta_of_them_agree(seconds: float) -> None:
    assert abs(to_ms(seconds) - to_ms(timedelta(seconds=seconds))) <= 1


@given(st.text("0123456789.wdhms -+e", max_size=20) | st.text())
def test_m03_any_text_is_a_duration_or_a_clean_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert 0 <= to_ms(text) <= LONGEST_MS
