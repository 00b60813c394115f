"""Signal: the name that a run waits for stands there, the value is checked as it is typed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from flowctl.core.signals import Signal
from flowctl.store import Store
from tests.tui.conftest import PATIENCE_S, on_screen, sees, until

ONBOARD = """
from flowctl import wait_signal, workflow

@workflow
def onboard() -> str:
    return f"{wait_signal('approval', type=bool)} by {wait_signal('author', type=str)}"
"""


@pytest.fixture
def waiting(db: str, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Return a process that works on run 1, which waits for a signal."""
    (tmp_path / "onboard.py").write_text(ONBOARD)
    words = [sys.executable, "-P", "-m", "flowctl", "run", "onboard.py", "-q"]
    with subprocess.Popen(
        words, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ) as process:
        yield process
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)


def sent_to(db: str, run: int) -> list[Signal]:
    """Return the signals that were sent to a run."""
    with Store.open(db, create=False, read_only=True) as store:
        return store.signals.of_run(run)


def test_a_signal_is_sent_to_a_run_that_waits_for_it(db: str, waiting: subprocess.Popen[bytes]) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "◌ waiting", "s Signal")
        await pilot.press("enter")
        await sees(pilot, "next: flowctl signal 1 approval JSON")
        await pilot.press("escape")
        await sees(pilot, "◌ waiting", "s Signal")
        await pilot.press("s")
        await sees(pilot, "it waits for approval", "flowctl signal 1 approval -")
        await pilot.press("1")
        await sees(pilot, "$ is 1, not a boolean")
        await pilot.press("enter", "backspace", *"true", "ctrl+y")
        assert "flowctl signal 1 approval - <<< true" == pilot.app.clipboard
        await pilot.press("enter")
        await sees(pilot, "done · y copies the command")
        await until(pilot, lambda: [each.taken_by for each in sent_to(db, 1)] == ["approval"])
        await pilot.press("s")
        await sees(pilot, "it waits for author", "approval", "true")
        await pilot.press(*'"ada"', "enter")
        await sees(pilot, "✓ succeeded")

    on_screen(db, journey)
    assert 0 == waiting.wait(PATIENCE_S)
    assert [("approval", "true"), ("author", '"ada"')] == [(each.name, each.value) for each in sent_to(db, 1)]


def test_a_run_may_be_sent_a_signal_that_it_asks_for_later(
    db: str, flowctl: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "onboard.py").write_text(ONBOARD)
    flowctl("run", "onboard.py", "-d", "-q")

    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "○ queued")
        await pilot.press("s")
        await sees(pilot, "it waits for no signal now")
        await pilot.press(*"a/b", "enter")
        await sees(pilot, "is not a name")
        await pilot.press("shift+tab", "a", "enter")
        await until(pilot, lambda: "value" == pilot.app.focused.id)
        await pilot.press("enter")
        await until(pilot, lambda: sent_to(db, 1))

    on_screen(db, journey, size=(60, 20))
    assert [("a", "null")] == [(each.name, each.value) for each in sent_to(db, 1)]


def test_a_run_that_has_ended_takes_none(db: str, shop: Callable[..., str]) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "✗ failed")
        await pilot.press("s")
        await sees(pilot, "Signal: not now", "run 3 is failed: it takes no signal")

    on_screen(db, journey)
