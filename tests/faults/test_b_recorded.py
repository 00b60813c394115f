"""B: a step has one outcome, recorded once, whatever fails or races while it is recorded."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import DiskTrouble
from flowctl.core.model import FINAL_STATES
from flowctl.engine import commands
from flowctl.engine import engine as engine_module
from flowctl.engine.claiming import Role
from flowctl.store import Store
from tests.faults.conftest import Bench, dead
from tests.faults.hosted import MovedClock, hosted, summary, trouble
from tests.faults.seen import CHAIN, ONCE, WAITING, attempts_of

EVERYTHING = """
@step(retries=1, backoff=0)
def flaky(run: int) -> int:
    note(f"flaky {run}")
    if (HERE / "ledger").read_text().split("\\n").count(f"flaky {run}") == 1:
        raise OSError("once")
    return 2

@step
def plain(run: int, n: int) -> int:
    note(f"plain {run}")
    return n

@workflow
def child(run: int) -> int:
    return plain(run, 5)

@workflow
def everything() -> int:
    run = current_run().run
    total = sum(gather(plain.bind(run, 1), plain.bind(run, 1)))
    sleep("5m")
    return total + flaky(run) + child(run)
"""
BODIES = {"plain": 3, "flaky": 2}
SUMMARY = (
    "succeeded",
    dict.fromkeys(["plain", "plain#2", "sleep", "flaky", "child"], "succeeded"),
    {"flaky": ["failed"]},
)


HURRIED = Role(poll_s=0.005)  # as the clock runs fast


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have engines of this process try again soon."""
    monkeypatch.setattr(engine_module, "TROUBLE_WAIT_S", 0.005)


def _follow_under_trouble(bench: Bench, after_commit: bool) -> int:
    """Work on one run for each write (or commit) there is, with trouble at that one; return how many there are."""
    clock = MovedClock(speed=30_000)
    with hosted() as host, host.engine(clock, role=HURRIED) as engine:
        number = host.submit(bench.write("everything.py", EVERYTHING))
        for nth in range(1, 500):
            with trouble(host.store, nth.__eq__, after_commit=after_commit) as count:
                run = engine.follow(number)
            assert (nth, run.output, run.error) == (nth, "9", None)
            assert (nth, *summary(host.store, run)) == (nth, *SUMMARY)
            noted = Counter(line.split()[0] for line in bench.ledger() if line.split()[1] == str(number))
            assert (nth, noted) == (nth, BODIES)
            states = [event.state for event in host.store.events.of_run(number)]
            assert (nth, states.count("succeeded")) == (nth, 1)
            if count[0] < nth:
                return nth
            number = host.again(number)
    raise AssertionError("the run never ended without trouble")


def test_b02_whichever_write_fails_once_nothing_is_lost_and_no_body_runs_twice(bench: Bench, hurried: None) -> None:
    assert _follow_under_trouble(bench, after_commit=False) > 25


def test_b03_a_commit_that_happened_although_it_was_reported_as_failed_is_not_done_again(
    bench: Bench, hurried: None
) -> None:
    assert _follow_under_trouble(bench, after_commit=True) > 8


def test_b03_a_run_that_was_freed_by_such_a_commit_goes_on_where_it_is_watched(bench: Bench, tmp_path: Path) -> None:
    bench.write(
        "waits.py",
        """
        @step
        def wait() -> str:
            note("begun")
            while not (HERE / "enough").exists():
                time.sleep(0.01)
            return "done"

        @workflow
        def waits() -> str:
            return wait()
        """,
    )
    dies = bench.spawn("run", "waits.py")
    bench.wait_for(lambda: bench.ledger() == ["begun"])
    bench.freeze(dies.pid)
    (tmp_path / "enough").touch()

    watched = threading.Event()

    def die() -> None:
        assert watched.wait(60)
        dies.kill()

    lost: list[int] = []

    def once_it_is_dead(number: int) -> bool:
        if lost or dies.poll() is None:
            return False
        lost.append(number)
        return True

    killer = threading.Thread(target=die)
    with (
        hosted() as host,
        host.engine(on_idle=watched.set) as engine,
        trouble(host.store, once_it_is_dead, after_commit=True),
    ):
        killer.start()
        assert '"done"' == engine.follow(1).output
    killer.join()
    assert 1 == len(lost)


def test_b02_with_a_disk_that_fails_for_good_nothing_half_is_recorded_and_a_second_ctrl_c_leaves(
    bench: Bench, hurried: None
) -> None:
    with hosted() as host:
        number = host.submit(bench.write("chain.py", CHAIN))
        with host.engine(role=HURRIED) as engine, trouble(host.store, lambda _: bool(bench.ledger())):
            threading.Thread(target=_stop_twice, args=(engine, bench)).start()
            with pytest.raises(DiskTrouble):
                engine.follow(number)
        steps = {step.key: (step.state, step.output) for step in host.store.steps.of_run(number)}
        assert steps == {"one": ("interrupted", None)}
    assert bench.flowctl("resume", 1).json == 4
    assert Counter(bench.ledger()) == ONCE | {"one": 2}


def _stop_twice(engine: engine_module.Engine, bench: Bench) -> None:
    bench.wait_for(bench.ledger)
    engine.stop()
    time.sleep(0.05)
    engine.stop()


SLOW = """
@step(retries=1, backoff=0, timeout="1h")
def slow() -> int:
    note(str(os.getpid()))
    if len((HERE / "ledger").read_text().split()) == 1:
        time.sleep(300)
    return 1

@workflow
def slowly() -> int:
    return slow()
"""


def test_b02_a_timeout_whose_record_fails_still_ends_the_old_attempt_before_the_next(
    bench: Bench, hurried: None
) -> None:
    path = bench.write("slowly.py", SLOW)
    for nth in range(8, 15):  # the writes around the timeout
        clock = MovedClock()

        def pass_time(clock: MovedClock = clock) -> None:
            clock.passed_s = 3_600 if bench.ledger() else 0

        with hosted() as host, host.engine(clock, role=HURRIED, on_idle=pass_time) as engine:
            (path.parent / "ledger").unlink(missing_ok=True)
            number = host.submit(path)
            with trouble(host.store, nth.__eq__) as count:
                assert engine.follow(number).output == "1"
            first, second = map(int, bench.ledger())
            assert (nth, count[0] >= nth, dead(first)) == (nth, True, True)
            assert first != second


UNSTORABLE = """
import socket

@step(retries=3, backoff=0)
def connect() -> object:
    note("connected")
    return {"peers": [socket.socket()]}

@workflow
def unstorable() -> None:
    connect()
"""


def test_b04_a_result_that_cannot_be_stored_fails_the_step_at_once_because_its_effect_is_done(bench: Bench) -> None:
    bench.flowctl("run", bench.write("unstorable.py", UNSTORABLE), code=1)

    step = bench.shown()["by_key"]["connect"]
    assert bench.ledger() == ["connected"]
    assert (step["state"], step["output"], len(step["attempts"])) == ("failed", None, 1)
    assert "$.peers[0]" in step["error"]["message"]


def test_b05_of_many_who_run_under_one_key_all_get_the_same_run(bench: Bench, tmp_path: Path) -> None:
    path = bench.write("waiting.py", WAITING)

    processes = [bench.spawn("--json", "run", path, "--key", "nightly") for _ in range(6)]
    bench.wait_for(lambda: bench.ledger() == ["held"])
    (tmp_path / "go").touch()
    said = [process.communicate()[0] for process in processes]

    assert [process.returncode for process in processes] == [0] * 6
    assert {(run["run"], run["output"]) for run in map(json.loads, said)} == {(1, 7)}
    assert bench.ledger() == ["held"]
    assert len(bench.flowctl("ls", "--json").json) == 1


def test_b05_b06_a_key_stays_with_its_run_and_its_input(bench: Bench) -> None:
    path = bench.write("chain.py", CHAIN)

    assert bench.flowctl("run", path, "--key", "nightly").json == 4
    again = bench.flowctl("run", path, "--key", "nightly")
    other = bench.flowctl("run", path, "nap=1", "--key", "nightly", code=5)

    assert (again.json, "run 1" in again.stderr, "run 1" in other.stderr) == (4, True, True)
    assert Counter(bench.ledger()) == ONCE
    assert len(bench.flowctl("ls", "--json").json) == 1


SHORT = """
@step
def work() -> None:
    time.sleep(0.02)

@workflow(timeout="250ms")
def short() -> None:
    work()
    work()
"""


def test_b07_whoever_wins_between_end_cancel_and_timeout_there_is_one_final_state(bench: Bench, hurried: None) -> None:
    seen = set()
    with hosted() as host, host.engine(role=HURRIED) as engine:
        first = number = host.submit(bench.write("short.py", SHORT))
        for delay in (-1, *(round_ * 0.025 for round_ in range(14)), 60):
            if delay < 0:
                commands.cancel(host.store, number, SYSTEM_CLOCK.now())
            canceller = threading.Timer(max(delay, 0), _cancel, (host.store.path, number))
            canceller.start()
            run = engine.follow(number)
            if delay == 60:
                canceller.cancel()
            canceller.join()
            seen.add(run.state)
            states = [event.state for event in host.store.events.of_run(number)]
            assert [state for state in states if state in FINAL_STATES] == [run.state]
            assert states[-1] == run.state == host.store.runs.get(number).state
            assert all(step.finished_at for step in host.store.steps.of_run(number))
            number = host.again(first)
    assert "cancelled" in seen
    assert len(seen) > 1


def _cancel(path: str, number: int) -> None:
    with Store.open(path) as store:
        commands.cancel(store, number, SYSTEM_CLOCK.now())


TWICE = """
@step
def second_time() -> str:
    note("tried")
    if len((HERE / "ledger").read_text().split()) == 1:
        raise OSError("once")
    while not (HERE / "go").exists():
        time.sleep(0.01)
    return "done"

@workflow
def twice() -> str:
    return second_time()
"""


def test_b09_a_retry_from_two_shells_is_one_new_attempt(bench: Bench, tmp_path: Path) -> None:
    bench.flowctl("run", bench.write("twice.py", TWICE), code=1)

    shells = [bench.spawn("retry", 1) for _ in range(2)]
    bench.wait_for(lambda: any(shell.poll() is not None for shell in shells))
    (tmp_path / "go").touch()
    for shell in shells:
        shell.communicate()

    assert sorted(shell.returncode for shell in shells) == [0, 5]
    assert bench.ledger() == ["tried"] * 2
    said = bench.shown()
    assert (said["state"], said["attempt"]) == ("succeeded", 2)
    assert attempts_of(said) == {"second_time": ["failed", "succeeded"]}


PAYMENT = """
@step(on_crash="block")
def pay() -> str:
    note("paid")
    if len((HERE / "ledger").read_text().split()) == 1:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    return "receipt"

@workflow
def payment() -> str:
    return pay()
"""


def test_b13_a_step_that_may_run_at_most_once_is_never_run_again_by_itself(bench: Bench) -> None:
    bench.flowctl("run", bench.write("payment.py", PAYMENT), code=-signal.SIGKILL)

    refused = bench.flowctl("resume", 1, code=5)
    bench.flowctl("run", bench.write("chain.py", CHAIN))  # neither by an engine that works on something else

    said = bench.shown()
    assert "blocked" in refused.stderr
    assert said["state"] == "blocked"
    assert '"pay"' in said["reason"]
    assert bench.ledger().count("paid") == 1
    assert bench.flowctl("retry", 1).json == "receipt"  # a person has decided
    assert bench.ledger().count("paid") == 2


def test_b13_started_and_never_run_is_an_unknown_outcome_too(bench: Bench) -> None:
    armed = {"FLOWCTL_TESTING": "1", "FLOWCTL_FAILPOINT": "step-running:kill"}
    bench.flowctl("run", bench.write("payment.py", PAYMENT), code=-signal.SIGKILL, **armed)

    bench.flowctl("resume", 1, code=5)

    assert bench.shown()["state"] == "blocked"
    assert bench.ledger() == []
