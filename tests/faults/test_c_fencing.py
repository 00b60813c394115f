"""C: one engine at a time has a run. What lost it changes nothing more; what is alive keeps it, whatever clocks say."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.config import default_database
from flowctl.engine.recovery import recover_store
from flowctl.store import Store
from tests.faults.conftest import Bench, alive, dead
from tests.faults.hosted import MovedClock, hosted
from tests.faults.seen import CHAIN, CUT, DONE, ONCE, WAITING, attempts_of, stopped

HOUR_MS = 3_600_000


def test_c01_an_engine_that_wakes_after_its_run_was_stolen_and_finished_changes_nothing(bench: Bench) -> None:
    armed = {"FLOWCTL_TESTING": "1", "FLOWCTL_FAILPOINT": "result-read@2:stop"}
    stale = bench.spawn("run", bench.write("chain.py", CHAIN), **armed)
    bench.wait_for(lambda: stopped(stale.pid))

    assert bench.flowctl("resume", 1, "--steal").json == 4
    stolen = bench.shown()
    stale.send_signal(signal.SIGCONT)
    out, err = stale.communicate(timeout=60)

    assert (stale.returncode, out) == (5, "")
    assert "fenced" in err
    assert "taken over" in err
    assert bench.shown() == stolen
    assert attempts_of(stolen) == DONE | {"one": CUT}
    assert Counter(bench.ledger()) == ONCE | {"one": 2}
    with bench.store() as store:
        assert [event.state for event in store.events.of_run(1)] == [
            "queued",
            "running",
            "queued",
            "running",
            "succeeded",
        ]


TWO = """
@step
def one() -> int:
    note("one")
    tries = len((HERE / "ledger").read_text().split())
    while tries == 2 and not (HERE / "go").exists():
        time.sleep(0.01)
    return tries

@workflow
def both() -> int:
    return one()
"""


def test_c01_an_engine_that_wakes_while_another_works_on_its_run_does_not_answer_for_it(
    bench: Bench, tmp_path: Path
) -> None:
    armed = {"FLOWCTL_TESTING": "1", "FLOWCTL_FAILPOINT": "result-read@2:stop"}
    stale = bench.spawn("run", bench.write("both.py", TWO), **armed)
    bench.wait_for(lambda: stopped(stale.pid))
    thief = bench.spawn("resume", 1, "--steal")
    bench.wait_for(lambda: bench.ledger() == ["one", "one"])

    stale.send_signal(signal.SIGCONT)
    assert stale.wait(timeout=60) == 5
    assert (bench.shown()["state"], thief.poll()) == ("running", None)
    (tmp_path / "go").touch()

    out, _ = thief.communicate(timeout=60)
    assert (thief.returncode, out.strip()) == (0, "2")
    assert bench.shown()["by_key"]["one"]["output"] == 2


FAMILY = """
@step
def held(n: int) -> int:
    note(f"pid {os.getpid()}")
    if len((HERE / "ledger").read_text().split()) == 2:
        time.sleep(300)
    return n

@workflow
def child(n: int) -> int:
    return held(n)

@workflow
def family() -> int:
    return child(3) + held(4)
"""


def test_c01_stealing_from_an_engine_that_is_not_stuck_takes_the_family_and_counts_no_failure(bench: Bench) -> None:
    robbed = bench.spawn("run", f"{bench.write('family.py', FAMILY)}:family")
    first = bench.noted("pid")[0]

    bench.in_state("waiting")

    assert bench.flowctl("resume", 1, "--steal").json == 7

    assert dead(first)
    assert attempts_of(bench.shown(2)) == {"held": CUT}
    out, _ = robbed.communicate(timeout=60)
    assert (robbed.returncode, out.strip()) == (0, "7")  # it was waiting for the parent, which nobody took from it
    assert attempts_of(bench.shown(1)) == {"child": ["succeeded"], "held": ["succeeded"]}


def test_c01_the_body_of_a_stopped_engine_is_dead_before_its_step_runs_again_elsewhere(bench: Bench) -> None:
    stuck = bench.spawn("run", f"{bench.write('family.py', FAMILY)}:child", "n=5")
    first = bench.noted("pid")[0]
    bench.freeze(stuck.pid)

    assert bench.flowctl("resume", 1, "--steal").json == 5

    assert dead(first)
    stuck.send_signal(signal.SIGCONT)
    assert stuck.wait(timeout=60) == 5
    assert attempts_of(bench.shown()) == {"held": CUT}


def test_c03_an_engine_that_has_lost_its_claim_ends_the_step_without_waiting_for_its_result(bench: Bench) -> None:
    path = bench.write("family.py", FAMILY)
    engine = bench.spawn("run", f"{path}:child", "n=5")
    body = bench.noted("pid")[0]

    with Store.open(default_database(os.environ)) as store, store.transaction():
        run = store.runs.get(1)
        assert store.runs.orphan(run.id, run.epoch, SYSTEM_CLOCK.now(), "paused", "taken away")

    bench.wait_for(lambda: not alive(body))
    assert engine.wait(timeout=60) == 5
    assert attempts_of(bench.shown()) == {"held": ["interrupted"]}
    assert bench.flowctl("resume", 1).json == 5


def test_c04_nothing_is_taken_from_an_engine_that_is_stopped_but_alive(bench: Bench, tmp_path: Path) -> None:
    engine = bench.spawn("run", bench.write("waiting.py", WAITING))
    bench.wait_for(bench.ledger)
    bench.freeze(engine.pid)

    refused = bench.flowctl("resume", 1, code=5)
    with Store.open(default_database(os.environ)) as store:
        recover_store(store, SYSTEM_CLOCK.now() + 24 * HOUR_MS)
        run = store.runs.get(1)
    engine.send_signal(signal.SIGCONT)
    (tmp_path / "go").touch()

    assert str(engine.pid) in refused.stderr
    assert (run.state, run.epoch, run.crashes) == ("running", 1, 0)
    assert engine.wait(timeout=60) == 0
    assert attempts_of(bench.shown()) == {"held": ["succeeded"]}
    assert bench.ledger() == ["held"]


HOG = """
import ctypes

@step
def hog() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # as C code that looks at no signals
    note(f"pid {os.getpid()}")
    ctypes.PyDLL(None).usleep(300_000_000)  # holds Python's lock

@workflow
def hogging() -> None:
    hog()
"""


def test_c06_a_step_that_never_lets_go_of_pythons_lock_is_cancelled_from_outside(bench: Bench) -> None:
    engine = bench.spawn("run", bench.write("hogging.py", HOG))
    body = bench.noted("pid")[0]

    assert "asked to cancel" in bench.flowctl("cancel", 1).stdout

    assert engine.wait(timeout=60) == 6
    assert dead(body)
    assert bench.shown()["state"] == "cancelled"
    assert attempts_of(bench.shown()) == {"hog": ["cancelled"]}


@pytest.mark.parametrize("jump", [HOUR_MS, 3 * HOUR_MS, -HOUR_MS], ids=["forward", "three hours", "back"])
def test_c05_c08_a_jump_of_the_wall_clock_takes_no_run_away_and_ends_no_step(
    jump: int, bench: Bench, tmp_path: Path
) -> None:
    clock, ticks = MovedClock(), [0]
    found: list[tuple[Any, ...]] = []

    def on_idle() -> None:
        ticks[0] += 1

    def move() -> None:
        bench.wait_for(bench.ledger)
        clock.offset = jump
        with Store.open(default_database(os.environ)) as store:
            recover_store(store, clock.now())
            seen = ticks[0]
            bench.wait_for(lambda: ticks[0] > seen + 2)
            run = store.runs.get(1)
        found.append((run.state, run.epoch, run.crashes))
        (tmp_path / "go").touch()

    mover = threading.Thread(target=move)
    with hosted() as host:
        number = host.submit(bench.write("waiting.py", WAITING.replace("@step", '@step(timeout="30m")')))
        mover.start()
        with host.engine(clock, on_idle=on_idle) as engine:
            run = engine.follow(number)
        step = host.store.steps.of_run(number)[0]
    mover.join()

    assert found == [("running", 1, 0)]
    assert (run.state, run.output, run.epoch) == ("succeeded", "7", 1)
    assert step.attempt == 1
    assert step.finished_at is not None
    assert step.finished_at >= step.started_at
    assert bench.ledger() == ["held"]


OFFSPRING = """
@step
def begets() -> str:
    if (HERE / "ledger").exists():
        return "again"
    note(f"pid {os.getpid()}")
    here = {"PATH": os.environ["PATH"]}  # without the mark, so that nothing finds it
    grandchild = subprocess.Popen(["sleep", "300"], env=here, close_fds=False, start_new_session=True)
    note(f"pid {grandchild.pid}")
    forked = os.fork()
    if forked == 0:
        time.sleep(300)
        os._exit(0)
    note(f"pid {forked}")
    time.sleep(300)

@workflow
def offspring() -> str:
    return begets()
"""


def _engine_with_offspring(bench: Bench) -> subprocess.Popen[str]:
    bench.flowctl("run", bench.write("offspring.py", OFFSPRING), "--detach")
    return bench.spawn("resume", 1)  # which starts the executor when the lock is held already


@pytest.fixture
def opened() -> Callable[[int], set[str]]:
    """Return the kinds of flowctl's own files that a process has open."""
    database = str(default_database(os.environ))

    def kinds(pid: int) -> set[str]:
        found = set()
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                path = os.readlink(f"/proc/{pid}/fd/{name}")
                if path.startswith(database):
                    found.add("lock" if path.endswith(".lock") else "database")
        return found

    return kinds


def test_c09_j12_neither_lock_nor_database_is_open_in_anything_that_a_step_starts(
    bench: Bench, opened: Callable[[int], set[str]]
) -> None:
    engine = _engine_with_offspring(bench)
    executor, grandchild, forked = bench.noted("pid", 3)
    try:
        assert opened(engine.pid) == {"lock", "database"}
        assert [opened(pid) for pid in (executor, grandchild, forked)] == [set()] * 3
    finally:
        os.kill(grandchild, signal.SIGKILL)


def test_c09_a_process_that_outlives_the_engine_does_not_keep_its_runs_from_others(bench: Bench) -> None:
    engine = _engine_with_offspring(bench)
    executor, grandchild, _ = bench.noted("pid", 3)
    try:
        engine.send_signal(signal.SIGSTOP)
        bench.wait_for(lambda: stopped(engine.pid))
        os.kill(executor, signal.SIGKILL)  # before it can end its offspring
        bench.wait_for(lambda: not alive(executor))
        engine.kill()
        engine.wait()

        assert bench.flowctl("resume", 1).json == "again"
        assert alive(grandchild)
    finally:
        os.kill(grandchild, signal.SIGKILL)


HOLDER = """
import os, signal, sys
from flowctl.store import Store

with Store.open(sys.argv[1]) as store, store.transaction():
    store.events.note("machine", "held", 1)
    os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_c02_a_process_that_is_stopped_in_the_middle_of_a_write_makes_others_busy_and_goes_on(bench: Bench) -> None:
    bench.flowctl("exec", "--", "true")
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(default_database(os.environ))])
    try:
        bench.wait_for(lambda: stopped(holder.pid))
        assert "is locked by another process" in bench.flowctl("exec", "--detach", "--", "true", code=3).stderr
        assert ["succeeded"] == [run["state"] for run in bench.flowctl("ls", "--json").json]
        holder.send_signal(signal.SIGCONT)
        assert 0 == holder.wait(60)
    finally:
        holder.kill()
        holder.wait()
    bench.flowctl("exec", "--", "true")
    assert ["succeeded"] * 2 == [run["state"] for run in bench.flowctl("ls", "--json").json]
