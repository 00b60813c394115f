"""Schedules that wait for files: one slot when they have changed and stand still, also when nobody was looking."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from flowctl.core.errors import UsageError
from flowctl.engine import schedules
from flowctl.engine.why_schedule import why_schedule
from tests.engine.rhythm import HOUR, MINUTE, SECOND, START, Rhythm

FIRED = "fired"


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    made = tmp_path / "inbox"
    made.mkdir()
    (made / "a.csv").write_text("1")
    return made


def watch(rhythm: Rhythm, inbox: Path, **fields: Any) -> None:
    rhythm.add("inbox", f"{inbox}/*.csv", kind="change", **fields)
    rhythm.run_for(5 * SECOND)


def test_a_change_that_has_settled_is_one_slot_with_its_reason(rhythm: Rhythm, inbox: Path) -> None:
    watch(rhythm, inbox)
    assert [] == rhythm.slots("inbox")
    (inbox / "a.csv").write_text("12")
    rhythm.run_for(10 * SECOND)
    [slot] = rhythm.slots("inbox")
    assert (FIRED, f"{inbox}/a.csv has changed", 1) == (slot.outcome, slot.reason, slot.run_id)
    assert START + 7 * SECOND <= slot.due_at <= START + 9 * SECOND
    assert slot.due_at == rhythm.store.runs.get(1).due_at
    rhythm.run_for(HOUR)
    assert 1 == len(rhythm.slots("inbox"))
    assert [] == rhythm.store.check()


def test_files_that_come_and_go_are_told(rhythm: Rhythm, inbox: Path) -> None:
    watch(rhythm, inbox, overlap="allow")
    (inbox / "b.csv").write_text("1")
    (inbox / "c.csv").write_text("1")
    (inbox / "other.txt").write_text("1")
    rhythm.run_for(10 * SECOND)
    (inbox / "a.csv").unlink()
    rhythm.run_for(10 * SECOND)
    assert [
        (FIRED, f"{inbox}/b.csv is new, and 1 more"),
        (FIRED, f"{inbox}/a.csv is gone"),
    ] == rhythm.told("inbox")


def test_while_a_file_is_being_written_nothing_fires(rhythm: Rhythm, inbox: Path) -> None:
    watch(rhythm, inbox, debounce_ms=5 * SECOND)
    for size in range(2, 12):
        (inbox / "a.csv").write_text("x" * size)
        rhythm.run_for(3 * SECOND)
    assert [] == rhythm.slots("inbox")
    rhythm.run_for(10 * SECOND)
    assert [FIRED] == rhythm.outcomes("inbox")


def test_what_is_as_it_was_when_it_settles_has_not_changed(rhythm: Rhythm, inbox: Path) -> None:
    watch(rhythm, inbox, debounce_ms=5 * SECOND)
    (inbox / "b.csv").write_text("1")
    rhythm.run_for(2 * SECOND)
    (inbox / "b.csv").unlink()
    rhythm.run_for(MINUTE)
    assert [] == rhythm.slots("inbox")


def test_a_change_while_no_daemon_ran_is_one_slot_at_its_start(rhythm: Rhythm, inbox: Path) -> None:
    watch(rhythm, inbox)
    for name in ("a", "b", "c"):
        (inbox / f"{name}.csv").write_text("new")
    rhythm.be_off(HOUR)
    rhythm.run_for(MINUTE)
    assert [(FIRED, f"{inbox}/a.csv has changed, and 2 more")] == rhythm.told("inbox")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (FIRED, "flowctl was not running: ")),
        ({"catch_up": "skip"}, ("missed", "flowctl was not running: ")),
        ({"window_ms": HOUR}, ("skipped", "stale (more than 1h late): ")),
    ],
)
def test_a_change_long_ago_is_late_by_what_the_disk_says(
    rhythm: Rhythm, inbox: Path, fields: dict[str, Any], expected: tuple[str, str]
) -> None:
    watch(rhythm, inbox, **fields)
    (inbox / "a.csv").write_text("new")
    rhythm.clock.wall = os.stat(inbox / "a.csv").st_ctime_ns // 1_000_000
    rhythm.be_off(2 * HOUR)
    rhythm.run_for(MINUTE)
    outcome, reason = expected
    assert [(outcome, f"{reason}{inbox}/a.csv has changed")] == rhythm.told("inbox")


def test_overlap_pause_and_bounds_are_obeyed_and_nothing_is_made_up_for(rhythm: Rhythm, inbox: Path) -> None:
    watch(rhythm, inbox)
    for size in (2, 3):
        (inbox / "a.csv").write_text("x" * size)
        rhythm.run_for(10 * SECOND)
    schedules.pause(rhythm.store, "default", "inbox", rhythm.clock.wall, "not now")
    (inbox / "a.csv").write_text("paused")
    rhythm.run_for(10 * SECOND)
    (inbox / "a.csv").write_text("paused, and no daemon")
    schedules.resume(rhythm.store, "default", "inbox", rhythm.clock.wall)
    rhythm.run_for(10 * SECOND)
    changed = f"{inbox}/a.csv has changed"
    assert [
        (FIRED, changed),
        ("skipped", f"overlap, run 1 is still queued: {changed}"),
        ("skipped", f"paused (not now): {changed}"),
    ] == rhythm.told("inbox")
    watch_until = rhythm.clock.wall
    schedules.update(
        rhythm.store, rhythm.new("inbox", f"{inbox}/*.csv", kind="change", end_at=watch_until), watch_until
    )
    (inbox / "a.csv").write_text("after the end")
    rhythm.run_for(10 * SECOND)
    assert 3 == len(rhythm.slots("inbox"))


def test_other_patterns_begin_with_how_their_files_look_then(rhythm: Rhythm, inbox: Path) -> None:
    watch(rhythm, inbox)
    other = rhythm.new("inbox", f"{inbox}/*.txt\n{inbox}/*.md", kind="change")
    (inbox / "a.txt").write_text("1")
    schedules.update(rhythm.store, other, rhythm.clock.wall)
    rhythm.run_for(MINUTE)
    assert [] == rhythm.slots("inbox")
    (inbox / "a.md").write_text("1")
    rhythm.run_for(MINUTE)
    assert [(FIRED, f"{inbox}/a.md is new")] == rhythm.told("inbox")


def test_two_schedulers_make_one_slot_of_a_change(rhythm: Rhythm, inbox: Path) -> None:
    watch(rhythm, inbox, overlap="allow")
    first = rhythm.scheduler
    rhythm.start()
    rhythm.look()
    (inbox / "a.csv").write_text("12")
    for _ in range(10):
        rhythm.clock.pass_time(SECOND)
        first.tick(rhythm.clock.wall)
        rhythm.look()
    assert [FIRED] == rhythm.outcomes("inbox")


def test_why_says_what_it_waits_for(rhythm: Rhythm, inbox: Path) -> None:
    watch(rhythm, inbox)
    answer = why_schedule(rhythm.store, rhythm.schedule("inbox"), rhythm.clock.wall)
    assert f"schedule inbox: fires when {inbox}/*.csv changes" == answer.sentence
    (inbox / "a.csv").write_text("12")
    rhythm.run_for(10 * SECOND)
    answer = why_schedule(rhythm.store, rhythm.schedule("inbox"), rhythm.clock.wall)
    assert answer.sentence.endswith(f"fired run 1, which is queued: {inbox}/a.csv has changed")


def test_a_removed_schedule_leaves_nothing_behind(rhythm: Rhythm, inbox: Path) -> None:
    watch(rhythm, inbox)
    schedule = rhythm.schedule("inbox")
    assert rhythm.store.schedules.files(schedule.id) is not None
    schedules.remove(rhythm.store, "default", ["inbox"], rhythm.clock.wall)
    assert rhythm.store.schedules.files(schedule.id) is None
    rhythm.run_for(5 * SECOND)


def test_the_daemon_runs_what_waits_for_files(flowctl: Any, wait_for: Any, inbox: Path) -> None:
    flowctl(
        "schedules", "add", "inbox", "--on-change", "inbox/*.csv", "--debounce", "100ms", "--", "cat", "inbox/b.csv"
    )
    (inbox / "b.csv").write_text("before the daemon")
    flowctl("daemon", "start")
    try:
        wait_for(lambda: flowctl("ls", "--state", "succeeded", "--json").json)
        (inbox / "b.tmp").write_text("while it runs")  # the daemon shall not see it half written
        (inbox / "b.tmp").rename(inbox / "b.csv")
        wait_for(lambda: len(flowctl("ls", "--state", "succeeded", "--json").json) == 2)
    finally:
        flowctl("daemon", "stop", "--now")
    texts = [flowctl("show", str(run), "--json").json["steps"][0]["output"]["stdout"] for run in (1, 2)]
    assert ["before the daemon", "while it runs"] == texts
    reasons = [slot["reason"] for slot in flowctl("slots", "inbox", "--json").json]
    assert [f"{inbox}/b.csv has changed", f"{inbox}/b.csv is new"] == reasons


@pytest.mark.parametrize("expression", ["", "\n", "inbox/*.csv", "/inbox/\x1b[2J", "/" + "x" * 1_000])
def test_what_is_no_full_pattern_is_refused(rhythm: Rhythm, expression: str) -> None:
    with pytest.raises(UsageError, match="change"):
        rhythm.add("inbox", expression, kind="change")
