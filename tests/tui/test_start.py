"""A run is started through a form that is made from the parameters."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from flowctl.core.model import Run
from flowctl.store import Store
from flowctl.tui.widgets.choice import Choice
from tests.tui.conftest import on_screen, seen, sees, until

Flowctl = Callable[..., str]
FLOW = '''
from typing import Literal
from flowctl import workflow

@workflow
def report(
    page: int, name: str = "x", deep: bool = False, mode: Literal["fast", "slow"] = "fast", sizes: dict[str, int] = {}
):
    """Write the report."""
    return page
'''


@pytest.fixture
def registered(db: str, flowctl: Flowctl) -> Flowctl:
    Path("report.py").write_text(FLOW)
    flowctl("workflows", "add", "report.py")
    return flowctl


def run_of(db: str, number: int) -> Run:
    with Store.open(db, create=False, read_only=True) as store:
        return store.runs.get(number)


async def makes(pilot: Pilot[Any], command: str) -> None:
    """Let the form work until it shows that command, wherever its lines end."""
    await until(pilot, lambda: command in " ".join(seen(pilot.app).replace("│", " ").split()))


async def open_form(pilot: Pilot[Any]) -> None:
    await pilot.press("W")
    await sees(pilot, "report")
    await pilot.press("n")
    await sees(pilot, "New run of report", "Write the report.", "integer, needed", "name", "[fast]")


def test_what_is_typed_and_chosen_becomes_a_run_whose_input_came_by_stdin(db: str, registered: Flowctl) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await open_form(pilot)
        await pilot.press("5")
        await makes(pilot, """flowctl run report --input - --detach <<< '{"page": 5}'""")
        await pilot.press("tab", *"pen", "tab", "left", "tab", "space", "tab", *'{"a":2}')
        await makes(pilot, """'{"page": 5, "name": "pen", "deep": true, "mode": "slow", "sizes": {"a": 2}}'""")
        await pilot.press("ctrl+y")
        assert pilot.app.clipboard.startswith("flowctl run report --input - --detach <<< ")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: getattr(pilot.app.screen, "number", None) == 1)

    on_screen(db, journey)
    run = run_of(db, 1)
    assert ("queued", "report") == (run.state, run.workflow)
    assert {"page": 5, "name": "pen", "deep": True, "mode": "slow", "sizes": {"a": 2}} == json.loads(run.input)


def test_types_are_checked_as_one_types_with_the_message_of_the_command(db: str, registered: Flowctl) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await open_form(pilot)
        await pilot.press("x")
        await sees(pilot, "parameter page must be int, not 'x'")
        await pilot.press("enter")
        await sees(pilot, "New run of report")
        await pilot.press("backspace", "7")
        await until(pilot, lambda: "must be int" not in seen(pilot.app))
        await pilot.press("shift+tab", *"{")
        await sees(pilot, "parameter sizes: '{' is not JSON")
        assert "<<<" not in seen(pilot.app)

    on_screen(db, journey)


def test_nothing_starts_without_what_is_needed_and_escape_goes_back(db: str, registered: Flowctl) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await open_form(pilot)
        await pilot.press("tab", *"pen", "enter")
        await until(pilot, lambda: pilot.app.screen._lines["page"]._entry.has_focus)
        await until(pilot, lambda: "needed" in seen(pilot.app).split("integer, needed")[1])
        await pilot.press("escape")
        await until(pilot, lambda: "New run of" not in seen(pilot.app))

    on_screen(db, journey)
    with Store.open(db, create=False, read_only=True) as store:
        assert {} == store.runs.counts("default")


def test_options_are_folded_away_and_refused_with_the_message_of_the_command(db: str, registered: Flowctl) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await open_form(pilot)
        await sees(pilot, "ctrl+o more: queue, priority, at, in, tags, key")
        await pilot.press("5", "ctrl+o", *"slow", "tab", *"3", "tab", "tab", *"soon")
        await sees(pilot, "--in: 'soon' is not a duration")
        await pilot.press("ctrl+u", *"2h", "tab", *"team=a", "space", *"x=y")
        await makes(pilot, "--queue slow --priority 3 --in 2h --tag team=a --tag x=y <<<")
        await pilot.press("enter")
        await until(pilot, lambda: getattr(pilot.app.screen, "number", None) == 1)

    on_screen(db, journey)
    run = run_of(db, 1)
    assert ("slow", 3, {"team": "a", "x": "y"}) == (run.queue, run.priority, run.tags)
    assert run.wake_at is not None


def test_what_the_command_refuses_is_told_in_the_form_which_stays(db: str, registered: Flowctl) -> None:
    Path("report.py").write_text(FLOW.replace("page: int", "page: Literal[1, 2]"))

    async def journey(pilot: Pilot[Any]) -> None:
        await open_form(pilot)
        await pilot.press("5", "enter")
        await sees(pilot, "parameter page: $ is 5, not Literal[1, 2]")
        assert "New run of report" in seen(pilot.app)

    on_screen(db, journey)


def test_it_can_be_filled_in_on_a_small_terminal(db: str, registered: Flowctl) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await open_form(pilot)
        await pilot.press("5", "ctrl+o")
        await pilot.press(*["tab"] * 5, *"k1")
        await sees(pilot, "--key k1", "Enter do it")

    on_screen(db, journey, size=(60, 20))


def test_a_choice_with_many_words_shows_the_chosen_one_and_how_many_there_are() -> None:
    from textual.app import App, ComposeResult

    class Shown(App[None]):
        def compose(self) -> ComposeResult:
            yield Choice([f"[b]word {number}" for number in range(30)], "[b]word 3")

    async def go() -> None:
        async with Shown().run_test(size=(40, 3)) as pilot:
            await pilot.press("tab", "right")
            assert "[[b]word 4]  5 of 30" == seen(pilot.app).splitlines()[0].strip()
            await pilot.press("left", "left", "left", "left", "left")
            assert "[b]word 29" == pilot.app.query_one(Choice).value

    import asyncio

    asyncio.run(go())
