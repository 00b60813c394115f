"""Runs: the live list, its filter, and what can be done from there."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from textual.pilot import Pilot

from tests.tui.conftest import on_screen, seen, sees, state_of, until


def test_runs_are_listed_the_newest_first_with_icon_and_word(db: str, shop: Callable[..., str]) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "✗ failed", "✓ succeeded", "3 runs")
        lines = [line for line in seen(pilot.app).splitlines() if "shop" in line or "ratio" in line]
        assert ["3", "2", "1"] == [line.split()[0] for line in lines]

    on_screen(db, journey)


def test_a_new_run_appears_while_the_cursor_stays_on_its_run(db: str, shop: Callable[..., str]) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "3 runs")
        await pilot.press("j")
        shop("exec", "-q", "--", "true")
        await sees(pilot, "4 runs")
        assert 2 == pilot.app.screen.table.key

    on_screen(db, journey)


def test_a_filter_is_typed_after_a_slash_and_taken_away_by_escape(db: str, shop: Callable[..., str]) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "3 runs")
        await pilot.press("slash", *"state:failed", "enter")
        await sees(pilot, "1 run · state:failed")
        assert "shop" not in seen(pilot.app)
        await pilot.press("escape")
        await sees(pilot, "3 runs")

    on_screen(db, journey)


def test_a_filter_that_means_nothing_is_refused_with_a_sentence(db: str, shop: Callable[..., str]) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "3 runs")
        await pilot.press("slash", *"state:faild", "enter")
        await sees(pilot, "there is no state 'faild'", "did you mean failed?")

    on_screen(db, journey)


def test_what_cannot_be_done_is_grey_and_says_why(db: str, shop: Callable[..., str]) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "3 runs", "✓ succeeded")
        await pilot.press("j")
        await until(pilot, lambda: pilot.app.screen.subjects()[0].id == 2)
        assert pilot.app.screen.check_action("act", ("retry",)) is None
        await pilot.press("r")
        await sees(pilot, "run 2 is succeeded")

    on_screen(db, journey)


def test_an_action_is_its_command_and_y_copies_it(db: str, shop: Callable[..., str]) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "✗ failed")
        await pilot.press("r")
        await sees(pilot, "○ queued", "flowctl retry 3 --detach")
        await pilot.press("y")
        assert "flowctl retry 3 --detach" == pilot.app.clipboard

    on_screen(db, journey)
    assert "queued" == state_of(db, 3)


def test_a_key_does_its_action_once(db: str, shop: Callable[..., str]) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "✗ failed")
        await pilot.press("n")
        await sees(pilot, "4 runs", "flowctl rerun 3 --detach")
        await until(pilot, lambda: all(each.is_finished for each in pilot.app.workers if each.group == "commands"))

    on_screen(db, journey)
    assert 4 == len(json.loads(shop("ls", "--json")))


def test_beside_a_list_without_a_run_there_is_none(db: str, shop: Callable[..., str]) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "3 runs", "run 3 ratio")
        await pilot.press("slash", *"workflow:shop", "enter")
        await sees(pilot, "2 runs", "run 2 shop")
        await pilot.press("slash", *"state:failed", "enter")
        await sees(pilot, "no run fits workflow:shop state:failed")
        await until(pilot, lambda: "run 2 shop" not in seen(pilot.app))
        await pilot.press("escape")
        await sees(pilot, "3 runs", "run 3 ratio")

    on_screen(db, journey, size=(160, 48))


def test_what_destroys_is_asked_for_first(db: str, shop: Callable[..., str]) -> None:
    shop("run", "flows.py:shop", "-d", "-q")

    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "○ queued")
        await pilot.press("x")
        await sees(pilot, "Cancel?", "flowctl cancel 4")
        await pilot.press("escape")
        assert "queued" == state_of(db, 4)
        await pilot.press("x")
        await sees(pilot, "Cancel?")
        await pilot.press("enter")
        await sees(pilot, "⊘ cancelled")

    on_screen(db, journey)


def test_without_a_database_the_screen_says_what_to_do_and_shows_the_first_run_when_it_comes(
    db: str, flowctl: Callable[..., str]
) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "there is no run yet", "flowctl init")
        flowctl("exec", "-q", "--", "true")
        await sees(pilot, "1 run", "✓ succeeded")

    on_screen(db, journey)
