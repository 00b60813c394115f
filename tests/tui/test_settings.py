"""The `[tui]` table: theme, mouse and keys; and copies, with and without a terminal that takes them."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from flowctl.core.config import ScreenSettings
from flowctl.core.errors import UsageError
from flowctl.tui import clipboard
from flowctl.tui.settings import bindings, check_settings
from tests.conftest import ROOT
from tests.tui.conftest import PATIENCE_S, on_screen, seen, sees, state_of, until

PAGE = ROOT / "docs" / "keys.md"
HERE = Path("config.toml")


@pytest.fixture
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the screen a terminal that takes copies, and no desktop."""
    for name in ("VTE_VERSION", "TERM_PROGRAM", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (ScreenSettings(theme="nordd"), "there is no theme 'nordd'.*did you mean nord"),
        (ScreenSettings(keys={"retri": "R"}), "there is no action 'retri'.*did you mean retry"),
        (ScreenSettings(keys={"retry": "R,control-x"}), "retry has no key 'control-x'.*ctrl[+]r"),
        (ScreenSettings(keys={"retry": ""}), "retry has no key"),
        (ScreenSettings(keys={"retry": "cmd+r"}), "retry has no key"),
    ],
)
def test_what_there_is_not_is_refused_with_what_is_near(settings: ScreenSettings, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        check_settings(settings, HERE)
    assert re.search(said, f"{refused.value.message} {refused.value.hint}")


def test_keys_are_letters_names_and_combinations() -> None:
    keys = {"retry": "R", "cancel": "ctrl+x, f8", "filter": "/,slash", "quit": "shift+f1", "runs": "é", "keys": "?"}
    check_settings(ScreenSettings(theme="terminal", keys=keys), HERE)


def configure(text: str) -> None:
    folder = Path(os.environ["XDG_CONFIG_HOME"]) / "flowctl"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(text)


def test_a_bad_setting_ends_it_at_once_with_exit_code_2(db: str, on_terminal: Callable[..., Any]) -> None:
    configure('[tui]\ntheme = "neon"\n')
    with on_terminal("tui") as screen:
        said = screen.read_to_end()
        assert 2 == screen.process.wait(PATIENCE_S)
    assert "there is no theme 'neon'" in said
    assert "\x1b[?1049h" not in said  # the screen was not opened


def test_every_binding_has_a_name_of_its_own_and_is_in_the_docs() -> None:
    names = [bound.name for bound in bindings()]
    assert {"retry", "sort", "runs", "quit", "view_1", "mark_all", "daemon_start", "limits"} <= {*names}
    spec = importlib.util.spec_from_file_location("write_keys", ROOT / "docs" / "write_keys.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.render() == PAGE.read_text(encoding="utf-8"), "run `make docs`"


def test_keys_of_the_configuration_file_replace_those_of_actions_and_places(db: str, shop: Callable[..., str]) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "✗ failed", "f9 Retry")
        await pilot.press("r")
        assert "failed" == state_of(db, 3)
        await pilot.press("j")
        await until(pilot, lambda: pilot.app.screen.subjects()[0].id == 2)
        await pilot.press("f9")
        await sees(pilot, "run 2 is succeeded")
        await pilot.press("k", "f9")
        await sees(pilot, "○ queued")
        await pilot.press("ctrl+e")
        await sees(pilot, "WHEN▼")

    on_screen(db, journey, size=(130, 30), keys={"retry": "f9", "events": "ctrl+e"})
    assert "queued" == state_of(db, 3)


def test_a_theme_is_taken_from_the_settings(db: str, shop: Callable[..., str]) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "3 runs")
        assert "nord" == pilot.app.theme

    on_screen(db, journey, theme="nord")


def on_open_screen(on_terminal: Callable[..., Any], *, size: tuple[int, int] = (24, 80), **env: str) -> bytes:
    """Return what the screen writes from its start until it has ended by `q`."""
    with on_terminal("tui", size=size, **env) as screen:
        screen.read_until("3 runs")
        os.write(screen.master, b"q")
        screen.read_to_end()
        assert 0 == screen.process.wait(PATIENCE_S)
        written: bytes = screen.written
        return written


def test_without_colour_none_is_written_and_without_mouse_it_is_left_alone(
    db: str, shop: Callable[..., str], on_terminal: Callable[..., Any]
) -> None:
    configure("[tui]\nmouse = false\n")
    written = on_open_screen(on_terminal, NO_COLOR="1")
    coloured = re.compile(rb"(?:[\[;])(?:3[0-7]|4[0-7]|9[0-7]|[34]8;[^m]*)(?=[;m])")
    assert [] == [style for style in re.findall(rb"\x1b\[[0-9;]*m", written) if coloured.search(style)]
    assert re.search(rb"\x1b\[1;7[0-9;]*m +3", written)  # the row under the cursor
    assert b"\x1b[?1000h" not in written
    assert b"\x1b[?1049l" in written  # the terminal is as it was


def test_the_mouse_is_used_and_colours_are_those_of_the_terminal(
    db: str, shop: Callable[..., str], on_terminal: Callable[..., Any]
) -> None:
    written = on_open_screen(on_terminal)
    assert b"\x1b[?1000h" in written
    assert re.search(rb"\x1b\[32;[0-9;]*m[^\x1b]{2,6}succeeded", written)
    assert not re.search(rb"\x1b\[[0-9;]*[34]8;", written)


def test_a_copy_goes_through_the_terminal(db: str, shop: Callable[..., str], plain_terminal: None) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "3 runs")
        pilot.app.copy("two\nlines \udcff")
        await sees(pilot, r"Copied two\nlines \udcff")
        assert "two\nlines \\udcff" == pilot.app.clipboard

    on_screen(db, journey)


def test_where_nothing_takes_a_copy_the_text_is_shown(
    db: str, shop: Callable[..., str], plain_terminal: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "linux")

    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "3 runs")
        pilot.app.copy("flowctl retry 3")
        await sees(pilot, "This terminal takes no copies", "flowctl retry 3")
        await pilot.press("escape")
        await until(pilot, lambda: "takes no copies" not in seen(pilot.app))

    on_screen(db, journey)


@pytest.mark.parametrize(("code", "taken"), [(0, True), (1, False)])
def test_the_desktops_command_takes_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, taken: bool
) -> None:
    monkeypatch.setattr(clipboard, "LONGEST_S", PATIENCE_S)
    (tmp_path / "xclip").write_text(f"#!/bin/sh\ncat > {tmp_path}/copied\nexit {code}\n")
    (tmp_path / "xclip").chmod(0o700)
    environ = {"DISPLAY": ":0", "PATH": str(tmp_path)}
    assert taken == clipboard.copy("a text", environ)
    assert "a text" == (tmp_path / "copied").read_text()
    assert not clipboard.copy("a text", {"PATH": str(tmp_path)})


def test_terminals_that_take_no_copies_are_known() -> None:
    assert clipboard.takes_copies({"TERM": "tmux-256color"})
    for environ in ({"TERM": "linux"}, {}, {"TERM": "xterm", "VTE_VERSION": "7600"}):
        assert not clipboard.takes_copies(environ)
