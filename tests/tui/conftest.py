"""The screen, driven by its keys, over a real file that the real engine has written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from flowctl.cli.main import main
from flowctl.core.config import ScreenSettings
from flowctl.store import Store
from flowctl.tui.app import FlowctlApp
from tests.cli.conftest import PATIENCE_S, on_terminal

__all__ = ["on_terminal"]
FLOWS = '''
from flowctl import step, workflow

@step
def fetch(page: int) -> dict:
    print("fetching", page)
    return {"items": [{"name": "pen", "price": 3}, {"name": "ink", "price": page}]}

@step
def total(found: dict) -> int:
    return sum(item["price"] for item in found["items"])

@workflow
def shop(page: int = 1) -> int:
    """Add up a page of the shop."""
    return total(fetch(page))

@step
def divide(by: int) -> float:
    return 1 / by

@workflow
def ratio(by: int = 0) -> float:
    """Divide, which fails for 0."""
    return divide(by)
'''

Journey = Callable[[Pilot[Any]], Awaitable[None]]


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the path of a database that is not there yet; every command here means it."""
    path = str(tmp_path / "flow.db")
    monkeypatch.setenv("FLOWCTL_DB", path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flows.py").write_text(FLOWS)
    return path


@pytest.fixture
def flowctl(db: str, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs a command in this process and returns what it printed."""

    def run(*words: str | int, code: int = 0) -> str:
        capsys.readouterr()
        ended = main([*map(str, words)])
        said = capsys.readouterr()
        assert code == ended, said
        return said.out

    return run


@pytest.fixture
def shop(flowctl: Callable[..., str]) -> Callable[..., str]:
    """Return `flowctl` after it has run the shop twice (runs 1 and 2) and failed to divide (run 3)."""
    flowctl("run", "flows.py:shop", "-q")
    flowctl("run", "flows.py:shop", "page=7", "-q")
    flowctl("run", "flows.py:ratio", "-q", code=1)
    return flowctl


def on_screen(db: str, journey: Journey, *, size: tuple[int, int] = (100, 30), **settings: Any) -> FlowctlApp:
    """Open the screen, let a person go through it, and return the app as it was left."""
    app = FlowctlApp(db, "default", ScreenSettings(**settings))
    app.NOTIFICATION_TIMEOUT = 600  # type: ignore[misc]  # however slow the machine is, what was told is there

    async def go() -> None:
        async with app.run_test(size=size, notifications=True) as pilot:
            pilot.press = partial(_press, pilot, pilot.press)  # type: ignore[method-assign]
            await journey(pilot)

    asyncio.run(go())
    return app


async def _press(pilot: Pilot[Any], press: Callable[[str], Awaitable[None]], *keys: str) -> None:
    """Press keys as a person does, who sees what each has done: Textual's own takes a slow machine for an idle one."""
    for key in keys:
        await press(key)
        quiet = 0
        while quiet < 10:  # turns of the loop in which nobody had a message
            await asyncio.sleep(0)
            nodes = [pilot.app, *pilot.app.screen.walk_children(with_self=True)]
            quiet = 0 if any(node.message_queue_size for node in nodes) else quiet + 1


async def until(pilot: Pilot[Any], condition: Callable[[], object]) -> None:
    """Let the screen work until something holds."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"it never came to hold; the screen shows:\n{seen(pilot.app)}"
        await pilot.pause(0.02)


def seen(app: Any) -> str:
    """Return the text that is on the screen."""
    width, height = app.size
    strips = app.screen._compositor.render_strips(app.size)
    return "\n".join(strip.text.rstrip()[:width] for strip in strips[:height])


async def sees(pilot: Pilot[Any], *texts: str) -> None:
    """Let the screen work until it shows these texts, or tells them; where its lines end does not matter."""

    def shown() -> str:
        told = [f"{each.title} {each.message}" for each in pilot.app._notifications]
        return " ".join([seen(pilot.app), *told])

    await until(pilot, lambda: all(text in shown() or text in " ".join(shown().split()) for text in texts))


def state_of(db: str, run: int) -> str:
    """Return the state of a run."""
    with Store.open(db, create=False, read_only=True) as store:
        return store.runs.get(run).state
