"""`flowctl dev`: a file that is run again whenever it is saved."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from flowctl.cli import foreground
from tests.cli.conftest import PATIENCE_S
from tests.conftest import Outcome
from tests.faults.conftest import Bench, bench, ledger, run_of, shown, sound, spawn, store, wait_for, write
from tests.faults.seen import ONE

__all__ = ["bench", "ledger", "run_of", "shown", "sound", "spawn", "store", "wait_for", "write"]

DRAFT = f"""{ONE}
@step
def two(n: int) -> int:
    note("two")
    return n * {{factor}}

@workflow
def draft(n: int) -> int:
    return two(one(n))
"""


@pytest.fixture
def save(bench: Bench, tmp_path: Path) -> Callable[[str], None]:
    def to(source: str) -> None:
        os.replace(bench.write("next.py", source), tmp_path / "draft.py")

    return to


def said_until_it_waits(process: subprocess.Popen[str], times: int = 1) -> str:
    """Return what it says until it has waited so many times for an edit."""
    assert process.stderr is not None
    said = ""
    while said.count("waiting for an edit of") < times:
        line = process.stderr.readline()
        assert line, said
        said += line
    return said


def end(process: subprocess.Popen[str]) -> None:
    """End it while it waits for an edit."""
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert 0 == process.returncode, said


def test_each_save_forks_the_last_run_from_the_first_step_that_changed(
    bench: Bench, save: Callable[[str], None]
) -> None:
    save(DRAFT.format(factor=10))
    process = bench.spawn("dev", "draft.py", "n=4")
    assert "50" == bench.in_state("succeeded", 1).output
    save(DRAFT.format(factor=100))
    assert "500" == bench.in_state("succeeded", 2).output
    assert ["one", "two", "two"] == bench.ledger()
    save(DRAFT.format(factor="("))
    save(DRAFT.format(factor=1000).replace("n + 1", "n + 2"))
    last = bench.in_state("succeeded", 3)
    assert ("6000", 2) == (last.output, last.forked_from)
    assert ["one", "two", "two", "one", "two"] == bench.ledger()
    said = ""
    while "and it runs from one on" not in said:  # it may have waited for a mending of the third draft, too
        said += said_until_it_waits(process)
    end(process)
    assert "saved: 1 of 2 recorded steps are reused, and it runs from two on" in said
    assert "saved: 0 of 2 recorded steps are reused, and it runs from one on" in said


def test_an_edit_while_the_file_is_imported_for_the_first_time_is_not_missed(
    bench: Bench, save: Callable[[str], None], tmp_path: Path
) -> None:
    slow = 'note("imported")\nwhile not (HERE / "go").exists():\n    time.sleep(0.01)\n'
    save(slow + DRAFT.format(factor=10))
    process = bench.spawn("dev", "draft.py", "n=4")
    bench.wait_for(lambda: "imported" in bench.ledger())
    save(DRAFT.format(factor=100))
    (tmp_path / "go").touch()
    assert "500" == bench.in_state("succeeded", 2).output
    said_until_it_waits(process, 2)
    end(process)


def test_a_file_that_cannot_be_imported_is_told_and_waited_for(bench: Bench, save: Callable[[str], None]) -> None:
    save("def draft(:\n")
    process = bench.spawn("dev", "draft.py", "n=1")
    first, second = said_until_it_waits(process).splitlines()
    assert "SyntaxError" in first
    assert "waiting for an edit of" in second
    save(DRAFT.format(factor=3))
    assert "6" == bench.in_state("succeeded", 1).output
    said_until_it_waits(process)
    end(process)


@pytest.mark.parametrize(
    ("words", "code", "said", "hint"),
    [
        (("draft.py:draft",), 2, "draft needs the parameter n", "give n=…"),
        (("draft.py:draft", "n=many"), 2, "parameter n must be", ""),
        (("draft.py", "n=1"), 2, "defines draft, other", "say which: "),
        (("draft.py:drat", "n=1"), 4, "defines no workflow drat", "did you mean draft?"),
    ],
)
def test_what_no_edit_cures_ends_it_with_the_hint(
    bench: Bench, save: Callable[[str], None], words: tuple[str, ...], code: int, said: str, hint: str
) -> None:
    save(DRAFT.format(factor=2) + "\n@workflow\ndef other() -> int:\n    return 1\n")
    done = bench.flowctl("dev", *words, code=code)
    assert said in done.stderr
    assert f"\n  {hint}" in done.stderr or not hint
    assert "waiting" not in done.stderr
    assert bench.run_of(1) is None


def test_a_file_without_a_workflow_is_waited_for_with_the_hint(bench: Bench, save: Callable[[str], None]) -> None:
    save("")
    process = bench.spawn("dev", "draft.py", "n=1")
    first, second, _ = said_until_it_waits(process).splitlines()
    assert "defines no workflow" in first
    assert "  put @workflow above a function" == second
    end(process)


def test_a_failed_step_runs_again_after_its_mending(bench: Bench, save: Callable[[str], None]) -> None:
    save(DRAFT.format(factor="None"))
    process = bench.spawn("dev", "draft.py", "n=1")
    bench.in_state("failed", 1)
    save(DRAFT.format(factor=2))
    assert "4" == bench.in_state("succeeded", 2).output
    assert ["one", "two", "two"] == bench.ledger()
    said_until_it_waits(process, 2)
    end(process)


def test_a_ctrl_c_that_comes_when_the_run_has_just_ended_ends_it_too(
    quick: Callable[..., Outcome], save: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    conclude = foreground._conclude

    def interrupted(*words: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        conclude(*words)

    monkeypatch.setattr(foreground, "_conclude", interrupted)
    save(DRAFT.format(factor=2))
    assert "4\n" == quick("dev", "draft.py", "n=1").stdout
