"""Compare: two runs that are marked, or one and the last good one, with the first divergence under the cursor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.tui.conftest import on_screen, seen, sees, until

HOSTILE = """
from flowctl import step, workflow

@step
def speak(loud: bool) -> str:
    return "\\x1b[2J[red]boo[/red]\\u202e" if loud else "calm"

@workflow
def talk(loud: bool = False) -> str:
    return speak(loud)
"""


@pytest.fixture
def ratios(shop: Callable[..., str]) -> Callable[..., str]:
    """Return `flowctl` after a ratio has also succeeded (run 4) and failed again (run 5)."""
    shop("run", "flows.py:ratio", "by=4", "-q")
    shop("run", "flows.py:ratio", "by=0", "-q", code=1)
    return shop


def test_two_marked_runs_are_compared_with_the_cursor_on_the_first_divergence(
    db: str, ratios: Callable[..., str]
) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "5 runs")
        await pilot.press("j", "j", "j", "space", "space", "d")
        await sees(pilot, "run 1 → run 2", "first divergence: fetch", "flowctl diff 1 2")
        await until(pilot, lambda: pilot.app.screen.entry is not None and pilot.app.screen.entry.key == "fetch")
        assert "input $.page" == pilot.app.screen.entry.place
        await pilot.press("n")
        await sees(pilot, "step 1 fetch, output $.items[1].price")
        await pilot.press("p", "p")
        await sees(pilot, "run, input $.page")
        await pilot.press("y")
        assert "flowctl diff 1 2" == pilot.app.clipboard

    on_screen(db, journey)


def test_one_run_is_compared_with_the_last_good_one_and_enter_opens_the_step(
    db: str, ratios: Callable[..., str]
) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "5 runs", "✗ failed")
        await pilot.press("d")
        await sees(pilot, "run 4 → run 5", "✓ succeeded → ✗ failed", "duration", "first divergence: divide", "0.25")
        await pilot.press("enter")
        await until(pilot, lambda: getattr(pilot.app.screen, "number", None) == 5)

    on_screen(db, journey)


def test_both_sides_stand_side_by_side_where_there_is_room_and_can_be_swapped(
    db: str, ratios: Callable[..., str]
) -> None:
    def header(pilot: Pilot[Any]) -> str:
        return next((line for line in seen(pilot.app).splitlines() if "PLACE" in line), "")

    async def wide(pilot: Pilot[Any]) -> None:
        await sees(pilot, "✗ failed")
        await pilot.press("d")
        await until(pilot, lambda: ["PLACE", "RUN", "4", "RUN", "5"] == header(pilot).split())
        await pilot.press("s")
        await until(pilot, lambda: ["PLACE", "RUN", "5", "RUN", "4"] == header(pilot).split())
        await sees(pilot, "✗ failed → ✓ succeeded", "flowctl diff 5 4")

    async def narrow(pilot: Pilot[Any]) -> None:
        await sees(pilot, "✗ failed")
        await pilot.press("d")
        await sees(pilot, "RUN 4 → RUN 5", "4 → 0", "- run 4", "+ run 5")

    on_screen(db, wide, size=(160, 40))
    on_screen(db, narrow, size=(60, 20))


def test_a_run_without_a_good_one_before_it_says_so(db: str, shop: Callable[..., str]) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "✗ failed")
        await pilot.press("d")
        await sees(pilot, "no run of ratio before run 3 has succeeded", "mark two runs with space")
        await pilot.press("space", "space", "space", "d")
        await sees(pilot, "3 runs are marked, and two are wanted")

    on_screen(db, journey)


def test_equal_runs_do_not_differ(db: str, shop: Callable[..., str]) -> None:
    shop("rerun", 2, "-q")

    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "4 runs")
        await pilot.press("d")
        await sees(pilot, "run 2 → run 4", "they do not differ")

    on_screen(db, journey)


def test_a_run_that_goes_on_is_compared_anew(db: str, shop: Callable[..., str]) -> None:
    shop("run", "flows.py:shop", "page=9", "-d")

    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "○ queued")
        await pilot.press("d")
        await sees(pilot, "✓ succeeded → ○ queued")
        shop("resume", 4, "-q")
        await until(pilot, lambda: "queued" not in seen(pilot.app))
        await sees(pilot, "run 2 → run 4", "step 2 total")

    on_screen(db, journey)


def test_hostile_values_are_shown_harmless(db: str, flowctl: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "talk.py").write_text(HOSTILE)
    flowctl("run", "talk.py", "-q")
    flowctl("run", "talk.py", "loud=true", "-q")

    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "2 runs")
        await pilot.press("d", "n")
        await sees(pilot, "[red]boo[/red]")
        await until(pilot, lambda: "\\u202e" in seen(pilot.app))
        assert not {"\x1b", "\u202e"} & set(seen(pilot.app))

    on_screen(db, journey, size=(140, 40))
