"""What becomes of slots that were missed: catch-up, window, cap, suspends and clocks that jump."""

from __future__ import annotations

import time

import pytest

from flowctl.engine.why_schedule import why_schedule
from tests.engine.rhythm import DAY, HOUR, MINUTE, SECOND, START, Rhythm


def test_a_slot_that_is_due_gets_its_run_and_its_row_in_the_ledger(rhythm: Rhythm) -> None:
    rhythm.add()
    assert START + HOUR == rhythm.look()
    assert [] == rhythm.slots()
    rhythm.clock.pass_time(HOUR)
    assert START + 2 * HOUR == rhythm.look()
    [slot], [run] = rhythm.slots(), rhythm.runs()
    assert (START + HOUR, "fired", None, run.id) == (slot.due_at, slot.outcome, slot.reason, slot.run_id)
    assert ("nightly", START + HOUR, "queued", None) == (run.schedule, run.due_at, run.state, run.wake_at)
    rhythm.look()
    assert 1 == len(rhythm.runs())


@pytest.mark.parametrize(
    ("policy", "runs", "outcomes"),
    [
        ("skip", [], ["missed"] * 5),
        ("latest", [5], ["coalesced"] * 4 + ["fired"]),
        ("all", [3, 4, 5], ["skipped"] * 2 + ["fired"] * 3),
    ],
)
def test_e03_after_five_missed_hours_each_policy_does_what_it_says(
    rhythm: Rhythm, policy: str, runs: list[int], outcomes: list[str]
) -> None:
    rhythm.add(catch_up=policy, catch_up_cap=3)
    rhythm.be_off(5 * HOUR + 30 * MINUTE)
    assert [START + hour * HOUR for hour in runs] == [run.due_at for run in rhythm.runs()]
    assert outcomes == rhythm.outcomes()
    assert START + 6 * HOUR == rhythm.schedule().next_at


def test_e03_runs_that_catch_up_begin_one_after_the_other_the_oldest_first(rhythm: Rhythm) -> None:
    rhythm.add(catch_up="all")
    rhythm.be_off(3 * HOUR + 30 * MINUTE)
    for left in (3, 2, 1):
        states = rhythm.states()
        assert ["succeeded"] * (3 - left) + ["queued"] + ["waiting"] * (left - 1) == states
        rhythm.end(rhythm.runs()[3 - left].id)
        rhythm.look()


def test_e03_a_coalesced_slot_names_the_run_that_stands_for_it_and_why(rhythm: Rhythm) -> None:
    rhythm.add()
    rhythm.be_off(2 * HOUR + 30 * MINUTE)
    first, second = rhythm.slots()
    assert (rhythm.runs()[0].id, "flowctl was not running") == (first.run_id, first.reason)
    assert (rhythm.runs()[0].id, "fired") == (second.run_id, second.outcome)


@pytest.mark.parametrize(
    ("asleep", "count", "why"),
    [(75 * SECOND, 14, "machine suspended 00:00-00:01"), (20 * SECOND, 3, "machine suspended 00:00-00:00")],
)
def test_e03_slots_of_the_last_minute_that_are_coalesced_say_why_too(
    rhythm: Rhythm, asleep: int, count: int, why: str
) -> None:
    rhythm.add(expression="5s", kind="every")
    rhythm.clock.suspend(asleep)
    rhythm.look()
    assert [("coalesced", why)] * count + [("fired", None)] == rhythm.told()


def test_e03_slots_that_are_coalesced_as_the_scheduler_was_busy_say_so(rhythm: Rhythm) -> None:
    rhythm.add(expression="5s", kind="every")
    rhythm.clock.pass_time(10 * SECOND)
    rhythm.look()
    assert [("coalesced", "flowctl was late"), ("fired", None)] == rhythm.told()


def test_e04_a_month_of_minutes_is_planned_quickly_and_starts_no_more_than_the_cap(
    rhythm: Rhythm,
) -> None:
    rhythm.add(expression="* * * * *", catch_up="all")
    rhythm.clock.pass_time(30 * DAY)
    rhythm.start()
    began = time.process_time()
    rhythm.look()
    took = time.process_time() - began
    outcomes = rhythm.outcomes()
    assert (43_200, 100) == (len(outcomes), len(rhythm.runs()))
    assert ["skipped"] * 43_100 + ["fired"] * 100 == outcomes
    assert "over the cap of 100" == rhythm.slots()[0].reason
    assert ["43,200 slots were due at once: 100 fired, 43,100 skipped"] == rhythm.notes("schedule nightly")[1:]
    assert took < 5, f"{took:.3f} s"  # 0.12 s without coverage: `python -m bench --case planning` measures it


def test_e04_days_of_seconds_leave_a_row_for_those_that_are_too_many_to_list(rhythm: Rhythm) -> None:
    rhythm.add(expression="* * * * * *")
    rhythm.be_off(10 * DAY)
    slots = rhythm.slots()
    assert 100_001 == len(slots)
    assert (START + SECOND, "missed") == (slots[0].due_at, slots[0].outcome)
    assert "flowctl was not running; this row stands for 500,000 or more slots that are not listed" == slots[0].reason
    assert [rhythm.clock.wall] == [run.due_at for run in rhythm.runs()]
    assert "and 500,000 or more before them that are not listed" in rhythm.notes("schedule nightly")[-1]


def test_a_slot_older_than_the_window_is_stale(rhythm: Rhythm) -> None:
    rhythm.add(window_ms=2 * HOUR, catch_up="all")
    rhythm.be_off(4 * HOUR + MINUTE)
    assert [("skipped", "stale (more than 2h late)")] * 2 == rhythm.told()[:2]
    assert ["fired", "fired"] == rhythm.outcomes()[2:]


def test_a_slot_that_is_less_than_a_minute_late_is_on_time(rhythm: Rhythm) -> None:
    rhythm.add(catch_up="skip")
    rhythm.be_off(HOUR + 59 * SECOND)
    assert [("fired", None)] == rhythm.told()
    rhythm.be_off(HOUR + 2 * SECOND)
    assert ("missed", "flowctl was not running") == rhythm.told()[1]


def test_schedules_that_catch_up_together_start_two_seconds_apart(rhythm: Rhythm) -> None:
    for number in range(250):
        rhythm.add(f"s{number:03d}")
    rhythm.be_off(3 * HOUR + 30 * MINUTE)
    while (rhythm.look() or 0) <= rhythm.clock.wall:
        pass
    delays = [
        (rhythm.runs(f"s{number:03d}")[0].wake_at or rhythm.clock.wall) - rhythm.clock.wall for number in range(250)
    ]
    assert [min(number * 2_000, 300_000) for number in range(250)] == delays


def test_d03_a_clock_set_back_an_hour_makes_no_slot_twice(rhythm: Rhythm) -> None:
    rhythm.add(expression="*/10 * * * *", overlap="allow")
    rhythm.run_for(2 * HOUR)
    rhythm.clock.wall -= HOUR
    rhythm.run_for(2 * HOUR)
    assert [START + number * 10 * MINUTE for number in range(1, 19)] == [run.due_at for run in rhythm.runs()]
    assert rhythm.notes("machine")[0].startswith("clock moved by -1h from 2026-01-01T02:00:00Z to 2026-01-01T01:00:00Z")


def test_d04_a_clock_set_forward_a_day_follows_the_catch_up_policy(rhythm: Rhythm) -> None:
    rhythm.add(catch_up="skip")
    rhythm.run_for(HOUR)
    rhythm.end_all()
    rhythm.clock.wall += DAY
    rhythm.run_for(HOUR)
    told = rhythm.told()
    assert ("fired", None) == told[0]
    assert [("missed", "clock moved by +1d")] * 23 == told[1:24]
    assert 25 + 1 == len(told)


def test_d05_eight_hours_of_suspend_make_one_run_and_tell_why(rhythm: Rhythm) -> None:
    rhythm.add(expression="* * * * *", overlap="allow")
    rhythm.run_for(5 * MINUTE)
    before = len(rhythm.runs())
    rhythm.clock.suspend(8 * HOUR)
    rhythm.look()
    assert before + 1 == len(rhythm.runs())
    assert ["suspended from 2026-01-01T00:05:00Z to 2026-01-01T08:05:00Z"] == rhythm.notes("machine")
    assert [("coalesced", "machine suspended 00:05-08:05")] * 479 == rhythm.told()[before : before + 479]
    assert [("fired", None)] == rhythm.told()[before + 479 :]  # in the last minute: on time


def test_d05_a_process_that_stood_still_is_told_from_a_machine_that_slept(rhythm: Rhythm) -> None:
    rhythm.add(catch_up="skip")
    rhythm.look()
    rhythm.clock.pass_time(2 * HOUR + 30 * MINUTE)
    rhythm.look()
    assert [("missed", "flowctl stood still 00:00-02:30")] * 2 == rhythm.told()


def test_small_steps_of_a_clock_are_not_worth_a_word(rhythm: Rhythm) -> None:
    rhythm.clock.wall += 9 * SECOND
    assert rhythm.watch.look() is None
    rhythm.clock.pass_time(15 * SECOND)
    assert rhythm.watch.look() is None
    assert [] == rhythm.notes("machine")


def test_d06_nothing_is_planned_by_a_clock_that_was_never_set(tmp_path) -> None:
    rhythm = Rhythm(tmp_path)
    rhythm.add()
    rhythm.clock.wall = 3 * HOUR  # 1970
    assert rhythm.look() is None
    assert [] == rhythm.slots()
    rhythm.clock.wall = START + 90 * MINUTE
    rhythm.look()
    assert ["fired"] == rhythm.outcomes()
    rhythm.store.close()


def test_e15_a_once_fires_even_when_it_is_past(rhythm: Rhythm) -> None:
    rhythm.add("past", "2025-12-31T23:55:00Z", kind="once")
    rhythm.add("later", "2026-01-01T02:00:00Z", kind="once")
    rhythm.run_for(DAY)
    assert [["fired"], ["fired"]] == [rhythm.outcomes("past"), rhythm.outcomes("later")]
    assert [None, None] == [rhythm.schedule("past").next_at, rhythm.schedule("later").next_at]
    rhythm.be_off(DAY)
    assert 1 == len(rhythm.runs("past"))


def test_e15_a_once_that_was_past_when_it_was_made_says_so_and_one_that_passed_meanwhile_says_what_was(
    rhythm: Rhythm,
) -> None:
    rhythm.add("past", "2025-12-31T23:55:00Z", kind="once")
    rhythm.add("refused", "2025-12-31T23:55:00Z", kind="once", catch_up="skip")
    rhythm.add("meanwhile", "2026-01-01T00:30:00Z", kind="once")
    rhythm.be_off(HOUR)
    assert [("fired", "it was due before the schedule was made")] == rhythm.told("past")
    assert [("missed", "it was due before the schedule was made")] == rhythm.told("refused")
    assert [("fired", "flowctl was not running")] == rhythm.told("meanwhile")
    said = why_schedule(rhythm.store, rhythm.schedule("past"), rhythm.clock.wall, START - 5 * MINUTE).sentence
    assert said.endswith("which is queued: it was due before the schedule was made")


def test_e16_an_interval_stays_on_its_grid_for_a_month_of_late_looks(rhythm: Rhythm) -> None:
    rhythm.add(expression="10m", kind="every", overlap="allow")
    state = 1
    while rhythm.clock.wall < START + 30 * DAY:
        state = state * 48_271 % 2_147_483_647
        rhythm.clock.pass_time(max(1, min(10 * MINUTE, (rhythm.look() or 0) - rhythm.clock.wall)) + state % 900)
    rhythm.look()
    fired = [slot.due_at for slot in rhythm.slots() if slot.outcome == "fired"]
    assert [START + number * 10 * MINUTE for number in range(1, 4_321)] == fired[:4_320]


def test_e17_jitter_moves_the_start_of_a_run_by_the_same_after_a_restart_and_never_its_slot(rhythm: Rhythm) -> None:
    rhythm.add(jitter_ms=30 * MINUTE, overlap="allow")
    rhythm.run_for(HOUR)
    rhythm.start()
    rhythm.run_for(HOUR)
    first, second = rhythm.runs()
    assert [START + HOUR, START + 2 * HOUR] == [first.due_at, second.due_at]
    assert (first.wake_at or 0) - START - HOUR == (second.wake_at or 0) - START - 2 * HOUR
    assert 0 < (first.wake_at or 0) - START - HOUR < 30 * MINUTE
