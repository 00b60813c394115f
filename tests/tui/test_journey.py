"""The whole journey, without leaving the screen: from a failed run to one that is as good as the last good one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from flowctl.tui.app import FlowctlApp
from tests.tui.conftest import PATIENCE_S, on_screen, sees, state_of, until

PRICES = """
from flowctl import step, workflow

@step
def parse(line: str) -> dict:
    name, price = line.split(":")
    return {"name": name, "price": price}

@step
def double(price: int) -> int:
    if not isinstance(price, int):
        raise TypeError("a price is a number")
    return 2 * price

@workflow
def prices(line: str = "pen:3") -> int:
    return double(parse(line)["price"])
"""
RIGHT = PRICES.replace('"price": price}', '"price": int(price)}')


@pytest.fixture
def daemon(db: str, tmp_path: Path) -> Iterator[None]:
    """Let a daemon work on the file as long as the test goes on."""
    words = [sys.executable, "-P", "-m", "flowctl", "daemon", "run"]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with (
        (tmp_path / "daemon.log").open("wb") as log,
        subprocess.Popen(words, stdout=log, stderr=log, env=environ) as process,
    ):
        yield
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE_S)
        finally:
            process.kill()


def test_from_a_failed_run_to_a_good_one(
    db: str, flowctl: Callable[..., str], daemon: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, repair = tmp_path / "prices.py", tmp_path / "repair.sh"
    source.write_text(RIGHT)
    flowctl("run", "prices.py", "-q")
    source.write_text(PRICES)
    flowctl("run", "prices.py", "-q", code=1)
    repair.write_text('sed -i \'s/"price": price}/"price": int(price)}/\' "$1"\n')
    monkeypatch.setenv("VISUAL", f"sh {repair}")
    monkeypatch.setattr(FlowctlApp, "suspend", lambda _: nullcontext())

    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "2 runs", "✗ failed")
        await pilot.press("enter")
        await sees(pilot, "a price is a number")  # the run opens at the step that failed, with its error
        await pilot.press("1")
        await sees(pilot, 'price: "3"')  # the wrong input
        await pilot.press("e")
        await until(pilot, lambda: RIGHT == source.read_text())
        await pilot.press("a")
        await sees(pilot, "Retry from double", "flowctl retry 2 --from double")  # whose end is on the next line
        await pilot.press("escape", "r")
        await sees(pilot, "■ blocked", "recorded by other code")  # what a step has returned is not thrown away unasked
        await pilot.press("v")
        await sees(pilot, "Retry, and run this step and all after it again")
        await pilot.press("up")
        await sees(pilot, "flowctl retry 2 --from 1 --detach")
        await pilot.press("enter")
        await until(pilot, lambda: "given" == getattr(pilot.app.focused, "id", None))
        await pilot.press("enter")
        await until(pilot, lambda: "succeeded" == state_of(db, 2))
        await sees(pilot, "✓ succeeded")
        await pilot.press("d")
        await sees(pilot, "run 1 → run 2", "they do not differ", "flowctl diff 1 2")
        await pilot.press("escape", "escape")
        await sees(pilot, "2 runs", "✓ succeeded")

    on_screen(db, journey, size=(80, 24))


def test_a_step_is_forked_in_its_run_and_the_fork_is_compared(
    db: str, flowctl: Callable[..., str], daemon: None, tmp_path: Path
) -> None:
    (tmp_path / "prices.py").write_text(RIGHT)
    flowctl("run", "prices.py", "-q")

    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "1 run")
        await pilot.press("enter")
        await sees(pilot, "double")
        await until(pilot, lambda: pilot.app.screen.subjects())
        await pilot.press("G")
        await until(pilot, lambda: "double" == pilot.app.screen.chosen_step)
        await pilot.press("f")
        await sees(pilot, "Fork run 1, before step double", '"price": 3')
        area = pilot.app.screen.query_one("#document")
        area.load_text(area.text.replace('"price": 3', '"price": 21'))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: getattr(pilot.app.screen, "number", None) == 2)
        await until(pilot, lambda: "succeeded" == state_of(db, 2))
        await sees(pilot, "✓ succeeded")
        await pilot.press("d")
        await sees(pilot, "run 1 → run 2", "first divergence: parse", "$.price", "3 → 21")

    on_screen(db, journey, size=(100, 30))
