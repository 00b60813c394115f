"""The live tree: it fits the screen however much happens, and shows what matters now."""

from __future__ import annotations

import io
import json
import signal

import pytest
from rich.console import Console

from flowctl.cli.lines import LineNarrator, step_line
from flowctl.cli.live import LiveNarrator
from flowctl.cli.progress import KEPT, Progress
from flowctl.cli.terminal import Terminal
from flowctl.engine.observer import LogCaptured, RunChanged, StepChanged
from tests.cli.conftest import ledger, let_notice, until

NOW = 1_769_850_000_000


class Clock:
    def now(self) -> int:
        return NOW

    def monotonic(self) -> float:
        return 0.0


def started(key: str, run: int = 1, **fields) -> StepChanged:
    usual = {
        "name": key,
        "kind": "step",
        "state": "running",
        "attempt": 1,
        "started_at": NOW - 65_000,
        "finished_at": None,
    }
    return StepChanged(run, key, **(usual | fields))


def finished(key: str, run: int = 1, state: str = "succeeded", **fields) -> StepChanged:
    return started(key, run, state=state, finished_at=NOW - 64_988, **fields)


def running(run: int = 1, workflow: str = "digest", parent: int | None = None, state: str = "running") -> RunChanged:
    return RunChanged(run, workflow, state, None, parent)


def screen(*changes, width: int = 80, height: int = 24) -> list[str]:
    """Return the lines on a screen of that size after these changes."""
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)

    class Fixed(Terminal):
        def console(self, *, stderr=False, width=None):
            return console

    narrator = LiveNarrator(
        Fixed(color="never", quiet=False, plain=False), lambda: Progress({2: "child", 3: "child#2"}.get), Clock()
    )
    narrator.watch(1)
    for change in changes:
        narrator.hear(change)
    with console.capture() as captured:
        console.print(narrator.picture())
    return captured.get().split("\n")[:-1]


def test_a_step_that_runs_has_a_spinner_and_its_duration() -> None:
    lines = screen(running(), started("fetch"))
    assert "run 1  digest  ▶ running" == lines[0].rstrip()
    assert "  ⠋ fetch  running 1m05s" == lines[1].rstrip()


def test_a_step_that_ended_has_its_icon_its_word_and_its_duration() -> None:
    lines = screen(running(), started("fetch"), finished("fetch"), started("parse"), finished("parse", state="failed"))
    assert ["  ✓ fetch  succeeded 12ms", "  ✗ parse  failed 12ms"] == [line.rstrip() for line in lines[1:]]


def test_a_step_that_waits_says_until_when() -> None:
    lines = screen(running(), started("nap", kind="sleep", wake_at=NOW + 60_000))
    assert "  ◷ nap  until " in lines[1]
    error = json.dumps({"type": "ValueError", "message": "no", "traceback": ""})
    lines = screen(running(), started("fetch", error=error, wake_at=NOW + 60_000, attempt=2))
    assert "again at " in lines[1]
    assert "attempt 2  ValueError: no" in lines[1]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (20, 24), (80, 3), (5, 5), (300, 100), (1, 1)])
def test_m04_a_thousand_steps_fit_any_screen(width: int, height: int) -> None:
    changes = [running(workflow="日本 " * 30)]
    for number in range(1000):
        changes += [started(f"step#{number}"), finished(f"step#{number}")]
        changes.append(LogCaptured(1, f"step#{number}", 1, "stdout", None, "日本語 output " * 20 + "\nmore\n", NOW))
    changes += [started(f"last#{number}" + "x" * 200) for number in range(40)]
    lines = screen(*changes, width=width, height=height)
    assert len(lines) <= max(3, height - 1)
    assert max(map(cells, lines)) <= width


def cells(line: str) -> int:
    from rich.cells import cell_len

    return cell_len(line)


def test_the_tail_is_shown_and_what_runs_is_never_left_out() -> None:
    changes = [running(), started("first")]
    for number in range(1000):
        changes += [started(f"step#{number}"), finished(f"step#{number}")]
    lines = [line.strip() for line in screen(*changes)]
    assert "first  running" in lines[2]
    assert "… 980 earlier steps" == lines[1]
    assert lines[-1].startswith("✓ step#999")


def test_recorded_values_are_not_shown() -> None:
    assert 1 == len(screen(running(), started("now", kind="value"), finished("now", kind="value")))


def test_a_childs_steps_stand_below_the_step_that_started_it() -> None:
    lines = screen(
        running(),
        started("child", kind="child"),
        started("child#2", kind="child"),
        running(2, "child", 1),
        running(3, "child", 1),
        started("a", 3),
        started("b", 2),
        started("beside"),
    )
    assert ["child", "b", "child#2", "a", "beside"] == [line.split()[1] for line in lines[1:]]
    assert [2, 4, 2, 4, 2] == [len(line) - len(line.lstrip()) for line in lines[1:]]


def test_a_run_that_let_go_keeps_what_waits_and_forgets_what_ran() -> None:
    waiting = [running(), started("child", kind="child"), started("nap", kind="sleep", wake_at=NOW), started("body")]
    lines = screen(*waiting, running(state="waiting"))
    assert ["child", "nap"] == [line.split()[1] for line in lines[1:]]
    assert 1 == len(screen(*waiting, running(state="paused")))


def test_the_last_output_is_shown_when_there_is_room() -> None:
    log = LogCaptured(1, "fetch", 1, "stdout", None, "one\ntwo\nthree\nfour\nfive\n", NOW)
    lines = [line.strip() for line in screen(running(), log)]
    assert ["│ fetch: two", "│ fetch: three", "│ fetch: four", "│ fetch: five"] == lines[1:]
    assert 1 == len(screen(running(), log, height=6))


def test_progress_does_not_grow_with_the_number_of_steps() -> None:
    progress = Progress(lambda number: None)
    for number in range(5_000):
        progress.hear(started(f"s#{number}"))
        progress.hear(finished(f"s#{number}"))
        progress.hear(LogCaptured(1, None, None, "stdout", None, "x\n", NOW))
    assert KEPT == len(progress.finished) == len(progress.output)
    assert {} == progress.running


def test_plain_lines_say_each_thing_once(capsys) -> None:
    narrator = LineNarrator(Terminal(color="never", quiet=False, plain=False), verbose=False).watch(1)
    nap = started("nap", kind="sleep", wake_at=NOW)
    for change in (
        running(), started("a"), finished("a"), finished("v", kind="value"), nap, running(state="sleeping"), running(),
        nap, LogCaptured(1, "a", 1, "stdout", None, "hi\nthere\n", NOW), running(state="succeeded"),
    ):  # fmt: skip
        narrator.hear(change)
    said = capsys.readouterr().err.splitlines()
    assert "run 1 digest: ▶ running" == said[0]
    assert "  ✓ a succeeded in 12ms" == said[1]
    assert said[2].startswith("  ◷ nap until ")
    assert ["run 1 digest: ◷ sleeping", "  a | hi", "  a | there"] == [said[3], *said[-2:]]
    assert len(said) <= 7


def test_a_failed_attempt_says_when_the_next_one_is() -> None:
    error = json.dumps({"type": "ValueError", "message": "no\nway", "traceback": ""})
    line = step_line(started("fetch", error=error, wake_at=NOW + 5))
    assert "✗ fetch attempt 1 failed, again at " in line
    assert line.endswith(": ValueError: no way")
    assert "(attempt 3)" in step_line(finished("fetch", attempt=3))


def test_a14_on_a_terminal_the_tree_is_drawn_and_its_end_stays(on_terminal, hello) -> None:
    with on_terminal("run", hello, "name=World", "times=3", NO_COLOR="1") as shown:
        text = shown.read_to_end()
        assert 0 == shown.process.returncode
    assert "run 1  hello  ✓ succeeded" in text
    assert "✓ greet#3  succeeded" in text
    assert "│ greet#3: greeting World" in text
    assert "✓ run 1 hello succeeded in" in text
    assert text.rstrip().endswith("]")
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1


def test_a14_ctrl_c_on_a_terminal_brings_the_cursor_back(on_terminal, gated, tmp_path) -> None:
    with on_terminal("run", gated) as shown:
        until(lambda: "gate" in ledger(tmp_path))
        shown.read_until("gate")
        shown.process.send_signal(signal.SIGINT)
        let_notice(shown.process)
        shown.process.send_signal(signal.SIGINT)
        text = shown.read_to_end()
        assert 130 == shown.process.returncode
    assert "flowctl resume 1" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
