"""Many runs of one file, one after the other in the same executors: each begins without waiting for the engine."""

from __future__ import annotations

import contextlib
import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.model import Claim, NewStep, Step
from flowctl.engine import commands, forks, offers
from flowctl.engine.claiming import Role
from flowctl.engine.engine import Engine
from flowctl.engine.observer import Change, RunChanged
from flowctl.engine.supervisor import Supervisor
from flowctl.store import Store
from tests.faults.hosted import Hosted, hosted, trouble, turn_until

SOURCE = """
import os, time
from pathlib import Path
from flowctl import current_run, step, workflow

HERE = Path(__file__).resolve().parent

@step
def work(text: str) -> str:
    with open(HERE / "ledger", "a") as ledger:
        ledger.write(f"{current_run().run} {os.getpid()}\\n")
    for name in ("slow", "fatal"):
        if (HERE / f"{name}-{current_run().run}").exists():
            (HERE / f"begun-{current_run().run}").touch()
            while name == "slow" and (HERE / f"slow-{current_run().run}").exists():
                time.sleep(0.005)
            if name == "fatal":
                os._exit(9)
    return text

@workflow
def quick(text: str) -> str:
    return work(text)
"""


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hosted]:
    monkeypatch.setattr(offers, "QUICK_S", 60)  # however slow the machine is
    monkeypatch.setattr(offers, "WITHDRAW_S", 60)
    with hosted() as host:
        yield host
        assert host.store.check(full=True) == []


@pytest.fixture
def submit(host: Hosted, tmp_path: Path):
    """Submit so many runs of the workflow above."""

    def submit(count: int) -> list[int]:
        path = tmp_path / "quick.py"
        path.write_text(textwrap.dedent(SOURCE))
        first = host.submit(path, text="x")
        return [first, *(host.again(first) for _ in range(count - 1))]

    return submit


def ledger(directory: Path) -> list[tuple[int, int]]:
    """Return the run and the process of each body that began."""
    return [(int(line.split()[0]), int(line.split()[1])) for line in (directory / "ledger").read_text().splitlines()]


def offers_of(engine: Engine) -> list[int]:
    return [
        session.executor.offer.run_id
        for session in engine.sessions.values()
        if session.executor is not None and session.executor.offer is not None
    ]


def states(host: Hosted, runs: list[int]) -> dict[str, int]:
    return dict(Counter(host.store.runs.get(run).state for run in runs))


def test_every_run_is_worked_on_once_and_by_as_few_executors_as_may_be(host: Hosted, submit, tmp_path: Path) -> None:
    runs = submit(40)
    with host.engine(role=Role(capacity=2)) as engine:
        engine.drain()
    assert states(host, runs) == {"succeeded": 40}
    assert sorted(run for run, _ in ledger(tmp_path)) == runs
    assert len({pid for _, pid in ledger(tmp_path)}) == 2


def test_no_place_stays_empty_while_runs_are_due(host: Hosted, submit, tmp_path: Path) -> None:
    runs = submit(200)
    with host.engine(role=Role(capacity=2)) as engine:
        engine.drain()
    shares = Counter(pid for _, pid in ledger(tmp_path))
    assert len(shares) == 2
    assert min(shares.values()) > len(runs) / 10  # the second one had to be started


def test_one_commit_ends_a_run_and_begins_the_next(host: Hosted, submit) -> None:
    runs = submit(30)
    heard: list[list[Change]] = [[]]

    def observe(change: Change) -> None:
        heard[-1].append(change)

    with host.engine(role=Role(capacity=1), observer=observe) as engine:
        while states(host, runs) != {"succeeded": 30}:
            engine.tick()
            heard.append([])
            engine.listen(engine.timeout())
    both = [
        tick
        for tick in heard
        if {each.state for each in tick if isinstance(each, RunChanged)} >= {"succeeded", "running"}
    ]
    assert len(both) > 20


def test_an_offered_run_that_is_cancelled_never_runs(host: Hosted, submit, tmp_path: Path) -> None:
    runs = submit(12)
    with host.engine(role=Role(capacity=1)) as engine:
        turn_until(engine, lambda: offers_of(engine), seconds=60)
        offered = offers_of(engine)[0]
        assert commands.cancel(host.store, offered, SYSTEM_CLOCK.now()).state == "cancelled"
        engine.drain()
    assert states(host, runs) == {"succeeded": 11, "cancelled": 1}
    assert offered not in {run for run, _ in ledger(tmp_path)}
    assert host.store.steps.of_run(offered) == []


def test_an_offered_run_that_another_engine_has_had_meanwhile_goes_on_with_its_record(
    host: Hosted, submit, tmp_path: Path
) -> None:
    runs = submit(3)
    (tmp_path / f"slow-{runs[1]}").touch()
    with host.engine(role=Role(capacity=1)) as engine:
        turn_until(engine, lambda: offers_of(engine) == [runs[2]], seconds=60)
        with contextlib.closing(Supervisor()) as executors, Engine(host.store, executors) as other:
            begin_and_release(host.store, runs[2], other.id, like=host.store.steps.of_run(runs[0])[0])
        (tmp_path / f"slow-{runs[1]}").unlink()
        engine.drain()
    assert states(host, runs) == {"succeeded": 3}
    assert runs[2] not in dict(ledger(tmp_path))


def begin_and_release(store: Store, number: int, engine_id: int, like: Step) -> None:
    """Record the first step of a run, and queue it for the next engine, as a daemon does that is stopped."""
    now = SYSTEM_CLOCK.now()
    with store.transaction():
        held = store.runs.claim(number, engine_id, now)
        assert held is not None
        claim = Claim(number, held.epoch)
        step = NewStep(like.seq, like.key, like.name, like.kind, like.input, like.input_hash, like.source_hash)
        store.steps.begin(claim, step, now)
        store.steps.succeed(claim, like.key, '"x"', now)
        store.runs.release(claim, now, "queued")


def test_a_fork_is_not_offered_as_what_it_shares_has_to_be_told_first(host: Hosted, submit, tmp_path: Path) -> None:
    first, held = submit(2)
    (tmp_path / f"slow-{held}").touch()
    with host.engine(role=Role(capacity=1)) as engine:
        turn_until(engine, lambda: (tmp_path / f"begun-{held}").exists(), seconds=60)
        last = host.store.steps.of_run(first)[-1]
        fork = forks.fork(host.store, first, SYSTEM_CLOCK.now(), forks.Fork("ada", last, output='"said"'))
        engine.look_for_runs()
        engine.tick()
        (tmp_path / f"slow-{held}").unlink()
        engine.drain()
    run = host.store.runs.get(fork)
    assert ("succeeded", '"said"') == (run.state, run.output)


def test_an_offered_run_need_not_wait_for_a_slow_one(
    host: Hosted, submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offers, "WITHDRAW_S", 0.1)
    runs = submit(8)
    slow = runs[4]
    (tmp_path / f"slow-{slow}").touch()
    with host.engine(role=Role(capacity=2)) as engine:
        turn_until(engine, lambda: states(host, runs) == {"succeeded": 7, "running": 1}, seconds=60)
        (tmp_path / f"slow-{slow}").unlink()
        engine.drain()
    assert states(host, runs) == {"succeeded": 8}
    assert sorted(run for run, _ in ledger(tmp_path)) == runs


def test_a_run_offered_to_an_executor_that_dies_runs_elsewhere(host: Hosted, submit, tmp_path: Path) -> None:
    runs = submit(8)
    (tmp_path / f"fatal-{runs[4]}").touch()
    with host.engine(role=Role(capacity=1)) as engine:
        engine.drain()
    assert states(host, runs) == {"succeeded": 7, "failed": 1}
    assert host.store.runs.get(runs[4]).state == "failed"
    assert sorted(run for run, _ in ledger(tmp_path)) == runs


def test_what_was_on_offer_stays_queued_when_the_engine_stops(host: Hosted, submit) -> None:
    runs = submit(12)
    with host.engine(role=Role(capacity=1)) as engine:
        turn_until(engine, lambda: offers_of(engine), seconds=60)
        engine.stop()
        engine.drain()
    found = states(host, runs)
    assert set(found) <= {"succeeded", "paused", "queued"}
    assert found["queued"] >= 8
    assert found.get("paused", 0) <= 1


@pytest.mark.parametrize("after_commit", [False, True])
def test_b02_b03_no_run_is_lost_or_done_twice_while_commits_fail(
    host: Hosted, submit, tmp_path: Path, after_commit: bool
) -> None:
    runs = submit(25)
    with host.engine(role=Role(capacity=1)) as engine:
        turn_until(engine, lambda: offers_of(engine), seconds=60)
        with trouble(host.store, lambda count: count % 7 == 3, after_commit=after_commit) as failed:
            turn_until(engine, lambda: failed[0] > 120 or states(host, runs) == {"succeeded": 25}, seconds=60)
        engine.drain()
    assert states(host, runs) == {"succeeded": 25}
    assert failed[0] > 10
    assert sorted(run for run, _ in ledger(tmp_path)) == runs
