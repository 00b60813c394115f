"""What a run printed: the end of it first, following, pausing, searching."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.pilot import Pilot

from flowctl.store import Store
from flowctl.tui.widgets.log_view import PAGE, LogView
from tests.tui.conftest import on_screen, seen, sees, until


def printed(db: str, count: int, *, first: int = 0, step: str | None = None) -> None:
    """Add lines to the logs of run 1."""
    with Store.open(db) as store, store.transaction():
        for number in range(first, first + count):
            store.logs.append(1, step, None, 1_700_000_000_000 + number, "stdout", None, f"line {number}\n")


async def log_of_run_1(pilot: Pilot[Any]) -> LogView:
    await sees(pilot, "STARTED")
    pilot.app.open_run(1)
    await sees(pilot, "run 1 ", "TOOK")
    await pilot.press("g", "l", "enter")
    found: LogView = pilot.app.screen.query_one(LogView)
    return found


def test_the_end_is_shown_first_and_what_is_above_comes_when_one_scrolls_up(
    db: str, flowctl: Callable[..., str]
) -> None:
    flowctl("exec", "-q", "--", "true")
    printed(db, 10_000)

    async def journey(pilot: Pilot[Any]) -> None:
        log = await log_of_run_1(pilot)
        await sees(pilot, "line 9999", "the last of them")
        assert PAGE == len(log.lines)
        await pilot.press("home")
        await until(pilot, lambda: len(log.lines) >= 2 * PAGE)
        await pilot.press("slash", *"line 17", "enter")
        await until(pilot, lambda: len(log.lines) == 10_000)
        await sees(pilot, "line 17")
        assert "the last of them" not in seen(pilot.app)

    on_screen(db, journey)


def test_new_lines_are_followed_until_one_scrolls_up_and_again_from_the_end_on(
    db: str, flowctl: Callable[..., str]
) -> None:
    flowctl("exec", "--detach", "-q", "--", "true")
    printed(db, 100)
    with Store.open(db) as store, store.transaction():
        store.connection.write("UPDATE runs SET state = 'waiting', reason = 'for a test' WHERE id = 1", {})

    async def journey(pilot: Pilot[Any]) -> None:
        await log_of_run_1(pilot)
        await sees(pilot, "line 99", "follows")
        printed(db, 50, first=100)
        await sees(pilot, "line 149")
        await pilot.press("k", "k", "k", "k")
        await sees(pilot, "paused: End follows again")
        printed(db, 50, first=150)
        await sees(pilot, "200 lines")
        assert "line 199" not in seen(pilot.app)
        await pilot.press("end")
        await sees(pilot, "line 199", "· follows")

    on_screen(db, journey)


def test_streams_and_levels_are_told_in_words_and_nothing_reaches_the_terminal(
    db: str, flowctl: Callable[..., str]
) -> None:
    flowctl("exec", "-q", "--", "true")
    with Store.open(db) as store, store.transaction():
        store.logs.append(1, "true", 1, 1_700_000_000_000, "stderr", None, "oh\x1b[2J\x9b[red]no[/red]\n")
        store.logs.append(1, "true", 1, 1_700_000_000_000, "log", "WARNING", "take care\tof " + "x" * 300)
        store.logs.append(1, None, None, 1_700_000_000_000, "stdout", None, "of the workflow\n")

    async def journey(pilot: Pilot[Any]) -> None:
        await log_of_run_1(pilot)
        await sees(pilot, "true stderr", "oh\\x1b[2J\\x9b[red]no[/red]", "true WARNING", "take care", "of the workflow")
        assert 300 <= seen(pilot.app).count("x")  # long lines wrap
        await pilot.press("escape", "j", "enter")
        await sees(pilot, "step true: 2 lines")
        await pilot.press("w")
        await sees(pilot, "of the workflow", "w: only the step")

    on_screen(db, journey, size=(120, 30))
