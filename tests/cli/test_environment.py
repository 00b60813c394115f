"""Odd surroundings: no terminal, no stdin, no home, a narrow screen, a pipe that breaks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import PATIENCE_S, ledger, let_notice, until
from tests.conftest import FLOWCTL


def through_shell(folder: Path, line: str, **env: str) -> subprocess.CompletedProcess[str]:
    program = " ".join(f"'{word}'" for word in FLOWCTL)
    return subprocess.run(
        ["bash", "-c", line.replace("flowctl ", f"{program} ")],
        cwd=folder,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
        check=False,
    )


def test_m04_a_broken_pipe_is_silent(flowctl, hello, tmp_path) -> None:
    flowctl("run", hello, "name=x", "times=300", "--quiet")
    for command in ("show 1 --all", "show 1 --json", "ls", "logs 1", "--help", "run hello.py name=x"):
        done = through_shell(tmp_path, f"flowctl {command} 2>&1 | true; echo ${{PIPESTATUS[0]}}")
        assert "0\n" == done.stdout, command
        assert "" == done.stderr, command


def test_m04_a_run_goes_on_when_nobody_reads_its_progress(flowctl, hello, tmp_path) -> None:
    through_shell(tmp_path, "flowctl run hello.py name=x times=200 2>&1 >/dev/null | head -1")
    assert "succeeded" == flowctl("show", "1", "--json").json["state"]


@pytest.mark.parametrize("closing", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_m04_closed_standard_streams_do_no_harm(flowctl, hello, tmp_path, closing) -> None:
    done = through_shell(
        tmp_path, f"flowctl run hello.py name=x {closing}; flowctl ls {closing}; flowctl nope {closing}"
    )
    assert 2 == done.returncode
    assert "Traceback" not in done.stderr
    assert "Bad file descriptor" not in done.stderr
    assert [("succeeded", ["Hello, x!"])] == [(run["state"], run["output"]) for run in flowctl("ls", "--json").json]
    assert flowctl("db", "check", "--json").json["ok"]


def test_m04_input_from_a_closed_stdin_is_refused(hello, tmp_path) -> None:
    done = through_shell(tmp_path, "flowctl run hello.py --input - <&-")
    assert 2 == done.returncode
    assert "stdin, which is closed" in done.stderr


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"NO_COLOR": "1"}, {"TERM": ""}])
def test_m04_a_terminal_without_colour_gets_none(on_terminal, hello, env) -> None:
    with on_terminal("run", hello, "name=x", **env) as screen:
        said = screen.read_to_end()
    assert "Hello, x!" in said
    assert "\x1b[3" not in said
    for command in (["ls"], ["show", "1"]):
        with on_terminal(*command, **env) as screen:
            assert "\x1b" not in screen.read_to_end()


def test_m04_a_dumb_terminal_sees_no_escape_at_all(on_terminal, hello) -> None:
    with on_terminal("run", hello, "name=x", TERM="dumb") as screen:
        assert "\x1b" not in screen.read_to_end()


def test_m04_colour_is_used_on_a_terminal_and_when_asked_for(on_terminal, flowctl, hello) -> None:
    flowctl("run", hello, "name=x")
    with on_terminal("ls") as screen:
        assert "\x1b[32m" in screen.read_to_end()
    assert "\x1b[32m" in flowctl("ls", "--color", "always").stdout
    assert "\x1b" not in flowctl("ls").stdout
    assert "\x1b" not in flowctl("ls", "--json", "--color", "always").stdout
    with on_terminal("ls", "--color", "never") as screen:
        assert "\x1b" not in screen.read_to_end()


@pytest.mark.parametrize("size", [(24, 20), (2, 20), (24, 1), (0, 0), (24, 80)])
def test_m04_any_size_of_screen_will_do(on_terminal, hello, size) -> None:
    with on_terminal("run", hello, "name=World", "times=60", size=size) as screen:
        screen.read_to_end()
        assert 0 == screen.process.returncode
    for command in (["ls"], ["show", "1"], ["show", "1", "greet"], ["--help"], ["run", "--help"]):
        with on_terminal(*command, size=size) as screen:
            assert screen.read_to_end()
            assert 0 == screen.process.returncode


def test_m04_other_encodings_get_what_they_can_show(hello, tmp_path) -> None:
    env = {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [*FLOWCTL, "run", str(hello), "name=ü✓"],
        cwd=tmp_path,
        env={**os.environ, **env},
        capture_output=True,
        check=True,
    )
    assert b'["Hello, \\u00fc\\u2713!"]\n' == done.stdout
    assert b"+ greet succeeded" in done.stderr
    done = subprocess.run([*FLOWCTL, "ls"], cwd=tmp_path, env={**os.environ, **env}, capture_output=True, check=True)
    assert b"+ succeeded" in done.stdout


def test_m08_no_home_and_read_only_home(flowctl, hello, tmp_path) -> None:
    bare = {"XDG_STATE_HOME": "", "XDG_CONFIG_HOME": "", "HOME": ""}
    assert flowctl("db", "path", **bare).stdout.startswith("/")
    home = tmp_path / "home"
    home.mkdir()
    flowctl("run", hello, "name=x", **bare | {"HOME": str(home)})
    assert (home / ".local/state/flowctl/flowctl.db").exists()
    nowhere = bare | {"HOME": "/proc/nonexistent"}
    done = flowctl("run", hello, "name=x", code=77, **nowhere)
    assert "/proc/nonexistent" in done.stderr
    assert ["Hello, x!"] == flowctl("--db", "here.db", "run", hello, "name=x", **nowhere).json


def test_m08_the_xdg_folders_are_used_and_relative_ones_ignored(flowctl, tmp_path) -> None:
    assert (
        f"{tmp_path}/st ate/flowctl/flowctl.db\n" == flowctl("db", "path", XDG_STATE_HOME=f"{tmp_path}/st ate").stdout
    )
    home = {"HOME": str(tmp_path / "h")}
    assert (
        f"{tmp_path}/h/.local/state/flowctl/flowctl.db\n" == flowctl("db", "path", XDG_STATE_HOME="rel", **home).stdout
    )


def test_a_folder_that_is_gone_is_a_sentence(hello, tmp_path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    line = f"cd {gone} && rmdir {gone} && flowctl run {hello} name=x"
    done = through_shell(tmp_path, line)
    assert 4 == done.returncode
    assert "does not exist any more" in done.stderr


def test_a_closed_terminal_stops_a_run_and_leaves_it_resumable(on_terminal, flowctl, gated, tmp_path) -> None:
    with on_terminal("run", gated) as screen:
        until(lambda: "gate" in ledger(tmp_path))
        screen.process.send_signal(signal.SIGHUP)
        let_notice(screen.process)
        (tmp_path / "open").touch()
        screen.read_to_end()
        assert 130 == screen.process.returncode
    assert "paused" == flowctl("show", "1", "--json").json["state"]
    assert 3 == flowctl("resume", "1").json


def test_the_interpreter_of_the_tests_runs_them(flowctl) -> None:
    assert (
        f"{sys.version_info[0]}.{sys.version_info[1]}\n"
        == flowctl("exec", "--", sys.executable, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").json[
            "stdout"
        ]
    )
