"""The audit log on the screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.pilot import Pilot

from flowctl.store import Store
from flowctl.tui.screens.events import PAGE
from flowctl.tui.screens.run import RunScreen
from tests.tui.conftest import on_screen, seen, sees, until


def test_what_happened_is_listed_the_newest_first_and_the_other_way_round(db: str, shop: Callable[..., str]) -> None:
    shop("queues", "set", "mail", "--pause")

    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("E")
        await sees(pilot, "queue mail changed: paused_at", "run 3 ✗ failed: StepFailed", "flowctl queues set", "WHEN▼")
        lines = [line for line in seen(pilot.app).splitlines() if " run " in line]
        assert ["run 3", "run 1"] == [" ".join(lines[at].split()[2:4]) for at in (0, -1)]
        await pilot.press("o")
        await sees(pilot, "WHEN▲")
        lines = [line for line in seen(pilot.app).splitlines() if " run " in line]
        assert ["run 1", "run 3"] == [" ".join(lines[at].split()[2:4]) for at in (0, -1)]

    on_screen(db, journey, size=(120, 30))


def test_the_log_is_narrowed_to_a_run_or_a_subject(db: str, shop: Callable[..., str]) -> None:
    shop("queues", "set", "mail", "--pause")

    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("E")
        await sees(pilot, "queue mail")
        await pilot.press("slash", *"run:2", "enter")
        await sees(pilot, "3 events · run:2", "run 2 ✓ succeeded")
        await until(pilot, lambda: "run 1" not in seen(pilot.app))
        await pilot.press("slash", *["backspace"] * 6, *'subject:"queue mail"', "enter")
        await sees(pilot, '1 event · subject:"queue mail"')
        await pilot.press("slash", "backspace", "x", "enter")
        await sees(pilot, "no event fits")
        await pilot.press("escape", "slash", *"mail")
        await sees(pilot, "'mail' is no run")

    on_screen(db, journey)


def test_enter_opens_the_run_of_a_line(db: str, shop: Callable[..., str]) -> None:
    shop("queues", "set", "mail", "--pause")

    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("E")
        await sees(pilot, "queue mail")
        await pilot.press("enter")
        await sees(pilot, "this line is not about a run")
        await pilot.press("j", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, RunScreen))
        assert 3 == pilot.app.screen.number

    on_screen(db, journey)


def test_older_lines_are_read_when_the_cursor_comes_to_the_oldest(db: str, flowctl: Callable[..., str]) -> None:
    flowctl("exec", "-q", "--", "true")
    with Store.open(db) as store, store.transaction():
        for number in range(PAGE + 100):
            store.events.note(f"line {number}", "noted", 1)

    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("E")
        await sees(pilot, f"the newest {PAGE}, older ones follow", f"line {PAGE + 99}")
        await pilot.press("G")
        await until(pilot, lambda: PAGE + 103 == len(pilot.app.screen.table.keys))
        await pilot.press("G")
        await sees(pilot, "603 events", "run 1 ○ queued")

    on_screen(db, journey)


def test_a_log_that_is_read_to_its_newest_line_stays_there(db: str, flowctl: Callable[..., str]) -> None:
    flowctl("exec", "-q", "--", "true")
    with Store.open(db) as store, store.transaction():
        for number in range(60):
            store.events.note(f"line {number}", "noted", 1)

    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("E")
        await sees(pilot, "line 59")
        await pilot.press("o")
        await sees(pilot, "WHEN▲")
        await pilot.press("G")
        flowctl("queues", "set", "mail", "--pause")
        await sees(pilot, "queue mail")
        table = pilot.app.screen.table
        await until(pilot, lambda: len(table.keys) - 1 == table.cursor)

    on_screen(db, journey)
