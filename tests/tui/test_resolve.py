"""Resolve: what blocks a run is shown, and each decision is the command that the command line offers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from flowctl.store import Store
from tests.tui.conftest import on_screen, seen, sees, state_of, until

PAY = """
import os
import signal

from flowctl import step, workflow

@step(on_crash="block")
def charge(amount: int) -> str:
    os.kill(os.getpid(), signal.SIGKILL)

@workflow
def pay(amount: int = 5) -> str:
    try:
        return charge(amount)
    except Exception as error:
        return str(error)
"""


@pytest.fixture
def unknown(flowctl: Callable[..., str], tmp_path: Path) -> Callable[..., str]:
    """Return `flowctl` after a step was killed of which nobody knows the outcome."""
    (tmp_path / "pay.py").write_text(PAY)
    flowctl("run", "pay.py", "-q", code=8)
    return flowctl


@pytest.fixture
def changed(shop: Callable[..., str], tmp_path: Path) -> Callable[..., str]:
    """Return `flowctl` after run 4 was blocked: its code gives the recorded step another input now."""
    code = (tmp_path / "flows.py").read_text()
    (tmp_path / "flows.py").write_text(code.replace("in found", "in fonud"))
    shop("run", "flows.py:shop", "-q", code=1)
    (tmp_path / "flows.py").write_text(code.replace("fetch(page))", "fetch(page + 1))"))
    shop("retry", 4, "-q", code=8)
    return shop


async def focused(pilot: Pilot[Any], name: str) -> None:
    """Wait until a field has the keys."""
    await until(pilot, lambda: name == getattr(pilot.app.focused, "id", None))


def test_a_step_that_was_done_is_given_its_output(db: str, unknown: Callable[..., str]) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "■ blocked", "v Resolve")
        await pilot.press("v")
        await sees(pilot, 'step "charge" finished', 'its input: {"amount":5}', "--done -")
        await pilot.press("enter")
        await focused(pilot, "given")
        await pilot.press("{", "enter")
        await sees(pilot, "the output is not JSON")
        await pilot.press("backspace", *'"receipt 7"', "enter")
        await sees(pilot, "○ queued")
        assert "flowctl resolve 1 charge --done - --detach <<< '\"receipt 7\"'" == pilot.app.last_command

    on_screen(db, journey)
    unknown("resume", 1, "-q")
    with Store.open(db, create=False, read_only=True) as store:
        assert '"receipt 7"' == store.runs.get(1).output


def test_a_step_that_has_failed_is_given_the_reason(db: str, unknown: Callable[..., str]) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "■ blocked")
        await pilot.press("v")
        await sees(pilot, "Run it again")
        await pilot.press("down", "enter")
        await focused(pilot, "given")
        await pilot.press("enter")
        await sees(pilot, "say why it has failed")
        await pilot.press(*"the card was declined")
        await sees(pilot, "--fail 'the card was")
        await pilot.press("enter")
        await sees(pilot, "○ queued")

    on_screen(db, journey, size=(60, 20))
    unknown("resume", 1, "-q")
    with Store.open(db, create=False, read_only=True) as store:
        assert "the card was declined" in (store.runs.get(1).output or "")


def test_a_step_may_run_again(db: str, unknown: Callable[..., str]) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "■ blocked")
        await pilot.press("v")
        await sees(pilot, "Run it again")
        await pilot.press("up")
        await sees(pilot, "flowctl resolve 1 charge --retry --detach")
        await pilot.press("enter")
        await sees(pilot, "○ queued")

    on_screen(db, journey)


def test_for_changed_input_both_sides_are_shown_and_the_ways_to_retry(db: str, changed: Callable[..., str]) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "■ blocked")
        await pilot.press("v")
        await sees(pilot, 'recorded with input {"page":1}, code now gives {"page":2}', "flowctl retry 4 --detach")
        for options in ("--same-code", "--accept", "--from 1"):
            await pilot.press("down")
            await sees(pilot, f"flowctl retry 4 {options} --detach")
        await pilot.press("enter")
        await focused(pilot, "given")
        await pilot.press("enter")
        await sees(pilot, "○ queued")

    on_screen(db, journey)
    changed("resume", 4, "-q")
    with Store.open(db, create=False, read_only=True) as store:
        assert "5" == store.runs.get(4).output


def test_what_is_recorded_may_be_accepted(db: str, changed: Callable[..., str]) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "■ blocked")
        await pilot.press("v")
        await sees(pilot, "Retry, and reuse")
        await pilot.press("down", "down", "enter")
        await sees(pilot, "○ queued")

    on_screen(db, journey)
    changed("resume", 4, "-q")
    with Store.open(db, create=False, read_only=True) as store:
        assert "4" == store.runs.get(4).output


def test_a_run_that_is_not_blocked_needs_no_decision(db: str, shop: Callable[..., str]) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "✗ failed")
        assert "Resolve" not in seen(pilot.app)
        await pilot.press("v")
        await sees(pilot, "Resolve: not now", "run 3 is failed, not blocked")

    on_screen(db, journey)
    assert "failed" == state_of(db, 3)


def test_the_menu_has_the_further_ways_to_retry(db: str, shop: Callable[..., str]) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "✗ failed")
        await pilot.press("a")
        await sees(pilot, "Retry with the code it has", "flowctl retry 3 --same-code --detach")
        await until(pilot, lambda: pilot.app.focused is not None)
        await pilot.press("end", "enter")
        await sees(pilot, "○ queued", "flowctl retry 3 --same-code --detach")

    on_screen(db, journey)
