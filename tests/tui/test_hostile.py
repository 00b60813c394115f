"""N11, N12: whatever a run says, it cannot command the terminal that the screen is on."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from flowctl.core.breakers import Breaker
from flowctl.core.model import Claim, NewEngine, NewRun, NewSchedule, NewWorkflow, Queue, Snapshot, code_of
from flowctl.core.policy import error_text, summary
from flowctl.store import Store
from flowctl.tui.places import PLACES
from flowctl.tui.screens.confirm import Confirm
from flowctl.tui.screens.shown import Shown
from tests.cli.test_hostile_text import HOSTILE, OBEYED, plant
from tests.tui.conftest import on_screen, sees

VISIBLE = r"\x1b]52;c;aGk=\x07"
LITERAL = "[/foo][link=x]y[@click=app.quit]z"
WIDE = (250, 60)
# What the screen itself writes: CSI sequences, the shape of the pointer, and the character set.
OURS = re.compile("\x1b\\[[0-9;?<>=]*[ -/]*[@-~]|\x1b]22;[a-z]+\x07|\x1b\\(B|\x1b[78=>]")


@pytest.fixture
def hostile(db: str) -> str:
    """Return a file in which everything that has a name or a text is hostile."""
    with Store.open(db):
        pass
    plant(db)
    with Store.open(db) as store, store.transaction():
        code = code_of("", {})
        error = error_text(f"Type{HOSTILE}", f"message {HOSTILE}")
        new = NewRun(
            workflow=f"dead {HOSTILE}",
            path="",
            function="",
            code=code,
            directory="/",
            input='"x"',
            input_hash=b"x" * 16,
        )
        number, _ = store.runs.create(new, 1)
        run = store.runs.claim(number, store.engines.start(NewEngine("other", "foreground", 1, "boot"), 1), 2)
        assert run is not None
        store.runs.finish(Claim(number, run.epoch), 3, "failed", error=error, reason=summary(error))
        store.snapshots.put(Snapshot(code, "", {}), 1)
        parameters = {"type": "object", "properties": {f"parameter {HOSTILE}": {"type": "integer"}}}
        workflow = NewWorkflow(
            f"flow {HOSTILE}", f"/{HOSTILE}.py", HOSTILE, parameters, {}, f"Doc {HOSTILE}", code, "/"
        )
        store.workflows.add(workflow, 1)
        schedule = NewSchedule(
            f"schedule {HOSTILE}", "every", "3600", "{}", "/", workflow=f"flow {HOSTILE}", description=HOSTILE
        )
        made = store.schedules.add(schedule, 1, planned_to=1, next_at=None)
        store.schedules.pause(made.id, 2, f"reason {HOSTILE}")
        store.queues.set(Queue("default", f"queue {HOSTILE}", concurrency=1, key=f"tags.{HOSTILE}", key_limit=1), 1)
        store.breakers.put(Breaker("default", f"mail {HOSTILE}", "open", 5, 60_000, 30_000, 1, None, None, None, 1))
        store.events.note(f"subject {HOSTILE}", f"text {HOSTILE}", 1)
    return db


def assert_harmless(app: Any) -> None:
    """Look at every character that is on the screen, and that is told."""
    strips = app.screen._compositor.render_strips(app.size)
    for strip in strips:
        for segment in strip:
            assert segment.control is None
            assert [] == OBEYED.findall(segment.text), repr(segment.text)
            assert segment.style is None or segment.style.link is None


async def walk(pilot: Pilot[Any], *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        await pilot.pause(0.1)
        assert_harmless(pilot.app)


def test_n11_n12_every_place_is_harmless_and_shows_the_very_text(hostile: str) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "2 runs")
        for place in PLACES:
            await pilot.press(place.key)
            await sees(pilot, VISIBLE)
            await walk(pilot, "down", "space", "o", "tab", "up", "a", "down", "escape", "question_mark", "escape")
            await walk(pilot, place.key, "slash", *"workflow:f", "tab", "escape", "colon", *"re", "escape", "escape")
            assert isinstance(pilot.app.screen, type(pilot.app.screen_stack[0]))

    on_screen(hostile, journey, size=WIDE)


def test_n11_n12_a_run_is_harmless_in_each_of_its_parts(hostile: str) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        for number in (1, 2):
            pilot.app.open_run(number)
            await pilot.pause(0.3)
            await walk(pilot, *"123456", "tab", "down", "down", "l", "enter", "down", "tab", "escape", "escape", "R")

    on_screen(hostile, journey, size=WIDE)


def test_n12_markup_is_text(hostile: str) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        for key in "DEQ":
            await pilot.press(key)
            await sees(pilot, LITERAL)
        pilot.app.push_screen(Confirm(HOSTILE, HOSTILE))
        await sees(pilot, LITERAL, VISIBLE)
        assert_harmless(pilot.app)
        pilot.app.push_screen(Shown(HOSTILE, HOSTILE))
        await sees(pilot, LITERAL, VISIBLE)
        assert_harmless(pilot.app)
        pilot.app.notify("x")

    on_screen(hostile, journey, size=WIDE)


def test_n11_actions_on_hostile_names_are_told_harmlessly(hostile: str) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("Q")
        await sees(pilot, VISIBLE)
        await pilot.press("p")
        await sees(pilot, "a name with a NUL character cannot be given to a command")
        assert_harmless(pilot.app)
        await walk(pilot, "e", "end", "1", "tab", "2")
        await pilot.press("enter")
        await sees(pilot, "Limits of queue", "cannot be given to a command")
        assert_harmless(pilot.app)

    on_screen(hostile, journey, size=WIDE)


def test_n11_the_filter_takes_and_shows_hostile_text_harmlessly(hostile: str) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "2 runs")
        pilot.app.screen.use(f"workflow:{HOSTILE}")
        await sees(pilot, "no run fits", VISIBLE)
        assert_harmless(pilot.app)
        await pilot.press("slash")
        await pilot.pause(0.1)
        assert_harmless(pilot.app)
        pilot.app.screen.query_one("FilterLine").value = f"state:{HOSTILE}"
        await sees(pilot, "there is no state")
        assert_harmless(pilot.app)

    on_screen(hostile, journey, size=WIDE)


def test_n11_n12_no_byte_that_a_terminal_obeys_is_written_but_the_screens_own(
    hostile: str, on_terminal: Callable[..., Any]
) -> None:
    with on_terminal("tui", size=WIDE[::-1]) as screen:
        screen.read_until("Quit")
        for place in PLACES:
            os.write(screen.master, place.key.encode())
            screen.read_until(r"\x1b]52")
            before = -1
            while len(screen.written) != before:  # until it is quiet
                before = len(screen.written)
                screen.read(0.5)
        text = screen.written.decode(errors="surrogateescape")
    left = OURS.sub("", text).replace("\r\n", "")
    assert [] == OBEYED.findall(left), sorted({*OBEYED.findall(left)})
    assert "owned" in left


def test_the_corpus_would_be_found() -> None:
    assert 10 < len(OBEYED.findall(OURS.sub("", HOSTILE)))
