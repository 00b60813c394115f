"""Times and durations, read and written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowctl.cli.instants import iso, local, parse_duration, parse_instant, parse_since, short
from flowctl.core.errors import UsageError

NOW = 1_769_850_000_000  # 2026-01-31T09:00:00Z


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_instants_are_written_in_utc_with_milliseconds() -> None:
    assert "2026-01-31T09:00:00.007Z" == iso(NOW + 7)
    assert iso(None) is None
    assert "2026-01-31 10:00:00" == local(NOW)
    assert "" == local(None)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-31T18:00", NOW),
        ("2026-01-31", NOW - 18 * 3_600_000),
        ("18:01", NOW + 60_000),
        ("17:59", NOW + 86_400_000 - 60_000),
        ("2026-01-31T09:00Z", NOW),
    ],
)
def test_a_time_may_be_by_the_clock_of_another_zone(text: str, instant: int) -> None:
    assert instant == parse_instant(text, "--at", NOW, "Asia/Tokyo")


@pytest.mark.parametrize("ms", [2**62, -(2**62)])
def test_an_instant_out_of_this_world_is_still_written(ms: int) -> None:
    assert iso(ms)
    assert local(ms)


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, ""), (-5, "0ms"), (0, "0ms"), (999, "999ms"), (1_250, "1.2s"), (59_940, "59.9s"), (59_960, "1m00s"),
        (65_000, "1m05s"), (3_599_600, "1h00m"), (7_380_000, "2h03m"), (274_000_000, "3d04h"),
    ],
)  # fmt: skip
def test_durations_are_short(ms: int | None, text: str) -> None:
    assert text == short(ms)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-31T09:00Z", NOW),
        ("2026-01-31T10:00", NOW),
        ("2026-01-31 10:00:00", NOW),
        ("2026-01-31", NOW - 10 * 3_600_000),
        ("10:01", NOW + 60_000),
        ("9:59", NOW + 86_400_000 - 60_000),
        ("10:00:05", NOW + 5_000),
    ],
)
def test_an_instant_is_a_date_and_time_or_the_next_time_of_day(text: str, instant: int) -> None:
    assert instant == parse_instant(text, "--at", NOW)


def test_since_is_a_duration_ago_or_the_last_time_of_day() -> None:
    assert NOW - 7_200_000 == parse_since("2h", NOW)
    assert NOW - 60_000 == parse_since("9:59", NOW)
    assert NOW + 60_000 - 86_400_000 == parse_since("10:01", NOW)
    assert NOW == parse_since("2026-01-31T10:00", NOW)


@given(st.text(max_size=20) | st.from_regex(r"[-+0-9:TZ.smhdw ]{1,20}", fullmatch=True))
def test_m03_any_text_is_a_time_or_refused_by_name(text: str) -> None:
    for option, parse in (
        ("--at", lambda: parse_instant(text, "--at", NOW)),
        ("--since", lambda: parse_since(text, NOW)),
        ("--in", lambda: parse_duration(text, "--in")),
    ):
        said = refusal(parse)
        assert said == "" or said.startswith(f"{option}: ")


def refusal(parse: Callable[[], int]) -> str:
    try:
        parse()
    except UsageError as error:
        return error.message
    return ""
