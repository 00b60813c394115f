"""Queues, engines, the daemon and breakers, and what can be done to them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from flowctl.engine.daemon_lock import running_daemon
from flowctl.engine.queues import list_queues
from flowctl.store import Store
from tests.tui.conftest import PATIENCE_S, on_screen, seen, sees, until

FLAKY = """
from flowctl import step, workflow

@step(breaker="mail")
def send() -> None:
    raise ConnectionError("no route")

@workflow
def mail() -> None:
    for _ in range(5):
        try:
            send()
        except Exception:
            pass
    raise RuntimeError("not sent")
"""


@pytest.fixture
def no_daemon_left(db: str) -> Iterator[None]:
    """End, by its number, the daemon that a test has started."""
    yield
    facts = running_daemon(os.path.realpath(db))
    if facts is not None:
        os.kill(facts.pid, signal.SIGTERM)
        end = time.monotonic() + PATIENCE_S
        while running_daemon(os.path.realpath(db)) is not None:
            assert time.monotonic() < end
            time.sleep(0.02)


def queue(db: str, name: str) -> Any:
    with Store.open(db, create=False, read_only=True) as store:
        return next(view.queue for view in list_queues(store, "default", 0) if view.queue.name == name)


def test_queues_are_listed_with_their_limits_and_what_waits(db: str, flowctl: Callable[..., str]) -> None:
    flowctl("queues", "set", "mail", "--concurrency", "2", "--rate", "10/60s")
    flowctl("run", "flows.py:shop", "--queue", "mail", "-d", "-q")

    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("Q")
        await sees(pilot, "mail 0 1", "2 at once, 10 in 1m00s", "no daemon: flowctl daemon start")
        await sees(pilot, "no step with a breaker has failed yet")
        flowctl("queues", "set", "api", "--pause")
        await sees(pilot, "api 0 0", "paused")

    on_screen(db, journey, size=(80, 24))


def test_without_queues_the_next_command_is_taught(db: str, flowctl: Callable[..., str]) -> None:
    flowctl("exec", "-q", "--", "true")

    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("Q")
        await sees(pilot, "no queue has limits or runs: flowctl queues set NAME --concurrency N")
        await pilot.press("p")
        await sees(pilot, "no queue is chosen")

    on_screen(db, journey)


def test_a_queue_is_paused_and_resumed(db: str, flowctl: Callable[..., str]) -> None:
    flowctl("queues", "set", "--concurrency", "1", "--", "-odd")

    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("Q")
        await sees(pilot, "-odd", "1 at once")
        await pilot.press("p")
        await sees(pilot, "paused, 1 at once", "flowctl queues set --pause -- -odd")
        await pilot.press("p")
        await sees(pilot, "queue -odd is paused already")
        await pilot.press("u")
        await until(pilot, lambda: queue(db, "-odd").paused_at is None)

    on_screen(db, journey)


def test_limits_are_changed_in_a_form_which_shows_its_command_and_what_is_wrong(
    db: str, flowctl: Callable[..., str]
) -> None:
    flowctl("queues", "set", "mail", "--concurrency", "2", "--rate", "100/1h")

    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("Q")
        await sees(pilot, "mail", "2 at once")
        await pilot.press("e")
        await sees(pilot, "Limits of queue mail", "100/1h")
        await pilot.press("enter")
        await sees(pilot, "nothing is changed")
        await pilot.press("end", "backspace", *"many")
        await sees(pilot, "flowctl queues set --concurrency=many -- mail")
        await pilot.press("enter")
        await sees(pilot, "'many' is not a number of runs")
        await pilot.press(*["backspace"] * 4, *"3", "tab", *["backspace"] * 6, "enter")
        await sees(pilot, "3 at once")
        await until(pilot, lambda: "Limits of queue" not in seen(pilot.app))

    on_screen(db, journey)
    assert (3, None) == queue(db, "mail")[2:4]


def test_a_breaker_is_reset(db: str, flowctl: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "flaky.py").write_text(FLAKY)
    flowctl("run", "flaky.py", "-q", code=1)

    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("Q")
        await sees(pilot, "✗ open", "5 of 5 in")
        await pilot.press("b")
        await sees(pilot, "no breaker is chosen")
        await pilot.press("tab", "tab", "b")
        await sees(pilot, "✓ closed", "flowctl breakers reset mail")
        await pilot.press("b")
        await sees(pilot, "breaker mail is closed")

    on_screen(db, journey)


def test_the_daemon_is_started_and_stopped(db: str, flowctl: Callable[..., str], no_daemon_left: None) -> None:
    flowctl("exec", "-q", "--", "true")

    async def journey(pilot: Pilot[Any]) -> None:
        await pilot.press("Q")
        await sees(pilot, "○ no daemon")
        await pilot.press("t")
        await sees(pilot, "no daemon runs")
        await pilot.press("s")
        await sees(pilot, "● daemon pid", "every queue")
        await pilot.press("t")
        await sees(pilot, "Stop daemon?", "flowctl daemon stop")
        await pilot.press("enter")
        await sees(pilot, "no daemon: flowctl daemon start", "○ no daemon")

    on_screen(db, journey)
    assert running_daemon(os.path.realpath(db)) is None
