"""A run that an idle executor begins at once: it is claimed in the commit that records the input of its first step."""

from __future__ import annotations

import contextlib
import os
import signal
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.engine import commands, forks, offers, timers
from flowctl.engine.engine import Engine
from flowctl.engine.observer import Change, RunChanged, StepChanged
from flowctl.engine.queues import change_queue
from flowctl.engine.supervisor import Supervisor
from tests.faults.hosted import Hosted, hosted, trouble, turn_until

SOURCE = """
import os, time
from pathlib import Path
from flowctl import current_run, step, workflow

HERE = Path(__file__).resolve().parent

@step
def work() -> int:
    with open(HERE / "ledger", "a") as ledger:
        ledger.write(f"{current_run().run} {os.getpid()}\\n")
    return os.getpid()

@workflow
def quick() -> int:
    while (HERE / "think").exists():
        time.sleep(0.005)
    if (HERE / "fatal").exists():
        with open(HERE / "deaths", "a") as deaths:
            deaths.write(".")
        os._exit(9)
    return work()
"""


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hosted]:
    monkeypatch.setattr(offers, "QUICK_S", 60)  # however slow the machine is
    monkeypatch.setattr(offers, "AHEAD_S", 60)
    with hosted() as host:
        yield host
        assert host.store.check(full=True) == []


@pytest.fixture
def heard() -> list[list[Change]]:
    """What observers hear, a list for each turn of the engine."""
    return [[]]


@pytest.fixture
def engine(host: Hosted, heard: list[list[Change]]) -> Iterator[Engine]:
    with host.engine(observer=lambda change: heard[-1].append(change)) as engine:
        yield engine


@pytest.fixture
def warm(host: Hosted, engine: Engine, tmp_path: Path) -> int:
    """Return a run that has ended, in an executor that idles now."""
    path = tmp_path / "quick.py"
    path.write_text(textwrap.dedent(SOURCE))
    number = host.submit(path)
    engine.drain()
    assert "succeeded" == host.store.runs.get(number).state
    return number


@pytest.fixture
def again(host: Hosted, engine: Engine, warm: int) -> Callable[[], int]:
    """Submit a run like it, and have the engine turn once."""

    def submit() -> int:
        number = host.again(warm)
        engine.tick()
        return number

    return submit


def pid_of(engine: Engine, number: int) -> int:
    executor = engine.sessions[number].executor
    assert executor is not None
    return executor.process.pid


def bodies(folder: Path) -> list[tuple[int, int]]:
    """Return the run and the process of each body that began."""
    return [(int(run), int(pid)) for run, pid in map(str.split, (folder / "ledger").read_text().splitlines())]


def test_one_commit_claims_the_run_and_records_its_first_input(
    host: Hosted, engine: Engine, again: Callable[[], int], heard: list[list[Change]], tmp_path: Path
) -> None:
    before = pid_of_idle(tmp_path)
    number = again()
    assert ("queued", "ahead") == (host.store.runs.get(number).state, engine.sessions[number].phase)

    def is_over() -> bool:
        heard.append([])  # for the next turn
        return not engine.busy

    turn_until(engine, is_over, seconds=20)
    begun = [[type(change) for change in turn if change.state == "running"] for turn in heard]  # type: ignore[union-attr]
    assert [RunChanged, StepChanged] in begun
    assert ("succeeded", 1) == (host.store.runs.get(number).state, host.store.runs.get(number).epoch)
    assert (number, before) == bodies(tmp_path)[-1]


def pid_of_idle(folder: Path) -> int:
    """Return the process of the only executor, which idles."""
    return bodies(folder)[-1][1]


def test_a_run_that_is_cancelled_before_it_is_claimed_does_nothing(
    host: Hosted, engine: Engine, again: Callable[[], int], tmp_path: Path
) -> None:
    number = again()
    executor = pid_of(engine, number)
    commands.cancel(host.store, number, SYSTEM_CLOCK.now())
    turn_until(engine, lambda: not engine.busy, seconds=20)
    assert "cancelled" == host.store.runs.get(number).state
    assert number not in dict(bodies(tmp_path))
    with pytest.raises(ProcessLookupError):  # it had begun: it is not given another run
        os.kill(executor, 0)
    later = again()
    turn_until(engine, lambda: not engine.busy, seconds=20)
    assert "succeeded" == host.store.runs.get(later).state


def test_c02_a_run_that_another_engine_takes_before_it_is_claimed_is_left_to_it(
    host: Hosted, engine: Engine, again: Callable[[], int], tmp_path: Path
) -> None:
    number = again()
    with contextlib.closing(Supervisor()) as executors, Engine(host.store, executors) as other:
        with host.store.transaction():
            assert host.store.runs.claim(number, other.id, SYSTEM_CLOCK.now(), SYSTEM_CLOCK.now()) is not None
        turn_until(engine, lambda: not engine.busy, seconds=20)
        assert ("running", other.id) == (host.store.runs.get(number).state, host.store.runs.get(number).engine_id)
        assert number not in dict(bodies(tmp_path))


def test_a_run_that_says_nothing_for_long_is_claimed_all_the_same(
    host: Hosted,
    engine: Engine,
    warm: int,
    again: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(offers, "AHEAD_S", 0.02)
    (tmp_path / "think").touch()
    number = again()
    turn_until(engine, lambda: host.store.runs.get(number).state == "running", seconds=20)
    (tmp_path / "think").unlink()
    turn_until(engine, lambda: not engine.busy, seconds=20)
    assert [warm, number] == [run for run, _ in bodies(tmp_path)]


def test_a_run_whose_executor_dies_before_it_is_claimed_begins_in_another(
    host: Hosted, engine: Engine, again: Callable[[], int], tmp_path: Path
) -> None:
    (tmp_path / "think").touch()
    number = again()
    os.kill(pid_of(engine, number), signal.SIGKILL)
    (tmp_path / "think").unlink()
    turn_until(engine, lambda: host.store.runs.get(number).state == "succeeded", seconds=20)
    run = host.store.runs.get(number)
    assert (1, 0) == (run.epoch, run.crashes)
    assert 2 == len({pid for _, pid in bodies(tmp_path)})


def test_a_run_that_ends_its_executors_does_not_end_all_that_idle(host: Hosted, engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "quick.py"
    path.write_text(textwrap.dedent(SOURCE))
    (tmp_path / "think").touch()
    first = host.submit(path)
    for _ in range(3):
        host.again(first)
    turn_until(engine, lambda: ["running"] * 4 == [each.phase for each in engine.sessions.values()], seconds=20)
    (tmp_path / "think").unlink()
    turn_until(engine, lambda: not engine.busy, seconds=20)
    (tmp_path / "fatal").touch()
    number = host.again(first)
    engine.look_for_runs()
    turn_until(engine, lambda: host.store.runs.get(number).state == "failed", seconds=20)
    assert ".." == (tmp_path / "deaths").read_text()  # the one that had it ahead of the claim, and the one after that


def test_a_run_stays_queued_when_the_engine_stops_before_it_is_claimed(
    host: Hosted, engine: Engine, again: Callable[[], int], tmp_path: Path
) -> None:
    (tmp_path / "think").touch()
    number = again()
    engine.stop()
    (tmp_path / "think").unlink()
    turn_until(engine, lambda: not engine.busy, seconds=20)
    assert ("queued", 0) == (host.store.runs.get(number).state, host.store.runs.get(number).epoch)
    assert number not in dict(bodies(tmp_path))


@pytest.mark.parametrize("presses", [1, 2])
def test_g12_an_engine_that_is_stopped_at_once_does_not_wait_for_a_run_that_is_not_claimed(
    host: Hosted,
    engine: Engine,
    again: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    presses: int,
) -> None:
    monkeypatch.setattr(offers, "AHEAD_S", 0.02)
    (tmp_path / "think").touch()
    number = again()
    for _ in range(presses):
        engine.stop()
    turn_until(engine, lambda: not engine.busy, seconds=20)
    assert "queued" == host.store.runs.get(number).state


def test_f01_a_run_of_a_queue_with_limits_is_claimed_before_it_begins(
    host: Hosted, engine: Engine, again: Callable[[], int]
) -> None:
    change_queue(host.store, "default", "default", {"concurrency": 1}, SYSTEM_CLOCK.now())
    number = again()
    assert ("running", "running") == (host.store.runs.get(number).state, engine.sessions[number].phase)
    turn_until(engine, lambda: not engine.busy, seconds=20)


def test_a_fork_is_claimed_before_it_begins_as_what_it_shares_has_to_be_told_first(
    host: Hosted, engine: Engine, warm: int, tmp_path: Path
) -> None:
    last = host.store.steps.of_run(warm)[-1]
    number = forks.fork(host.store, warm, SYSTEM_CLOCK.now(), forks.Fork("ada", last, output="7"))
    engine.tick()
    assert ("running", pid_of_idle(tmp_path)) == (engine.sessions[number].phase, pid_of(engine, number))
    turn_until(engine, lambda: not engine.busy, seconds=20)
    assert ("succeeded", "7") == (host.store.runs.get(number).state, host.store.runs.get(number).output)


FAMILY = """
from flowctl import step, workflow

@step
def work(n: int) -> int:
    return n

@workflow
def child(n: int) -> int:
    return work(n)

@workflow
def parent() -> int:
    return child(1) + child(2) + child(3)
"""


def test_f06_a_parent_whose_child_is_begun_ahead_keeps_its_executor(
    host: Hosted, engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(timers, "HOLD_MS", 60_000)  # however slowly the first child begins
    path = tmp_path / "parent.py"
    path.write_text(textwrap.dedent(FAMILY))
    number = host.submit(path)
    engine.drain()
    assert ("succeeded", 1) == (host.store.runs.get(number).state, host.store.runs.get(number).epoch)


def test_two_runs_for_one_idle_executor_have_an_executor_each(
    host: Hosted, engine: Engine, warm: int, tmp_path: Path
) -> None:
    runs = [host.again(warm), host.again(warm)]
    engine.tick()
    assert {"ahead", "loading"} == {engine.sessions[number].phase for number in runs}
    turn_until(engine, lambda: not engine.busy, seconds=20)
    assert dict.fromkeys(runs, "succeeded") == {number: host.store.runs.get(number).state for number in runs}
    assert sorted(run for run, _ in bodies(tmp_path)) == [warm, *runs]


@pytest.mark.parametrize("after_commit", [False, True])
@pytest.mark.parametrize("fails", [1, 2, 3])
def test_b02_b03_a_run_is_begun_once_whichever_commit_fails(
    host: Hosted,
    engine: Engine,
    warm: int,
    tmp_path: Path,
    after_commit: bool,
    fails: int,
) -> None:
    number = host.again(warm)
    with trouble(host.store, lambda count: count == fails, after_commit=after_commit) as failed:
        engine.tick()
        turn_until(engine, lambda: not engine.busy and host.store.runs.get(number).state == "succeeded", seconds=20)
    assert failed[0] >= fails
    assert [warm, number] == [run for run, _ in bodies(tmp_path)]
