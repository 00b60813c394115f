"""Schedules: the list with what became of the last slots, and every action as its command."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from flowctl.store import Store
from tests.tui.conftest import on_screen, seen, sees, until
from tests.tui.scheduled import schedule_of, schedule_the_shop, tick

Flowctl = Callable[..., str]


@pytest.fixture
def scheduled(flowctl: Flowctl, monkeypatch: pytest.MonkeyPatch) -> Flowctl:
    monkeypatch.setenv("TZ", "UTC")
    schedule_the_shop(flowctl)
    return flowctl


async def types(pilot: Pilot[Any], text: str) -> None:
    await pilot.press(*("space" if letter == " " else letter for letter in text))


def line_of(pilot: Pilot[Any], name: str) -> str:
    return next((line for line in seen(pilot.app).splitlines() if line.strip().startswith(name)), "")


def test_schedules_are_listed_with_the_next_fire_the_last_run_and_a_strip_of_slots(db: str, scheduled: Flowctl) -> None:
    tick(db, 1, 2, 3)

    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("S")
        await sees(pilot, "hourly", "every 1h", "○ queued", "✓ fired", "⊘ skipped", "✗ missed", "◌ coalesced")
        assert "⊘⊘✓" in line_of(pilot, "hourly").split()
        assert "02:30 JST" in line_of(pilot, "tidy")  # by its own clock, with the zone
        assert "never ran" in line_of(pilot, "tidy")

    on_screen(db, journey, size=(120, 30))


def test_a_slot_that_is_decided_appears_by_itself(db: str, scheduled: Flowctl) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("S")
        await sees(pilot, "hourly", "never ran")
        tick(db, 1)
        await until(pilot, lambda: "✓" in line_of(pilot, "hourly") and "queued" in line_of(pilot, "hourly"))

    on_screen(db, journey)


def test_pausing_asks_for_a_reason_and_tells_it_and_resuming_is_grey_before(db: str, scheduled: Flowctl) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("S")
        await sees(pilot, "hourly", "u Resume")
        await pilot.press("u")
        await sees(pilot, "hourly is not paused")
        await pilot.press("p")
        await types(pilot, "new disk")
        await sees(pilot, "flowctl schedules pause hourly --reason 'new disk'")
        await pilot.press("enter")
        await sees(pilot, "‖ paused: new disk", "paused (new disk) since")
        await pilot.press("u")
        await until(pilot, lambda: "paused" not in line_of(pilot, "hourly"))

    on_screen(db, journey)
    assert schedule_of(db, "hourly").paused_at is None


def test_triggering_makes_one_run(db: str, scheduled: Flowctl) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("S")
        await sees(pilot, "hourly")
        await pilot.press("t")
        await sees(pilot, "flowctl schedules trigger hourly", "○ queued")

    on_screen(db, journey)


def test_removing_asks_first(db: str, scheduled: Flowctl) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("S")
        await sees(pilot, "hourly")
        await pilot.press("X")
        await sees(pilot, "Remove?", "flowctl schedules remove hourly --yes")
        await pilot.press("enter")
        await until(pilot, lambda: schedule_of(db, "hourly") is None)
        await until(pilot, lambda: "every 1h" not in seen(pilot.app))

    on_screen(db, journey)


def test_an_edit_shows_when_it_would_be_due_and_sends_what_was_changed_alone(db: str, scheduled: Flowctl) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("S")
        await sees(pilot, "tidy", "hourly")
        await pilot.press("j", "e")
        await sees(pilot, "Edit tidy")
        await pilot.press("tab", "ctrl+u")
        await types(pilot, "0 25 * * *")
        await sees(pilot, "25")
        await until(pilot, lambda: "flowctl schedules update" not in seen(pilot.app))
        await pilot.press("ctrl+u")
        await types(pilot, "0 3 * * *")
        await sees(pilot, "flowctl schedules update tidy --cron '0 3 * * *'", "03:00:00 JST")
        await pilot.press("tab", "tab", "right")
        await sees(pilot, "--overlap queue")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: schedule_of(db, "tidy").expression == "0 3 * * *")

    on_screen(db, journey)
    changed = schedule_of(db, "tidy")
    assert ("Asia/Tokyo", "queue", "latest") == (changed.zone, changed.overlap, changed.catch_up)


def test_an_input_is_checked_by_the_workflow_and_never_in_the_arguments(db: str, scheduled: Flowctl) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("S")
        await sees(pilot, "hourly")
        await pilot.press("e")
        await sees(pilot, "Edit hourly", '{"page":3}')
        form = pilot.app.screen
        form._lines["input"].enter()
        form._lines["input"]._entry.text = '{"page": "x"}'
        await sees(pilot, "flowctl schedules update hourly --input - <<<")
        await pilot.press("ctrl+s")
        await sees(pilot, "parameter page: $ is 'x', not int")
        assert form is pilot.app.screen
        form._lines["input"]._entry.text = '{"page": 8}'
        await pilot.press("ctrl+s")
        await until(pilot, lambda: json.loads(schedule_of(db, "hourly").input) == {"page": 8})

    on_screen(db, journey)


def test_a_schedule_of_a_command_is_added_where_there_is_no_database_yet(db: str) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("S")
        await sees(pilot, "there is no run yet")
        await pilot.press("n")
        await types(pilot, "disk")
        await sees(pilot, "nothing says when it is due")
        await pilot.press("tab", "right", "tab")
        await types(pilot, "10m")
        await sees(pilot, "nothing says what it runs")
        await pilot.press("tab", "tab", "tab", "tab")
        await types(pilot, "df > x")
        await sees(pilot, "flowctl schedules add disk --every 10m --shell -- 'df > x'", "due:")
        await pilot.press("enter")
        await sees(pilot, "every 10m")

    on_screen(db, journey)
    assert {"command": "df > x"}.items() <= json.loads(schedule_of(db, "disk").input).items()


def test_a_schedule_of_files_is_added_and_edited(db: str) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("S")
        await sees(pilot, "there is no run yet")
        await pilot.press("n")
        await types(pilot, "inbox")
        await pilot.press("tab", "right", "right", "right", "tab")
        await types(pilot, "/in/*.csv '/my notes.txt")
        await sees(pilot, "the expression has an open quotation")
        await types(pilot, "'")
        await pilot.press("tab", "tab", "tab", "tab")
        await types(pilot, "true")
        await sees(pilot, "--on-change '/in/*.csv' --on-change '/my notes.txt'", "due: when /in/*.csv or /my notes.txt")
        await pilot.press("enter")
        await sees(pilot, "at a change")
        await pilot.press("e")
        await pilot.press("tab", "end")  # what is there is selected: it stays
        await types(pilot, " /more")
        await sees(pilot, "schedules update inbox", "--on-change /more")
        await pilot.press("enter")
        await until(pilot, lambda: schedule_of(db, "inbox").expression == "/in/*.csv\n/my notes.txt\n/more")

    on_screen(db, journey, size=(160, 40))


def test_a_backfill_says_how_many_runs_it_makes(db: str, scheduled: Flowctl) -> None:
    tick(db, 3)

    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("S")
        await sees(pilot, "hourly")
        await pilot.press("b")
        await types(pilot, "yesterday")
        await sees(pilot, "--from: 'yesterday' is not a time")
        await pilot.press("ctrl+u")
        await types(pilot, "2020-01-01")
        await sees(pilot, "more than 100 slots would be filled")
        await pilot.press("ctrl+u")
        with Store.open(db, create=False, read_only=True) as store:
            [*_, first] = store.schedules.slots(schedule_of(db, "hourly").id, limit=9)
        at = first.due_at // 1000
        await types(pilot, _iso(at + 60))
        await pilot.press("tab")
        await types(pilot, _iso(at + 120))
        await sees(pilot, "no slot is due in that time")
        await pilot.press("ctrl+u", "shift+tab", "ctrl+u")
        await types(pilot, _iso(at))
        await pilot.press("tab")
        await types(pilot, _iso(at + 60))
        await sees(pilot, "1 run: for")
        await pilot.press("ctrl+u")
        await types(pilot, "2999-01-01")
        await sees(pilot, "2 runs: for", "--limit 100 --yes")
        await pilot.press("enter")
        await until(pilot, lambda: _fired(db) == 3)

    on_screen(db, journey, size=(110, 30))


def _iso(seconds: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%MZ")


def _fired(db: str) -> int:
    with Store.open(db, create=False, read_only=True) as store:
        slots = store.schedules.slots(schedule_of(db, "hourly").id, limit=9)
    return sum(slot.outcome == "fired" for slot in slots)


def test_it_can_be_used_on_a_small_terminal(db: str, scheduled: Flowctl) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("S")
        await sees(pilot, "hourly", "never ran", "JST")
        await pilot.press("e")
        await sees(pilot, "Edit hourly", "expression", "overlap", "Esc back")

    on_screen(db, journey, size=(60, 20))
