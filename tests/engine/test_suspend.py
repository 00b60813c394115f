"""Gaps in time, as the clocks tell of them."""

from __future__ import annotations

import pytest

from flowctl.core.errors import DiskTrouble
from flowctl.engine.suspend import Gap, Reading, gap_between
from tests.engine.rhythm import DAY, HOUR, MINUTE, SECOND, START, Rhythm

BEFORE = Reading(START, 5_000, 9_000)


def after(wall: int, monotonic: int, uptime: int) -> Reading:
    return Reading(START + wall, 5_000 + monotonic, 9_000 + uptime)


@pytest.mark.parametrize(
    ("reading", "what"),
    [
        (after(15_000, 15_000, 15_000), None),
        (after(23_000, 15_000, 15_000), None),  # NTP
        (after(8 * HOUR, 15_000, 8 * HOUR), "suspended"),
        (after(DAY, 15_000, 15_000), "clock moved by +23h59m45s"),
        (after(-HOUR, 15_000, 15_000), "clock moved by -1h15s"),
        (after(61_000, 61_000, 61_000), "flowctl stood still"),
        (after(59_000, 59_000, 59_000), None),
        (after(2 * HOUR, 15_000, HOUR), "suspended"),  # and its clock was corrected when it woke
    ],
)
def test_d05_clocks_that_differ_tell_what_happened(reading: Reading, what: str | None) -> None:
    gap = gap_between(BEFORE, reading)
    assert what == (None if gap is None else gap.what)
    if gap is not None:
        assert (START, reading.wall) == (gap.from_at, gap.to_at)
        assert gap == Gap.of_text(gap.text)


def test_a_gap_is_told_by_the_clock_of_a_zone_with_the_date_where_it_is_long() -> None:
    assert "machine suspended 01:00-06:00" == Gap("suspended", START, START + 5 * HOUR).told("Europe/Berlin")
    long = Gap("suspended", START, START + 2 * DAY).told("UTC")
    assert "machine suspended 2026-01-01 00:00-2026-01-03 00:00" == long
    assert "clock moved by +1h" == Gap("clock moved by +1h", START, START + HOUR).told("UTC")
    assert Gap.of_text("time zone changed from UTC to Asia/Tokyo") is None


def test_a_gap_that_could_not_be_written_is_written_at_the_next_look(
    rhythm: Rhythm, monkeypatch: pytest.MonkeyPatch
) -> None:
    rhythm.clock.suspend(HOUR)

    def full(*_: object) -> None:
        raise DiskTrouble("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(rhythm.store.events, "note", full)
        with pytest.raises(DiskTrouble):
            rhythm.watch.look()
    rhythm.clock.pass_time(15 * SECOND)
    assert rhythm.watch.look() is None
    assert ["suspended from 2026-01-01T00:00:00Z to 2026-01-01T01:00:00Z"] == rhythm.notes("machine")
    rhythm.clock.pass_time(MINUTE)
    rhythm.watch.look()
    assert 1 == len(rhythm.notes("machine"))
