"""What stands on the terminal before the screen is loaded, and that the terminal is afterwards as it was."""

from __future__ import annotations

import os
import re
import signal
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from flowctl.store import Store
from tests.cli.test_hostile_text import OBEYED, plant
from tests.conftest import ROOT
from tests.tui.conftest import PATIENCE_S, on_screen, seen, sees
from tests.tui.test_hostile import OURS

LOADING = "loading the screen"
ALTERNATE, LEFT = b"\x1b[?1049h", b"\x1b[?1049l"
OF_TEXTUAL = b"\x1b[?1004h"  # the first thing that only Textual asks of a terminal: to tell of its focus
LINE = re.compile(r"\x1b\[(\d+);1H")
LOOK = re.compile(r"\x1b\[[0-9;]*m")


HELD = """
import os, sys, time

class Holder:
    def find_spec(self, name, path=None, target=None):
        while name == "textual" and not os.path.exists({gate!r}):
            time.sleep(0.01)

sys.meta_path.insert(0, Holder())
"""


@pytest.fixture
def let_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Hold the loading of Textual, however fast the machine is and however slow the test, until this is called."""
    gate = tmp_path / "gate"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(HELD.format(gate=str(gate)))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}/site:{ROOT}")
    return gate.touch


def painted(screen: Any) -> list[str]:
    """Return the lines that stand there before Textual is loaded."""
    screen.read_until(f"{LOADING}…")
    first, *rest = LINE.split(LOOK.sub("", screen.written.decode()))
    assert ALTERNATE.decode() in first
    assert OF_TEXTUAL not in screen.written
    lines = [text.rstrip() for text in rest[1::2]]
    assert [str(number) for number in range(1, len(lines) + 1)] == rest[::2]
    return lines


@pytest.mark.parametrize("size", [(80, 24), (60, 20), (120, 30)])
def test_the_runs_are_drawn_before_the_screen_is_loaded_as_the_screen_draws_them(
    db: str,
    shop: Callable[..., str],
    on_terminal: Callable[..., Any],
    let_load: Callable[[], None],
    size: tuple[int, int],
) -> None:
    with on_terminal("tui", size=size[::-1]) as screen:
        first = painted(screen)
        let_load()
        screen.read_until("3 runs")
        os.write(screen.master, b"q")
        screen.read_to_end()
        assert screen.written.index(LOADING.encode()) < screen.written.index(OF_TEXTUAL)
        assert [1, 1] == [screen.written.count(each) for each in (ALTERNATE, LEFT)]

    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "3 runs", "✗ failed", "no daemon" if size[0] > 60 else "3 runs")
        last = seen(pilot.app).split("\n")
        assert last[1 : size[1] - 2] == first[1:-1]
        assert last[0].partition("○")[0].rstrip() == first[0]

    on_screen(db, journey, size=size)


def test_keys_that_are_pressed_before_it_is_loaded_are_obeyed_and_not_echoed(
    shop: Callable[..., str], on_terminal: Callable[..., Any], let_load: Callable[[], None]
) -> None:
    with on_terminal("tui") as screen:
        screen.read_until(LOADING)
        before = len(screen.written)
        os.write(screen.master, b"jj\r")
        assert OF_TEXTUAL not in screen.written
        let_load()
        screen.read_until("fetch")  # run 1 is open, two below the newest
        assert b"jj" not in screen.written[before:]
        os.write(screen.master, b"q")
        screen.read_to_end()
        assert 0 == screen.process.wait(PATIENCE_S)


def test_the_terminal_has_its_attributes_again_when_the_screen_has_ended(
    shop: Callable[..., str], on_terminal: Callable[..., Any]
) -> None:
    with on_terminal("tui") as screen:
        screen.read_until(LOADING)
        assert not termios.tcgetattr(screen.master)[3] & (termios.ECHO | termios.ICANON)
        screen.read_until("3 runs")
        os.write(screen.master, b"q")
        screen.read_to_end()
        assert screen.attributes == termios.tcgetattr(screen.master)


def test_an_editor_has_the_terminal_with_its_own_attributes(
    shop: Callable[..., str], on_terminal: Callable[..., Any], tmp_path: Path
) -> None:
    editor, told = tmp_path / "editor", tmp_path / "told"
    editor.write_text(f"#!/bin/sh\nstty -a > {told}.draft\nmv {told}.draft {told}\n")
    editor.chmod(0o700)
    with on_terminal("tui", VISUAL=str(editor)) as screen:
        screen.read_until("3 runs")
        os.write(screen.master, b"e")
        while not told.exists():
            assert screen.read(0.1), screen.written
        os.write(screen.master, b"q")
    assert {"echo", "icanon", "isig", "icrnl"} <= {*told.read_text().split()}


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (lambda screen: os.kill(screen.process.pid, signal.SIGINT), 130),
        (lambda screen: os.kill(screen.process.pid, signal.SIGTERM), 143),
        (lambda screen: os.kill(screen.process.pid, signal.SIGHUP), 129),
    ],
)
def test_what_ends_it_while_it_is_loaded_leaves_the_terminal_as_it_was(
    shop: Callable[..., str],
    on_terminal: Callable[..., Any],
    let_load: Callable[[], None],
    end: Callable[[Any], object],
    code: int,
) -> None:
    with on_terminal("tui") as screen:
        screen.read_until(LOADING)
        end(screen)
        screen.read_to_end()
        assert code == screen.process.wait(PATIENCE_S)
        assert screen.attributes == termios.tcgetattr(screen.master)
    assert screen.written.count(LEFT) == 1
    assert b"\x1b[?25h" in screen.written.partition(LEFT)[2]


def test_a_screen_that_cannot_be_loaded_leaves_the_terminal_and_says_why(
    shop: Callable[..., str], on_terminal: Callable[..., Any]
) -> None:
    folder = Path(os.environ["XDG_CONFIG_HOME"]) / "flowctl"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text('[tui]\ntheme = "neon"\n')
    with on_terminal("tui") as screen:
        said = screen.read_to_end()
        assert 2 == screen.process.wait(PATIENCE_S)
        assert screen.attributes == termios.tcgetattr(screen.master)
    assert "there is no theme 'neon'" in said.partition(LEFT.decode())[2]


def test_of_a_file_that_is_not_there_the_screen_tells(db: str, on_terminal: Callable[..., Any]) -> None:
    with on_terminal("tui") as screen:
        screen.read_until("there is no run yet")
        os.write(screen.master, b"q")
        screen.read_to_end()
    assert LOADING.encode() not in screen.written


def test_on_a_terminal_that_is_too_small_only_the_screen_draws(
    shop: Callable[..., str], on_terminal: Callable[..., Any]
) -> None:
    with on_terminal("tui", size=(19, 60)) as screen:
        screen.read_until("60x20 is the least")
        os.write(screen.master, b"q")
        screen.read_to_end()
    assert LOADING.encode() not in screen.written


def test_n11_a_hostile_name_does_nothing_before_the_screen_is_loaded(
    db: str, on_terminal: Callable[..., Any], let_load: Callable[[], None]
) -> None:
    with Store.open(db):
        pass
    plant(db)
    with on_terminal("tui", size=(24, 250)) as screen:
        lines = painted(screen)
    text = OURS.sub("", screen.written.decode())
    assert [] == OBEYED.findall(text)
    assert r"flow \x1b]52;c;aGk=" in lines[2]
