"""A schedule is due when its rule says so: every slot once, none missed, whatever the clocks do."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flowctl.core import zones
from flowctl.core.errors import UsageError
from flowctl.core.recurrence import Rule, check, describe, fire_at, is_reboot, next_slot, slots
from flowctl.core.zones import LAST_MS, find_zone, local_zone_name
from tests.unit import cron_oracle as oracle

HOUR = 3_600_000
DAY = 24 * HOUR
START, STOP = oracle.midnight(oracle.YEARS[0]), oracle.midnight(oracle.YEARS[-1] + 1)


def cron(text: str, zone: str = "UTC", **more: object) -> Rule:
    return Rule("cron", text, zone, **more)


def ms(text: str) -> int:
    moment = datetime.fromisoformat(text)
    assert moment.tzinfo is not None
    return int(moment.timestamp() * 1000)


def walls_between(rule: Rule, first: str, last: str) -> list[str]:
    """Return the slots of a rule as the clock on the wall shows them, both days included."""
    zone = ZoneInfo(rule.zone)
    after = datetime.fromisoformat(first).replace(tzinfo=zone).timestamp() * 1000 - 1
    until = (datetime.fromisoformat(last) + timedelta(days=1)).replace(tzinfo=zone).timestamp() * 1000 - 1
    return [
        f"{datetime.fromtimestamp(each / 1000, zone):%m-%d %H:%M %Z}" for each in slots(rule, int(after), int(until))
    ]


def between(rule: Rule, start: int, stop: int) -> list[int]:
    """Return the slots of a rule from start to before stop, all in seconds."""
    return [each // 1000 for each in slots(rule, start * 1000 - 1, stop * 1000 - 1)]


@cache
def named_walls(text: str) -> set[int]:
    return oracle.walls(text, date(oracle.YEARS[0] - 1, 12, 30), date(oracle.YEARS[-1] + 1, 1, 3))


# The oracle.


@pytest.mark.parametrize("zone", oracle.ZONES)
def test_e09_every_expression_is_due_as_cron_says_around_every_transition_of_three_years(zone: str) -> None:
    days = [(at - 36 * 3600, at + 36 * 3600) for at in oracle.transitions(zone, START, STOP)]
    for start, stop in [*days, (oracle.midnight(2026, 2, 26), oracle.midnight(2026, 3, 3))]:
        seen = oracle.walk(zone, start, stop)
        for text in oracle.EXPRESSIONS:
            expected = seen.expected(text, named_walls(text))
            assert expected == between(cron(text, zone), start, stop), (text, zone)


def test_e09_expressions_are_due_as_cron_says_through_three_years() -> None:
    seen = oracle.walk("Australia/Lord_Howe", START, STOP)
    for text in oracle.EXPRESSIONS[7::3]:  # `python -m tests.unit.cron_oracle` tries all, in all zones
        expected = seen.expected(text, named_walls(text))
        assert expected == between(cron(text, "Australia/Lord_Howe"), START, STOP), text


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("America/St_Johns", date(2010, 3, 14)),  # at 00:01, so that the repeated hour begins the day before
        ("America/St_Johns", date(2010, 11, 7)),
        ("Pacific/Apia", date(2011, 12, 30)),  # a whole day left out
        ("Pacific/Kwajalein", date(1993, 8, 21)),
        ("Antarctica/Vostok", date(1994, 11, 1)),  # seven hours
        ("Antarctica/Casey", date(2010, 3, 5)),
        ("America/Caracas", date(2007, 12, 9)),
        ("Asia/Pyongyang", date(2015, 8, 15)),
        ("Africa/Monrovia", date(1972, 1, 7)),  # 44 minutes and 30 seconds: seconds of their own
    ],
)
def test_e09_odd_transitions_of_the_past_are_handled_as_well(zone: str, day: date) -> None:
    start = oracle.midnight(day.year, day.month, day.day) - 3 * oracle.DAY
    stop = start + 6 * oracle.DAY
    step = 30 if zone == "Africa/Monrovia" else 60
    seen = oracle.walk(zone, start, stop, step)
    assert seen.gaps or seen.again
    for text in oracle.EXPRESSIONS:
        expected = seen.expected(text, oracle.walls(text, day - timedelta(days=5), day + timedelta(days=5)))
        assert expected == between(cron(text, zone), start, stop), text


@pytest.mark.parametrize(
    "text", ["*/20 * * * * *", "0 30 1 * * *", "15,45 59 1,2 * * *", "30 */7 * * * *", "7 0 3 * * *"]
)
@pytest.mark.parametrize("day", [date(2026, 3, 8), date(2026, 11, 1)])
def test_e09_six_fields_have_the_second_in_front(text: str, day: date) -> None:
    start = oracle.midnight(day.year, day.month, day.day)
    seen = oracle.walk("America/New_York", start, start + 12 * 3600, step=1)
    expected = seen.expected(text, oracle.walls(text, day - timedelta(days=1), day + timedelta(days=1)))
    assert expected
    assert expected == between(cron(text, "America/New_York"), start, start + 12 * 3600)


# Daylight saving, one case each.


def test_e05_a_fixed_time_that_occurs_twice_is_due_once() -> None:
    found = list(slots(cron("30 1 * * *", "America/New_York"), ms("2026-11-01T04:00Z"), ms("2026-11-02T04:00Z")))
    assert [ms("2026-11-01T05:30Z")] == found


def test_e06_an_expression_that_begins_with_a_star_follows_real_time() -> None:
    found = walls_between(cron("*/30 0-2 * * *", "America/New_York"), "2026-11-01", "2026-11-01")
    assert [
        "11-01 00:00 EDT", "11-01 00:30 EDT", "11-01 01:00 EDT", "11-01 01:30 EDT",
        "11-01 01:00 EST", "11-01 01:30 EST", "11-01 02:00 EST", "11-01 02:30 EST",
    ] == found  # fmt: skip


def test_e07_a_fixed_time_in_the_gap_is_due_at_the_first_instant_after_it() -> None:
    found = walls_between(cron("30 2 * * *", "America/New_York"), "2026-03-07", "2026-03-09")
    assert ["03-07 02:30 EST", "03-08 03:00 EDT", "03-09 02:30 EDT"] == found


@pytest.mark.parametrize("text", ["0,15,30,45 2 * * *", "0-59/15 2 * * *", "0,15,30,45 2,3 8 3 *"])
def test_e08_the_times_in_a_gap_are_due_once_together(text: str) -> None:
    found = walls_between(cron(text, "America/New_York"), "2026-03-08", "2026-03-08")
    assert ["03-08 03:00 EDT"] == [each for each in found if each < "03-08 03:15"]


def test_e08_a_star_in_the_gap_is_not_due_because_it_follows_real_time() -> None:
    assert [] == walls_between(cron("*/15 2 * * *", "America/New_York"), "2026-03-08", "2026-03-08")


@pytest.mark.parametrize("zone", ["Australia/Lord_Howe", "Africa/Cairo", "America/Santiago", "Antarctica/Troll"])
@pytest.mark.parametrize("text", ["0 0 * * *", "15 2 * * *", "30 23 * * *", "45 1 * * *"])
def test_e09_a_daily_time_is_due_once_on_each_local_day(zone: str, text: str) -> None:
    info = ZoneInfo(zone)
    days = [datetime.fromtimestamp(each, info).date() for each in between(cron(text, zone), START, STOP)]
    assert [days[0] + timedelta(days=n) for n in range(len(days))] == days
    assert len(days) >= 3 * 365 - 1


def test_e09_a_day_that_a_zone_left_out_is_made_up_for_at_the_next() -> None:
    assert ["12-29 06:00 -10", "12-31 00:00 +14", "12-31 06:00 +14"] == walls_between(
        cron("0 6 * * *", "Pacific/Apia"), "2011-12-29", "2011-12-31"
    )


@pytest.mark.parametrize("zone", ["America/New_York", "Australia/Lord_Howe", "Antarctica/Troll", "America/Santiago"])
@pytest.mark.parametrize("text", ["30 1 * * *", "45 1,2 * * *", "30 23 * * *", "17 * * * *", "*/15 * * * *"])
def test_e05_looking_again_at_any_moment_of_the_night_finds_the_same_slots(zone: str, text: str) -> None:
    for at in oracle.transitions(zone, START, STOP):
        start, stop = (at - 4 * 3600) * 1000, (at + 30 * 3600) * 1000
        whole = list(slots(cron(text, zone), start, stop))
        for cut in range(start, (at + 4 * 3600) * 1000, 7 * 60_000):
            assert [each for each in whole if each > cut] == list(slots(cron(text, zone), cut, stop))


# Days, names, nicknames.


def test_one_day_of_two_is_enough_unless_one_begins_with_a_star() -> None:
    either = walls_between(cron("0 0 13 * 5"), "2026-02-01", "2026-02-28")
    assert ["02-06", "02-13", "02-20", "02-27"] == [each[:5] for each in either]
    both = walls_between(cron("0 0 */2 * 5"), "2026-05-01", "2026-05-31")
    assert ["05-01", "05-15", "05-29"] == [each[:5] for each in both]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 0 L * *", ["01-31", "02-28"]),
        ("0 0 * * 5L", ["01-30", "02-27"]),
        ("0 0 * * L5", ["01-30", "02-27"]),
        ("0 0 * * FRI#2", ["01-09", "02-13"]),
        ("0 0 1,L * ?", ["01-01", "01-31", "02-01", "02-28"]),
        ("0 0 * * 7#1", ["01-04", "02-01"]),
        ("0 0 ? feb sat-sun", ["02-01", "02-07", "02-08", "02-14", "02-15", "02-21", "02-22", "02-28"]),
        ("0 0 10/8 1 *", ["01-10", "01-18", "01-26"]),
        ("0 0 * 2 5-7/2", ["02-01", "02-06", "02-08", "02-13", "02-15", "02-20", "02-22", "02-27"]),
        ("@monthly", ["01-01", "02-01"]),
        ("@ANNUALLY", ["01-01"]),
    ],
)
def test_last_days_numbered_weekdays_names_and_nicknames(text: str, expected: list[str]) -> None:
    assert expected == [each[:5] for each in walls_between(check(cron(text)), "2026-01-01", "2026-02-28")]


def test_a_hashed_field_is_the_same_for_one_schedule_and_spread_over_many() -> None:
    def drawn(text: str, seed: str) -> list[int]:
        return [each // 60 for each in between(cron(text, seed=seed), 0, 86_400)]

    assert drawn("H H * * *", "a") == drawn("H H * * *", "a")
    assert len({tuple(drawn("H H * * *", f"s{number}")) for number in range(100)}) > 90
    for seed in ("a", "b", "c"):
        assert [15] * 95 == [
            b - a for a, b in zip(drawn("H/15 * * * *", seed), drawn("H/15 * * * *", seed)[1:], strict=False)
        ]
        (minute,) = drawn("H(10-19) 0 * * *", seed)
        assert 10 <= minute < 20
    long = [cron("0 0 H * *", seed=f"s{number}") for number in range(200)]
    assert 12 == min(sum(1 for _ in slots(rule, ms("2026-01-01T00:00Z") - 1, ms("2026-12-31T00:00Z"))) for rule in long)


def test_reboot_is_due_by_no_clock() -> None:
    rule = check(cron(" @Reboot "))
    assert is_reboot(rule)
    assert not is_reboot(cron("@daily"))
    assert next_slot(rule, 0) is None
    assert "@reboot" == describe(rule)
    assert "0 6 * * * Asia/Tokyo" == describe(check(cron(" 0  6 * * *", "Asia/Tokyo")))


# Intervals, one-time schedules, bounds, jitter.


def test_e16_an_interval_stays_on_its_grid() -> None:
    rule = check(Rule("every", "600s", "UTC", start_at=ms("2026-01-01T00:03:07Z")))
    found, now = [], ms("2026-01-01T00:00Z")
    while len(found) < 4_320:
        due = next_slot(rule, now)
        assert due is not None
        found.append(due)
        now = due + len(found) * 7919 % 600_000  # whatever the engine was late
    assert [ms("2026-01-01T00:03:07Z") + n * 600_000 for n in range(4_320)] == found
    assert 4_320 == len(list(slots(rule, found[0] - 1, found[0] - 1 + 30 * DAY)))


def test_an_interval_without_a_start_counts_from_1970() -> None:
    assert "every 1m30s" == describe(check(Rule("every", " 90 ", "")))
    assert [6 * HOUR, 12 * HOUR] == list(slots(Rule("every", "6h", ""), 5 * HOUR, 17 * HOUR))


def test_e15_a_time_in_the_past_is_still_a_slot() -> None:
    rule = check(Rule("once", "2026-01-31T09:30", "Europe/Berlin"))
    assert "2026-01-31T08:30:00Z" == rule.expression
    assert [ms("2026-01-31T08:30Z")] == list(slots(rule, 0, LAST_MS))
    assert next_slot(rule, ms("2026-01-31T08:30Z")) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-29T02:30", "2026-03-29T01:00:00Z"),  # in the gap
        ("2026-10-25T02:30", "2026-10-25T00:30:00Z"),  # the first of two
        ("2026-10-25T02:30+01:00", "2026-10-25T01:30:00Z"),
        ("2026-06-01", "2026-05-31T22:00:00Z"),
        ("1769848200123", "2026-01-31T08:30:00.123Z"),
    ],
)
def test_a_single_instant_is_kept_in_utc(text: str, expected: str) -> None:
    rule = check(Rule("once", text, "Europe/Berlin"))
    assert expected == rule.expression
    assert rule == check(rule)
    assert f"once at {expected}" == describe(rule)


def test_start_and_end_belong_to_the_schedule() -> None:
    start, end = ms("2026-01-01T06:00Z"), ms("2026-01-01T09:00Z")
    for rule in (cron("0 * * * *", start_at=start, end_at=end), Rule("every", "1h", "", start_at=start, end_at=end)):
        assert [start, start + HOUR, start + 2 * HOUR, end] == list(slots(check(rule), 0, LAST_MS))
        assert next_slot(rule, end) is None
    assert [] == list(slots(Rule("once", "2026-01-01T05:59Z", "", start_at=start, end_at=end), 0, LAST_MS))


def test_e17_jitter_is_stable_and_never_makes_a_slot_twice() -> None:
    rule = cron("0 * * * *", jitter_ms=30 * 60_000, seed="backup")
    offsets = {fire_at(rule, due) - due for due in slots(rule, 0, 100 * HOUR)}
    assert {fire_at(rule, 0)} == offsets
    script = (
        "from flowctl.core.recurrence import *; print(fire_at(Rule('every','1h','',jitter_ms=1800000,seed='backup'),0))"
    )
    restarted = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert {int(restarted.stdout)} == offsets
    drawn = {fire_at(cron("@daily", jitter_ms=1_000_000, seed=str(number)), 0) for number in range(100)}
    assert len(drawn) > 90
    assert 0 <= min(drawn) < max(drawn) < 1_000_000
    assert 5 == fire_at(cron("@daily"), 5)


# What is refused.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 0 30 2 *", "never comes"),
        ("0 0 31 feb,apr,jun,sep,nov *", "never comes"),
        ("60 * * * *", "minute 60 is out of range: it is 0 to 59"),
        ("* 24 * * *", "hour 24 is out of range: it is 0 to 23"),
        ("* * 0 * *", "day of month 0 is out of range: it is 1 to 31"),
        ("* * * 13 *", "month 13 is out of range: it is 1 to 12 or jan to dec"),
        ("* * * * 8", "day of week 8 is out of range: it is 0 to 7 or sun to sat"),
        ("60 0 0 * * *", "second 60 is out of range"),
        ("* * * foo *", "month has no value 'foo'"),
        ("* * * * jan", "day of week has no value 'jan'"),
        ("*/0 * * * *", "minute '*/0' has a step of 0"),
        ("0 22-2 * * *", "hour '22-2' runs backwards"),
        ("* * * * fri-mon", "day of week 'fri-mon' runs backwards"),
        ("H(9-3) * * * *", "minute 'h(9-3)' runs backwards"),
        ("*/90 * * * *", "minute '*/90' has a step longer than its range"),
        ("0 */24 * * *", "hour '*/24' has a step longer"),
        ("H/90 * * * *", "minute 'h/90' has a step longer"),
        ("R * * * *", "minute 'r' would be random"),
        ("0 0 15W * *", "nearest weekday"),
        ("0 0 * * 5#6", "day of week '5#6' cannot be read"),
        ("-5 * * * *", "minute '-5' cannot be read"),
        ("1,,2 * * * *", "minute '' cannot be read"),
        ("٣ * * * *", "minute '٣' cannot be read"),
        ("* * * *", "five fields"),
        ("0 * * * * * *", "five fields"),
        ("@fortnightly", "'@fortnightly' is not known"),
        ("", "is empty"),
        (" \t ", "is empty"),
        ("1," * 500 + "1 * * * *", "at most 1000 characters"),
    ],
)
def test_e10_what_makes_no_sense_is_refused_when_made(text: str, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        check(cron(text))
    assert message in refused.value.message


@pytest.mark.parametrize("text", ["0 0 29 2 *", "0 0 29 2 */6", "0 0 31 1,2 *", "0 0 30 2 1", "0 0 29,30 2 *"])
def test_e10_a_rare_date_is_not_an_impossible_one(text: str) -> None:
    assert next_slot(check(cron(text)), ms("2096-03-01T00:00Z")) is not None


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (Rule("every", "999ms", ""), "between a second and ten years"),
        (Rule("every", "5000d", ""), "between a second and ten years"),
        (Rule("every", "often", ""), "'often' is not a duration"),
        (Rule("every", "-5m", ""), "not a duration"),
        (Rule("once", "tomorrow", ""), "'tomorrow' is not a time"),
        (Rule("once", "1969-12-31T23:00Z", ""), "not between the years 1970 and 9999"),
        (Rule("once", "0001-01-01", "America/New_York"), "not between the years 1970 and 9999"),
        (Rule("once", "9999-12-31T23:59", "America/New_York"), "not between the years 1970 and 9999"),
        (Rule("once", "9" * 30, ""), "not between the years 1970 and 9999"),
        (cron("@daily", start_at=2, end_at=1), "ends before it starts"),
        (cron("@daily", start_at=-1), "start_at"),
        (cron("@daily", end_at=LAST_MS + 1), "end_at"),
        (cron("@daily", jitter_ms=-1), "jitter"),
        (cron("@daily", jitter_ms=DAY + 1), "jitter"),
    ],
)
def test_d07_what_is_out_of_bounds_is_refused_when_made(rule: Rule, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        check(rule)
    assert message in refused.value.message


def test_d07_a_range_of_any_size_is_answered() -> None:
    for rule in (cron("0 0 1 1 *", "Pacific/Kiritimati"), Rule("every", "3650d", ""), Rule("once", "5", "")):
        assert [] == list(slots(rule, 10**30, 10**31))
        assert [] == list(slots(rule, -(10**31), -(10**30)))
        assert [] == list(slots(rule, LAST_MS, 10**30))
        assert next_slot(rule, -(10**30)) == next_slot(rule, -1)
    late = list(slots(cron("0 0 * * *", "Pacific/Kiritimati"), LAST_MS - 3 * DAY, 10**30))
    assert [LAST_MS - n * DAY - 14 * HOUR for n in (2, 1, 0)] == late
    assert [0] == list(slots(cron("* * * * *"), -(10**30), 59_999))


@pytest.mark.parametrize(
    "name", ["Mars", "../../etc/passwd", "/etc/localtime", "Europe", "\0", "x" * 5_000, "zone.tab"]
)
def test_d09_an_unknown_zone_is_refused_when_made(name: str) -> None:
    with pytest.raises(UsageError, match="unknown time zone"):
        check(cron("@daily", name))


@pytest.mark.parametrize("name", ["Europe/Berln", "europe/berlin", "berlin"])
def test_d09_a_misspelt_zone_is_met_with_a_proposal(name: str) -> None:
    with pytest.raises(UsageError) as refused:
        check(cron("@daily", name))
    assert "did you mean Europe/Berlin" in refused.value.hint


def test_d09_missing_zone_data_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zones, "ZoneInfo", lambda name: (_ for _ in ()).throw(KeyError(name)))
    monkeypatch.setattr(zones, "available_timezones", set)
    with pytest.raises(UsageError, match="no time zone data") as refused:
        check(cron("@daily", "Europe/Berlin"))
    assert "install the package tzdata" == refused.value.hint
    assert UTC == find_zone("UTC")


# The machine's own zone.


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        (":Asia/Tehran", "Asia/Tehran"),
        ("/usr/share/zoneinfo/Asia/Tehran", "Asia/Tehran"),
        ("", "UTC"),
        ("no such zone", "UTC"),
    ],
)
def test_d08_the_machines_zone_is_what_tz_says(setting: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", setting)
    assert expected == local_zone_name()


def test_d08_a_change_of_the_machines_zone_moves_local_schedules_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    monkeypatch.delenv("TZ", raising=False)
    link = tmp_path / "localtime"
    monkeypatch.setattr(zones, "_LOCALTIME", str(link))
    monkeypatch.setattr(zones, "_TIMEZONE", str(tmp_path / "timezone"))
    assert "UTC" == local_zone_name()
    for name, expected in (("Europe/Berlin", 5 * HOUR), ("Asia/Tokyo", -3 * HOUR + DAY)):
        link.unlink(missing_ok=True)
        link.symlink_to(f"/usr/share/zoneinfo/{name}")
        assert name == local_zone_name()
        assert expected == next_slot(cron("0 6 * * *", ""), 0)
        assert 6 * HOUR == next_slot(cron("0 6 * * *", "UTC"), 0)
    link.unlink()
    link.write_bytes(b"a copy")
    (tmp_path / "timezone").write_text("Asia/Tokyo\n")
    assert "Asia/Tokyo" == local_zone_name()


# Properties.

FIELD = st.sampled_from(["*", "*/2", "*/5", "0", "1", "2", "3", "1-3", "2,5", "1-6/2", "H", "H/3"])
TEXTS = st.builds(lambda *fields: " ".join(fields), FIELD, FIELD, *[FIELD.filter(lambda text: text != "0")] * 2, FIELD)
RULES = st.builds(
    lambda text, zone, seed: Rule("cron", text, zone, seed=seed),
    TEXTS,
    st.sampled_from(oracle.ZONES),
    st.text(max_size=3),
) | st.builds(
    lambda seconds, start: Rule("every", f"{seconds}s", "", start_at=start),
    st.integers(600, 10**6),
    st.none() | st.integers(START * 1000, STOP * 1000),
)
INSTANTS = st.integers(START * 1000, STOP * 1000)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(RULES, INSTANTS, st.integers(0, 3 * DAY), st.integers(0, 3 * DAY))
def test_slots_ascend_and_any_two_ranges_join(rule: Rule, start: int, first: int, second: int) -> None:
    left = list(slots(rule, start, start + first))
    right = list(slots(rule, start + first, start + first + second))
    whole = list(slots(rule, start, start + first + second))
    assert whole == left + right
    assert whole == sorted(set(whole))
    assert all(start < each <= start + first + second for each in whole)
    if whole:
        assert whole[0] == next_slot(rule, start)
        assert whole[0] == next_slot(rule, whole[0] - 1)


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(
    st.sampled_from(["cron", "every", "once"]),
    st.text(st.sampled_from("0123456789*/-,LH#?@()WR fritu"), max_size=40) | st.text(max_size=80),
    st.sampled_from(["", "UTC", "Africa/Cairo"]),
)
@example("cron", "H(0-59)/1 H#5L 5L L5L * *", "")
@example("once", "9999-12-31", "Pacific/Kiritimati")
@example("every", "1e9s", "")
def test_m03_any_text_is_understood_or_refused(kind: str, text: str, zone: str) -> None:
    try:
        rule = check(Rule(kind, text, zone, seed=text))
    except UsageError:
        return
    assert rule == check(rule)
    found = list(islice(slots(rule, 0, LAST_MS), 5))
    assert found == sorted(set(found))
    assert describe(rule)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(st.text(st.characters(exclude_categories=()), max_size=20))
def test_m03_any_zone_is_known_or_refused(zone: str) -> None:
    with suppress(UsageError):
        assert zone.strip() == check(cron("@daily", zone)).zone


def test_m03_the_worst_texts_are_refused_in_time() -> None:
    check(cron("@daily", "Europe/Berlin"))
    worst = [
        "0 0 30 2 *",
        "0 0 31 2,4,6,9,11 *",
        "*/1," * 240 + "* * * * *",
        "9" * 990 + " * * * *",
        "1-" * 490 + " * * * *",
    ]
    for text in worst:
        started = time.process_time()
        with suppress(UsageError):
            check(cron(text))
        assert time.process_time() - started < 10, text[:20]  # by far: what is meant is that no text takes for ever


def test_e04_a_month_of_minutes_is_planned_in_time() -> None:
    start = ms("2026-03-15T00:00Z")
    started = time.process_time()
    assert 43_200 == sum(1 for _ in slots(cron("* * * * *", "Europe/Berlin"), start, start + 30 * DAY))
    assert time.process_time() - started < 10  # by far: what is meant is that no month takes for ever


def test_the_rules_load_neither_croniter_nor_dateutil() -> None:
    script = "import sys, flowctl.core.recurrence; print([m for m in ('croniter', 'dateutil') if m in sys.modules])"
    assert "[]\n" == subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
