"""Workflows: the list with how the last runs went, and the page of one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from flowctl.core.listing import RunLine
from flowctl.tui.past import run_strip, success_text, typical_ms
from tests.tui.conftest import on_screen, seen, sees, until

Flowctl = Callable[..., str]


@pytest.fixture
def registered(shop: Flowctl) -> Flowctl:
    shop("workflows", "add", "flows.py")
    return shop


def line_of(pilot: Pilot[Any], name: str) -> list[str]:
    return next((line.split() for line in seen(pilot.app).splitlines() if line.strip().startswith(name)), [])


def ended(number: int, state: Any, ms: int) -> RunLine:
    empty: dict[str, Any] = dict.fromkeys(RunLine._fields)
    return RunLine(**empty | {"id": number, "state": state, "started_at": 1_000, "finished_at": 1_000 + ms})


def test_past_runs_are_blocks_as_high_as_they_took_long_and_icons_where_they_did_not_succeed() -> None:
    runs = [ended(4, "succeeded", 100), ended(3, "failed", 900), ended(2, "succeeded", 1), ended(1, "succeeded", 50)]
    assert "█✗▁▄" == run_strip(runs)
    assert "75% of 4" == success_text(runs)
    assert 50 == typical_ms(runs)
    assert ("", "", None) == (run_strip([]), success_text([]), typical_ms([]))


def test_runs_that_took_no_time_are_drawn_too() -> None:
    assert "▁▁" == run_strip([ended(2, "succeeded", 0), ended(1, "succeeded", 0)])


def test_workflows_are_listed_with_their_last_run_and_how_many_succeeded(db: str, registered: Flowctl) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("W")
        await sees(pilot, "ratio: Divide, which fails for 0.", "✓ succeeded", "✗ failed")
        assert ["✗", "failed", "3", "0%", "of", "1"] == line_of(pilot, "ratio")[1:7]
        shop = line_of(pilot, "shop")
        assert ["✓", "succeeded", "2", "100%", "of", "2"] == shop[1:7]
        assert set(shop[8]) <= set("▁▂▃▄▅▆▇█")
        assert "[page]" == shop[9]

    on_screen(db, journey, size=(110, 30))


def test_a_new_run_is_seen_in_the_list(db: str, registered: Flowctl) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("W")
        await sees(pilot, "100% of 2")
        registered("run", "shop", "-d", "-q")
        await until(pilot, lambda: "queued" in line_of(pilot, "shop"))

    on_screen(db, journey)


def test_the_page_of_a_workflow_tells_what_it_takes_and_lists_its_runs(db: str, registered: Flowctl) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("W")
        await sees(pilot, "shop")
        await pilot.press("j", "enter")
        await sees(pilot, "Add up a page of the shop.", "page: integer = 1", "flows.py:shop", "2 runs")
        assert "differs" not in seen(pilot.app)
        await pilot.press("j", "enter")
        await until(pilot, lambda: getattr(pilot.app.screen, "number", None) == 1)

    on_screen(db, journey)


def test_the_page_says_when_the_file_differs_and_when_it_is_gone(db: str, registered: Flowctl) -> None:
    file = Path("flows.py")
    file.write_text(file.read_text() + "\n# edited\n")

    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("W")
        await sees(pilot, "shop")
        await pilot.press("enter")
        await sees(pilot, "the file differs from what is registered: flowctl workflows add")
        file.unlink()
        await pilot.press("f5")
        await sees(pilot, "the file is gone: flowctl workflows remove ratio")

    on_screen(db, journey)


def test_the_page_shows_the_code_and_opens_it_in_the_editor(
    db: str, registered: Flowctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[str, int | None]] = []
    monkeypatch.setattr("flowctl.tui.outside.edit", lambda _, path, line: opened.append((path, line)))

    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("W")
        await sees(pilot, "WORKFLOW")
        await pilot.press("enter")
        await sees(pilot, "STARTED", "c Code")
        await pilot.press("c")
        await sees(pilot, "e edits it", "@workflow")
        await pilot.press("e", "c")
        await sees(pilot, "STARTED")

    on_screen(db, journey)
    [(path, line)] = opened
    assert path.endswith(".py")
    assert "@workflow" in Path(path).read_text().splitlines()[(line or 0) - 1]


def test_a_workflow_is_taken_out_after_a_question_and_its_page_says_so(db: str, registered: Flowctl) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("W")
        await sees(pilot, "ratio")
        await pilot.press("enter")
        await sees(pilot, "by: integer = 0")
        await pilot.press("X")
        await sees(pilot, "Remove?", "flowctl workflows remove ratio --yes")
        await pilot.press("enter")
        await sees(pilot, "there is no workflow ratio any more", "1 run")
        await pilot.press("n")
        await sees(pilot, "nothing is chosen")
        await pilot.press("escape")
        await until(pilot, lambda: "WORKFLOW" in seen(pilot.app) and "Divide" not in seen(pilot.app))

    on_screen(db, journey)


def test_without_workflows_the_next_command_is_told(db: str, flowctl: Flowctl) -> None:
    flowctl("init")

    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("W")
        await sees(pilot, "no workflows yet: flowctl workflows add FILE.py")

    on_screen(db, journey)


def test_hostile_texts_of_a_workflow_are_harmless(db: str, flowctl: Flowctl) -> None:
    Path("bad.py").write_text(
        "from flowctl import workflow\n"
        "@workflow(name='[red]x')\n"
        "def bad(a: str = '[bold]\\x1b[31m'):\n    '''[link=x]\\x1b]0;title\\x07 doc'''\n"
    )
    flowctl("workflows", "add", "bad.py")

    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("W")
        await sees(pilot, "[red]x", "[link=x]\\x1b]0;title\\x07 doc")
        await pilot.press("enter")
        await sees(pilot, "a: string = [bold]\\x1b[31m")
        await pilot.press("n")
        await sees(pilot, "New run of [red]x", "[bold]\\x1b[31m")
        assert not set("\x1b\x07\u202e") & set(seen(pilot.app))

    on_screen(db, journey)
