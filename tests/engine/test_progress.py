"""What a body tells while it runs: how far it is, and what it has begun elsewhere."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from flowctl import NotFinished, StepFailed, external_id, progress, step
from flowctl.cli.bars import bar
from flowctl.core.progress import Progress
from flowctl.sdk.errors import DefinitionError
from flowctl.sdk.meter import INTERVAL_S
from tests.faults.conftest import Bench

WORK = """
@step
def copy(count: int) -> int:
    for done in range(count):
        progress(done + 1, count, f"file {done + 1}")
        if not (HERE / "go").exists() and done == count // 2:
            note("half")
            while not (HERE / "go").exists():
                time.sleep(0.01)
    return count

@workflow
def copies(count: int = 4) -> int:
    return copy(count)

@workflow
def side_by_side(count: int = 4) -> list[int]:
    return gather(copy.bind(count), copy.bind(count * 2))

def came_of(batch: str) -> str:
    note(f"asked about {batch}")
    if (HERE / "lost").exists():
        raise NotFinished(batch)
    if (HERE / "unreachable").exists() and not (HERE / "asked").exists():
        (HERE / "asked").touch()
        raise OSError("unreachable")
    return f"{batch} has finished"

@step(reconcile=came_of, retries=2, backoff="10ms")
def submit(text: str) -> str:
    note(f"submit {text}")
    external_id(f"batch {text}")
    note("saved")
    while not (HERE / "go").exists():
        time.sleep(0.01)
    return f"{text} was waited for"

@workflow
def batch(text: str = "7") -> str:
    return submit(text)

@step(reconcile=came_of, retries=1, backoff="10ms", timeout="3s")
def slow(text: str) -> str:
    external_id(f"batch {text}")
    time.sleep(300)

@workflow
def timed(text: str = "8") -> str:
    return slow(text)

@step(pure=True)
def pure_one() -> None:
    external_id("x")

@workflow
def pure() -> None:
    pure_one()

@workflow
def misplaced() -> None:
    progress(1)
"""


def test_progress_is_recorded_while_the_body_runs_and_its_last_word_stays(bench: Bench, tmp_path: Path) -> None:
    bench.write("work.py", WORK)
    engine = bench.spawn("run", "work.py:copies")

    def recorded() -> Any:
        return bench.shown()["by_key"]["copy"]["progress"]

    bench.wait_for(lambda: "half" in bench.ledger())
    bench.wait_for(lambda: recorded() == {"done": 3, "total": 4, "text": "file 3"})
    assert "75% 3/4  file 3" in bench.flowctl("show", 1).stdout
    (tmp_path / "go").touch()
    assert 0 == engine.wait(timeout=60)
    assert {"done": 4, "total": 4, "text": "file 4"} == recorded()
    assert "100% 4/4  file 4" in bench.flowctl("show", 1, "copy").stdout


def test_progress_that_is_told_without_end_reaches_the_file_a_few_times_a_second(bench: Bench, tmp_path: Path) -> None:
    bench.write("work.py", WORK)
    (tmp_path / "go").touch()
    said = bench.flowctl("run", "work.py:side_by_side", "count=20000", "--verbose").stderr
    assert 20000 == bench.shown()["by_key"]["copy"]["progress"]["done"]
    assert 40000 == bench.shown()["by_key"]["copy#2"]["progress"]["done"]
    assert said.count("file ") < 2 * bench.shown()["duration_ms"] / (INTERVAL_S * 1_000) + 10


def test_g06_killed_after_an_external_id_was_saved_the_work_is_asked_about_and_not_begun_again(bench: Bench) -> None:
    bench.write("work.py", WORK)
    engine = bench.spawn("run", "work.py:batch")
    bench.wait_for(lambda: "saved" in bench.ledger())
    assert "batch 7" == bench.shown()["by_key"]["submit"]["external_id"]
    engine.send_signal(signal.SIGKILL)
    engine.wait()
    bench.flowctl("resume", 1)
    assert ["submit 7", "saved", "asked about batch 7"] == bench.ledger()
    shown = bench.shown()
    assert "batch 7 has finished" == shown["output"]
    assert ["interrupted", "succeeded"] == [each["state"] for each in shown["by_key"]["submit"]["attempts"]]


def test_g06_work_that_has_not_finished_is_begun_again(bench: Bench, tmp_path: Path) -> None:
    bench.write("work.py", WORK)
    engine = bench.spawn("run", "work.py:batch")
    bench.wait_for(lambda: "saved" in bench.ledger())
    engine.kill()
    engine.wait()
    (tmp_path / "lost").touch()
    (tmp_path / "go").touch()
    bench.flowctl("resume", 1)
    assert ["submit 7", "saved", "asked about batch 7", "submit 7", "saved"] == bench.ledger()
    assert "7 was waited for" == bench.shown()["output"]


def test_g06_a_question_that_fails_is_a_failed_attempt_and_is_asked_again(bench: Bench, tmp_path: Path) -> None:
    bench.write("work.py", WORK)
    engine = bench.spawn("run", "work.py:batch")
    bench.wait_for(lambda: "saved" in bench.ledger())
    engine.kill()
    engine.wait()
    (tmp_path / "unreachable").touch()
    bench.flowctl("resume", 1)
    assert ["submit 7", "saved", "asked about batch 7", "asked about batch 7"] == bench.ledger()
    attempts = [each["state"] for each in bench.shown()["by_key"]["submit"]["attempts"]]
    assert ["interrupted", "failed", "succeeded"] == attempts


def test_g06_an_attempt_that_timed_out_is_asked_about_too(bench: Bench) -> None:
    bench.write("work.py", WORK)
    bench.flowctl("run", "work.py:timed")
    assert "batch 8 has finished" == bench.shown()["output"]
    assert ["asked about batch 8"] == bench.ledger()


def test_an_external_id_of_a_pure_step_is_refused(bench: Bench) -> None:
    bench.write("work.py", WORK)
    bench.flowctl("run", "work.py:pure", code=1)
    assert "works only in a step that is not pure" in bench.shown()["error"]["message"]


def test_progress_belongs_into_a_step(bench: Bench) -> None:
    bench.write("work.py", WORK)
    bench.flowctl("run", "work.py:misplaced", code=1)
    assert "progress() works only in a step" == bench.shown()["error"]["message"]


def test_outside_of_runs_both_do_nothing() -> None:
    progress(1, 2, "half")
    external_id("x")
    assert issubclass(NotFinished, Exception)
    assert not issubclass(NotFinished, StepFailed)


@pytest.mark.parametrize("wrong", [-1, float("nan"), True, "3"])
def test_progress_takes_numbers_from_0(wrong: Any) -> None:
    with pytest.raises(ValueError, match="not a number from 0"):
        progress(wrong)


def test_a_pure_step_has_nothing_to_reconcile() -> None:
    with pytest.raises(DefinitionError, match="nothing to reconcile"):
        step(pure=True, reconcile=str)(lambda: None)


@pytest.mark.parametrize(
    ("progress", "shown"),
    [
        (Progress(5, 10), "[##########..........] 50% 5/10"),
        (Progress(30, 10, "more\x1b"), "[####################] 100% 30/10  more\\x1b"),
        (Progress(1.5, None, "GB"), "1.5  GB"),
        (Progress(0, 0), "0"),
    ],
)
def test_a_bar_says_how_much_of_how_much(progress: Progress, shown: str) -> None:
    assert shown == bar(progress, drawn=False)
