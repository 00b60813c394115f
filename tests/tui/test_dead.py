"""Dead letters: counted, filtered, and dealt with together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from flowctl.core.listing import RunFilter
from flowctl.core.policy import error_text, summary
from flowctl.store import Store
from tests.store.scene import Scene
from tests.tui.conftest import on_screen, seen, sees, until


@pytest.fixture
def dead(db: str) -> str:
    """Return a file in which runs 1 to 4 have failed, of three kinds, and run 5 has not."""
    with Store.open(db) as store:
        scene = Scene(store)
        for workflow, kind in (
            ("digest", "StepTimedOut"),
            ("digest", "StepTimedOut"),
            ("order", "KeyError"),
            ("order", "CrashLoop"),
        ):
            error = error_text(kind, "it broke")
            scene.finish(scene.held(workflow=workflow), "failed", error=error, reason=summary(error))
        scene.finish(scene.held(workflow="order"))
    return db


def letters(db: str) -> list[int]:
    with Store.open(db, create=False, read_only=True) as store:
        return store.runs.numbers(RunFilter(dead=True))


def test_failures_are_counted_by_workflow_and_kind_and_listed_with_their_error(dead: str) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("D")
        await sees(pilot, "4 runs", "2 digest timeout StepTimedOut", "1 order crashed CrashLoop")
        await sees(pilot, "KeyError: it broke")
        await pilot.press("slash", *"workflow:order", "enter")
        await sees(pilot, "2 runs · workflow:order")
        await until(pilot, lambda: "digest" not in seen(pilot.app))

    on_screen(dead, journey, size=(80, 24))


def test_one_is_dropped_when_that_is_confirmed(dead: str) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("D")
        await sees(pilot, "4 runs", "CrashLoop: it broke")
        await pilot.press("X")
        await sees(pilot, "Drop?", "flowctl drop 4")
        await pilot.press("escape")
        assert [4, 3, 2, 1] == letters(dead)
        await pilot.press("X", "enter")
        await sees(pilot, "3 runs")

    on_screen(dead, journey)
    assert [3, 2, 1] == letters(dead)


def test_the_marked_ones_are_retried_together(dead: str) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("D")
        await sees(pilot, "4 runs", "CrashLoop: it broke")
        await pilot.press("j", "space", "space")
        await pilot.press("a")
        await sees(pilot, "flowctl retry 3 2 --detach")

    on_screen(dead, journey)


def test_all_are_dropped_by_the_options_that_select_them(dead: str) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("D")
        await sees(pilot, "4 runs")
        await pilot.press("slash", *"workflow:digest", "enter")
        await sees(pilot, "2 runs")
        await pilot.press("ctrl+a", "X")
        await sees(pilot, "Drop?", "flowctl drop --workflow=digest --dead --yes")
        await pilot.press("enter")
        await sees(pilot, "no run fits workflow:digest")
        await pilot.press("escape")
        await sees(pilot, "2 runs")
        await pilot.press("slash", *"broke", "enter")
        await sees(pilot, "2 runs · broke")
        await pilot.press("ctrl+a", "X")  # no option of a command searches: they are named
        await sees(pilot, "flowctl drop 4 3")
        await pilot.press("enter")
        await sees(pilot, "no run fits broke")
        await pilot.press("escape")
        await sees(pilot, "no failures that nobody has dealt with")

    on_screen(dead, journey)
    assert [] == letters(dead)


def test_more_runs_than_one_can_oversee_are_not_marked_at_once_in_the_list_of_all(dead: str) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "5 runs")
        pilot.app.screen.table.most_marked = 4
        await pilot.press("ctrl+a")
        await sees(pilot, "at most 4 rows are marked at once: use a filter")
        pilot.app.screen.table.most_marked = 5
        await pilot.press("ctrl+a")
        await until(pilot, lambda: 5 == len(pilot.app.screen.subjects()))
        await pilot.press("ctrl+a")
        await until(pilot, lambda: 1 == len(pilot.app.screen.subjects()))

    on_screen(dead, journey)


def test_a_real_retry_of_all_queues_them(db: str, shop: Callable[..., str], tmp_path: Path) -> None:
    shop("run", "flows.py:ratio", "-q", code=1)

    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("D")
        await sees(pilot, "2 runs", "2 ratio user error ZeroDivisionError", "step divide failed: ZeroDivisionError")
        await pilot.press("ctrl+a", "r")
        await sees(pilot, "flowctl retry --detach --dead", "no failures that nobody has dealt with")

    on_screen(db, journey)
