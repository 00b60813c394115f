"""Run: its steps as a tree beside their timeline, and the tabs of the chosen one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from flowctl.store import Store
from flowctl.tui.app import FlowctlApp
from flowctl.tui.widgets.json_tree import JsonTree
from flowctl.tui.widgets.run_view import RunView
from flowctl.tui.widgets.steps import Steps
from tests.tui.conftest import PATIENCE_S, on_screen, seen, sees, until

PIPELINE = '''
import json
import os
import sys
import time

from flowctl import gather, progress, sleep, step, workflow

@step(retries=1, backoff="100ms", jitter=0)
def fetch(page: int) -> dict:
    print("fetching", page)
    if page == 2 and not os.path.exists("tried"):
        open("tried", "w").close()
        print("it broke", file=sys.stderr)
        raise ConnectionError("reset [red]by peer[/red]")
    return {"page": page, "items": [{"name": "pen", "price": 3}]}

@step
def read(text: str) -> dict:
    return json.loads(text)

@step
def slow() -> None:
    while not os.path.exists("go-on"):
        progress(2, 5, "counting")
        print("still counting")
        time.sleep(0.05)

@workflow
def inner() -> dict:
    return read('{"deep": 7}')

@workflow
def pipeline(text: str = "[1]") -> dict:
    """Fetch, rest, and read."""
    found = gather(fetch.bind(1), fetch.bind(2), fetch.bind(3))
    sleep("100ms")
    inner()
    return read(text)

@workflow
def live() -> None:
    slow()
'''
HOSTILE = """
import sys
from flowctl import step, workflow

NASTY = "\\x1b[31m\\x1b]0;owned\\x07\\u202e[red]bold[/red] \\x9b2J \\ud800"

@step
def shout(given: str) -> dict:
    print("log " + given.encode(errors="ignore").decode())
    raise ValueError(given.encode(errors="ignore").decode())

@workflow
def nasty() -> None:
    shout.with_options(name="evil[b]")(NASTY.encode(errors="ignore").decode() + "k" * 300)
"""


@pytest.fixture
def pipeline(flowctl: Callable[..., str], tmp_path: Path) -> Callable[..., str]:
    """Return `flowctl` after run 1 has succeeded, with run 2 as its child."""
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    flowctl("run", "pipeline.py:pipeline", "-q")
    return flowctl


def view(pilot: Pilot[Any]) -> RunView:
    found: RunView = pilot.app.screen.query_one(RunView)
    return found


async def opens(pilot: Pilot[Any], run: int) -> None:
    await sees(pilot, "STARTED")
    pilot.app.open_run(run)
    await sees(pilot, f"run {run} ", "TOOK")


async def at_step(pilot: Pilot[Any], key: str) -> None:
    """Move the cursor to a step."""
    steps = pilot.app.screen.query_one(Steps)
    await until(pilot, lambda: any(node.place.key == key and node.place.kind == "step" for node in steps.rows))
    steps.cursor = next(at for at, node in enumerate(steps.rows) if node.place[0::2] == ("step", key))
    await pilot.pause()


def test_steps_stand_as_a_tree_beside_a_timeline(db: str, pipeline: Callable[..., str]) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await opens(pilot, 1)
        await sees(pilot, "3 branches", "fetch#2", "✓ succeeded", "started 20", "▸ ✓ inner")
        drawn = {word: line for line in seen(pilot.app).splitlines() for word in line.split()[:3]}
        # How many cells each has is a question of how fast the machine was: of two that share one, one is seen.
        assert {"✗", "·", "█"} & {*drawn["fetch#2"].partition("succeeded")[2]}
        assert {"░", "█"} & {*drawn["sleep"].partition("succeeded")[2]}
        assert "deep" not in seen(pilot.app)
        await at_step(pilot, "inner")
        await pilot.press("enter")
        await until(pilot, lambda: any(node.place.run == 2 for node in view(pilot).steps.rows))
        await pilot.press("j", "2")
        await sees(pilot, "deep: 7")
        assert ("inner", 1) == (pilot.app.screen.chosen_step, pilot.app.screen.number)
        await at_step(pilot, "fetch#2")
        await pilot.press("right")
        await until(pilot, lambda: any(node.place.kind == "attempt" for node in view(pilot).steps.rows))
        await pilot.press("j", "3")
        await sees(pilot, "attempt 1", "ConnectionError: reset [red]by peer[/red]")
        await pilot.press("escape")
        await sees(pilot, "2 runs")

    on_screen(db, journey, size=(120, 40))


def test_a_failed_run_opens_at_its_failed_step_with_the_error_and_ones_own_frames_first(
    db: str, pipeline: Callable[..., str]
) -> None:
    pipeline("run", "pipeline.py:pipeline", "text={", "-q", code=1)

    async def journey(pilot: Pilot[Any]) -> None:
        await opens(pilot, 3)
        await sees(pilot, "next: flowctl retry 3", "JSONDecodeError", "json.loads(text)")
        assert "read" == pilot.app.screen.chosen_step
        text = seen(pilot.app)
        assert text.index("pipeline.py") < text.index("of flowctl and the libraries") < text.index("json/__init__.py")
        await pilot.press("1")
        await sees(pilot, 'text: "{"')
        assert [3] == [run.id for run in pilot.app.screen.subjects()]
        await pilot.press("5")
        await sees(pilot, "ATTEMPT", "✗ failed")

    on_screen(db, journey, size=(140, 40))


def test_a_value_and_its_path_are_copied_as_a_fork_takes_them(db: str, pipeline: Callable[..., str]) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await opens(pilot, 1)
        await at_step(pilot, "fetch#2")
        await pilot.press("2")
        await sees(pilot, "price: 3")
        await pilot.press("enter")
        await pilot.press("slash", *"price", "enter")
        await until(pilot, lambda: pilot.app.screen.query_one("#output JsonTree", JsonTree).row.path[-1:] == ("price",))
        await pilot.press("Y")
        assert "steps.fetch#2.output.items[0].price" == pilot.app.clipboard
        await pilot.press("y")
        assert "3" == pilot.app.clipboard
        await pilot.press("w")
        await sees(pilot, '"price": 3')

    on_screen(db, journey)
    pipeline("fork", 1, "--from", "sleep", "--set", "steps.fetch#2.output.items[0].price=4", "-q")
    assert 4 == json.loads(pipeline("show", 3, "fetch#2", "--json"))["output"]["items"][0]["price"]


def test_the_code_of_a_step_is_shown_and_opened_at_its_line(
    db: str, pipeline: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = tmp_path / "vim"
    editor.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\n')
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("VISUAL", str(editor))
    monkeypatch.setattr(FlowctlApp, "suspend", contextlib.nullcontext)

    async def journey(pilot: Pilot[Any]) -> None:
        await opens(pilot, 1)
        await at_step(pilot, "read")
        await pilot.press("6")
        await sees(pilot, "return json.loads(text)", "e edits it")
        await pilot.press("e")
        (tmp_path / "pipeline.py").write_text("# nothing\n")
        await pilot.press("5", "6")
        await sees(pilot, "other now")
        assert "return json.loads(text)" in seen(pilot.app)

    on_screen(db, journey)
    line = PIPELINE.splitlines().index("def read(text: str) -> dict:")  # the decorator is the line before, from 1
    assert f"+{line} {tmp_path}/pipeline.py" == (tmp_path / "called").read_text().strip()


@pytest.fixture
def daemon(db: str, pipeline: Callable[..., str]) -> Iterator[None]:
    """Run a daemon."""
    argv = [sys.executable, "-m", "flowctl", "daemon", "run"]
    process = subprocess.Popen(argv, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": os.environ["ROOT"]})
    yield
    process.send_signal(signal.SIGTERM)
    process.wait(PATIENCE_S)


def test_a_run_is_live_while_a_daemon_works_on_it(
    db: str, pipeline: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: Any
) -> None:
    monkeypatch.setenv("ROOT", str(Path(__file__).parents[2]))
    request.getfixturevalue("daemon")
    pipeline("run", "pipeline.py:live", "-d", "-q")

    async def journey(pilot: Pilot[Any]) -> None:
        await opens(pilot, 3)
        await sees(pilot, "▶ running", "slow", "40% 2/5  counting", "still counting", "follows")
        logs = pilot.app.screen.query_one("#logs")
        before = len(logs.lines)
        await until(pilot, lambda: len(logs.lines) > before)
        (tmp_path / "go-on").touch()
        await sees(pilot, "✓ succeeded in")
        await until(pilot, lambda: pilot.app.screen.check_action("act", ("cancel",)) is None)  # the actions know

    on_screen(db, journey)


def test_what_a_run_says_does_nothing_to_the_terminal(db: str, flowctl: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "hostile.py").write_text(HOSTILE)
    flowctl("run", "hostile.py:nasty", "-q", code=1)
    shown: list[str] = []

    async def journey(pilot: Pilot[Any]) -> None:
        await opens(pilot, 1)
        for tab in "123456":
            await pilot.press(tab)
            if tab in "134":  # what it was given, how it failed, what it printed
                await sees(pilot, "[red]bold[/red]", "\\x1b[31m")
            else:
                await pilot.pause(0.3)
            shown.append(seen(pilot.app))
        await pilot.press("1", "enter", "w")
        await pilot.pause(0.3)
        shown.append(seen(pilot.app))

    on_screen(db, journey, size=(200, 40))
    text = "\n".join(shown)
    assert "evil[b]" in text
    assert "[red]bold[/red]" in text
    assert "\\x1b[31m" in text
    assert not {char for char in text if ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0} - {"\n"}
    assert "\u202e" not in text


def test_a_run_that_is_pruned_while_it_is_shown_says_so(db: str, pipeline: Callable[..., str]) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await opens(pilot, 1)
        pipeline("db", "prune", "--keep", "0s", "--keep-runs", "0", "--yes", "-q")
        await sees(pilot, "run 1 is not there, or not any more")

    on_screen(db, journey)


def test_a_value_that_is_too_large_to_lay_out_is_opened_in_the_pager(
    db: str, flowctl: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "large.py").write_text(
        "from flowctl import workflow\n\n@workflow\ndef large() -> list:\n    return list(range(100_000))\n"
    )
    flowctl("run", "large.py:large", "-q")
    pager = tmp_path / "pager"
    pager.write_text(f"#!/bin/sh\nwc -l < $1 > {tmp_path}/paged\n")
    pager.chmod(0o700)
    monkeypatch.setenv("PAGER", str(pager))
    monkeypatch.setattr(FlowctlApp, "suspend", contextlib.nullcontext)

    async def journey(pilot: Pilot[Any]) -> None:
        await opens(pilot, 1)
        await sees(pilot, "Enter opens it in $PAGER")
        await pilot.press("enter", "enter")

    on_screen(db, journey)
    assert "100001" == (tmp_path / "paged").read_text().strip()


def test_beside_a_wide_list_stands_the_chosen_run(db: str, shop: Callable[..., str]) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "3 runs", "run 3 ratio", "ZeroDivisionError")
        await pilot.press("j")
        await sees(pilot, "run 2 shop", "total")
        await pilot.resize_terminal(100, 30)
        await until(pilot, lambda: "run 2 shop" not in seen(pilot.app))

    on_screen(db, journey, size=(160, 40))


def test_it_is_usable_in_a_small_terminal_and_z_gives_a_pane_all_of_it(db: str, pipeline: Callable[..., str]) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await opens(pilot, 1)
        await sees(pilot, "✓ succeeded in", "2 Output", "[1 item]")
        await pilot.press("z")
        await until(pilot, lambda: "2 Output" not in seen(pilot.app) and "inner" in seen(pilot.app))
        await pilot.press("z", "enter", "z")
        await until(pilot, lambda: "STEP" not in seen(pilot.app) and "2 Output" in seen(pilot.app))

    on_screen(db, journey, size=(60, 20))


def test_twenty_thousand_steps_are_laid_out_at_once_and_drawn_as_far_as_they_are_seen(
    db: str, flowctl: Callable[..., str]
) -> None:
    flowctl("exec", "-q", "--", "true")
    with Store.open(db) as store, store.transaction():
        store.connection.write(
            "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 20001) INSERT INTO steps "
            "(run_id, seq, key, name, kind, state, attempt, first_attempt, input, input_crc, input_hash, output, "
            "output_crc, begun_at, started_at, finished_at, on_crash) "
            "SELECT 1, i, 's#' || i, 's', 'step', 'succeeded', 1, 1, "
            "'{}', 0, x'00', '1', 0, begun_at + i, begun_at + i, begun_at + i + 1, 'rerun' FROM n, steps",
            {},
        )
    drawn: list[int] = []

    async def journey(pilot: Pilot[Any]) -> None:
        await opens(pilot, 1)
        steps = view(pilot).steps
        await until(pilot, lambda: len(steps.rows) > 20_000)
        draw = steps.draw
        steps.draw = lambda row, width: drawn.append(1) or draw(row, width)  # type: ignore[method-assign, func-returns-value]
        await pilot.press("G")
        await sees(pilot, "s#20001")

    on_screen(db, journey)
    assert len(drawn) < 500


def test_a_click_moves_the_cursor_and_one_on_the_sign_folds(db: str, pipeline: Callable[..., str]) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await opens(pilot, 1)
        await sees(pilot, "fetch#2")
        await pilot.click(Steps, offset=(0, 2))  # the sign before "3 branches", below the title and the run
        await until(pilot, lambda: "fetch#2" not in seen(pilot.app))
        await pilot.click(Steps, offset=(6, 3))
        await until(pilot, lambda: pilot.app.screen.chosen_step == "sleep")
        await pilot.click("#tab-attempts")
        await sees(pilot, "ATTEMPT")

    on_screen(db, journey)
