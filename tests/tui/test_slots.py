"""The ledger of a schedule: what is due next on top, then what became of each slot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from flowctl.core.model import SlotGroup
from flowctl.store import Store
from tests.tui.conftest import on_screen, seen, sees, until
from tests.tui.scheduled import schedule_of, schedule_the_shop, tick

Flowctl = Callable[..., str]


@pytest.fixture
def ledger(db: str, flowctl: Flowctl) -> Flowctl:
    schedule_the_shop(flowctl)
    tick(db, 1, 2)
    return flowctl


async def open_ledger(pilot: Pilot[Any]) -> None:
    await pilot.press("S")
    await sees(pilot, "hourly")
    await pilot.press("enter")


def test_the_ledger_tells_what_is_due_next_what_became_of_each_slot_and_why(db: str, ledger: Flowctl) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await open_ledger(pilot)
        await sees(pilot, "is not due before", "runs shop", "overlap skip", "2 slots")
        await sees(pilot, "○ due next", "⊘ skipped", "overlap, run 1 is still queued", "✓ fired", "○ queued")
        lines = [line for line in seen(pilot.app).splitlines() if ":00:00" in line and ("due" in line or "ed" in line)]
        order = [word for line in lines[-5:] for word in ("○ due", "skipped", "fired") if word in line]
        assert ["○ due", "○ due", "○ due", "skipped", "fired"] == order

    on_screen(db, journey)


def test_enter_opens_the_run_of_a_slot_and_says_when_it_has_none(db: str, ledger: Flowctl) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await open_ledger(pilot)
        await sees(pilot, "⊘ skipped", "✓ fired")
        await pilot.press("enter")  # the cursor is on the newest slot of the past
        await sees(pilot, "this slot has no run")
        await pilot.press("j", "enter")
        await until(pilot, lambda: getattr(pilot.app.screen, "number", None) == 1)
        await pilot.press("escape")

    on_screen(db, journey)


def test_actions_are_done_from_the_ledger_and_escape_goes_back(db: str, ledger: Flowctl) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await open_ledger(pilot)
        await sees(pilot, "2 slots")
        await pilot.press("p", *"why", "enter")
        await sees(pilot, "is paused since", "paused: why", "flowctl schedules resume hourly")
        await pilot.press("escape")
        await sees(pilot, "SCHEDULE", "‖ paused: why")

    on_screen(db, journey)


def test_a_schedule_that_is_removed_meanwhile_is_told_of(db: str, ledger: Flowctl) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await open_ledger(pilot)
        await sees(pilot, "2 slots")
        ledger("schedules", "remove", "hourly", "--yes")
        await sees(pilot, "there is no schedule hourly", "no slot was due yet")

    on_screen(db, journey)


def test_a_long_ledger_is_fetched_as_one_scrolls_and_its_text_is_harmless(db: str, ledger: Flowctl) -> None:
    made = schedule_of(db, "tidy")
    with Store.open(db) as store, store.transaction():
        group = SlotGroup([*range(1_000_000, 31_000_000, 1_000)], "missed", "[red]off\x1b[31m\u202e")
        store.schedules.record(made.id, group, 1)

    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("S")
        await sees(pilot, "tidy")
        await pilot.press("j", "enter")
        await sees(pilot, "30,000 slots", "✗ missed", "[red]off\\x1b[31m\\u202e")
        await pilot.press("end")
        await sees(pilot, "Thu 1970-01-01 09:16:40 JST")

    on_screen(db, journey)
