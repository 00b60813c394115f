"""Shell commands: results, limits, and processes that do not want to end."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from flowctl.sdk import processes, shell
from flowctl.sdk.shell import Command, ShellFailed, ShellResult, StepTimedOut
from tests.sdk.scripted_engine import PATIENCE_S, alive, in_time, wait_until


def run(args: str | tuple[str, ...], **options: object) -> ShellResult:
    mark = f"t{os.getpid()}.{time.monotonic_ns()}"
    command = Command(args)._replace(mark=mark, **options)
    try:
        return shell.run(command, lambda stream, text: None)
    finally:
        assert processes._members(processes._sign(processes.COMMAND, mark), None) == []


def test_exit_code_and_both_streams_are_in_the_result() -> None:
    assert run("echo out; echo err >&2; exit 3") == ShellResult(3, "out\n", "err\n")


def test_n06_arguments_reach_the_program_as_they_are() -> None:
    hostile = ("; touch x", "$(id)", "a\nb", "-rf", "'\"`", "")
    assert run(("printf", "%s|", *hostile)).stdout == "|".join(hostile) + "|"


def test_output_arrives_while_the_command_runs(tmp_path: Path) -> None:
    seen: list[tuple[str, str]] = []

    def show(stream: str, text: str) -> None:
        seen.append((stream, text))
        (tmp_path / "seen").touch()

    script = "echo a; until [ -e seen ]; do sleep 0.01; done; echo b >&2"
    shell.run(Command(script, cwd=str(tmp_path), mark="x", timeout_ms=round(PATIENCE_S * 1000)), show)
    assert seen == [("stdout", "a\n"), ("stderr", "b\n")]


@pytest.mark.parametrize("given", ["grüße", "x" * 1_000_000, b"\xff\x00", ""])
def test_input_is_written_whole(given: str | bytes) -> None:
    expected = given.encode() if isinstance(given, str) else given
    assert run("wc -c", input=given).stdout.strip() == str(len(expected))


def test_without_input_the_command_reads_an_end() -> None:
    assert run("cat; echo end").stdout == "end\n"


def test_a_command_that_does_not_read_its_input_ends() -> None:
    assert run("exit 0", input="x" * 1_000_000).exit_code == 0


def test_folder_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "1")
    result = run("pwd; echo $KEPT$ADDED", cwd=str(tmp_path), env={"ADDED": "2"})
    assert result.stdout == f"{tmp_path}\n12\n"


def test_l08_output_without_bounds_keeps_beginning_and_end() -> None:
    text = run("echo FIRST; yes | head -c 30000000; echo LAST").stdout
    assert text.startswith("FIRST\ny\n")
    assert text.endswith("y\nLAST\n")
    assert len(text) < 1_060_000


def test_k12_bad_utf8_is_replaced_and_split_characters_are_not() -> None:
    assert run(r"printf '\377'; printf '\303'; sleep 0.02; printf '\251'").stdout == "\ufffdé"


@pytest.mark.parametrize("args", ["exec sleep 300", "sleep 300 & sleep 300 & wait", "exec >/dev/null 2>&1; sleep 300"])
def test_g04_a_command_that_takes_too_long_is_killed(args: str) -> None:
    with in_time(), pytest.raises(StepTimedOut, match=r"took longer than 0\.1 s and was killed"):
        run(args, timeout_ms=100)


def test_g02_a_command_that_ignores_sigterm_is_killed() -> None:
    with in_time(), pytest.raises(StepTimedOut):
        run("trap '' TERM; while :; do sleep 1; done", timeout_ms=100)


def test_g03_a_command_that_left_its_session_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = tmp_path / "pid"
    pid.touch()
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() if pid.read_text() else 0.0)  # it stands until then
    monkeypatch.setattr(shell, "time", clock)
    with in_time(), pytest.raises(StepTimedOut):
        run(f"setsid sh -c 'echo $$ > {pid}; sleep 300' & wait; sleep 300", timeout_ms=100)
    assert not alive(int(pid.read_text()))


@pytest.mark.parametrize("background", ["sleep 300 &", "setsid sleep 300 &", "(trap '' TERM HUP; sleep 300) &"])
def test_g04_a_child_in_the_background_that_holds_the_pipe_does_not_hold_the_step(background: str) -> None:
    with in_time():
        assert run(f"echo before; {background} echo after") == ShellResult(0, "before\nafter\n", "")


def test_a_child_in_the_background_without_the_pipe_costs_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "HOLD_S", 2 * PATIENCE_S)  # what one with the pipe would cost
    command = Command(f"sleep 300 >/dev/null 2>&1 & echo $! > {tmp_path}/pid", mark=f"bg{os.getpid()}")
    with in_time():
        shell.run(command, lambda *_: None)
    pid = int((tmp_path / "pid").read_text())
    assert alive(pid)
    processes.kill_command(command.mark)
    wait_until(lambda: not alive(pid))


def test_what_a_background_child_still_writes_in_time_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "HOLD_S", PATIENCE_S)
    assert run("(sleep 0.05; echo late) & echo early").stdout == "early\nlate\n"


def test_a_command_that_cannot_be_started_says_why(tmp_path: Path) -> None:
    with pytest.raises(ShellFailed, match="cannot start no-such-program: No such file") as caught:
        run(("no-such-program",))
    assert caught.value.exit_code == 127
    with pytest.raises(ShellFailed, match="in /no/such/folder"):
        run(("true",), cwd="/no/such/folder")


def test_a_failure_names_code_and_last_lines() -> None:
    command = Command(("make", "all"))
    stderr = "".join(f"line {n}\n" for n in range(20))
    message = str(shell.failure(command, ShellResult(2, "out", stderr)))
    assert message == "make all ended with exit code 2: line 15\nline 16\nline 17\nline 18\nline 19"
    assert str(shell.failure(command, ShellResult(1, "said\n", ""))) == "make all ended with exit code 1: said"
    assert str(shell.failure(command, ShellResult(-9, "", ""))) == "make all was killed by signal 9"


def test_it_works_where_processes_cannot_be_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    monkeypatch.delattr(os, "waitid", raising=False)
    assert run("echo a; sleep 0.05; echo b >&2; exit 4") == ShellResult(4, "a\n", "b\n")
    with pytest.raises(StepTimedOut):
        run("sleep 300", timeout_ms=50)
    with in_time():
        assert run("sleep 300 & echo x").stdout == "x\n"
