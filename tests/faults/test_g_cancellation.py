"""Cancellation and time limits: in every state, against every kind of process, and with the record left in order."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.config import default_database
from flowctl.core.model import FINAL_STATES
from flowctl.engine.commands import cancel
from flowctl.store import Store
from tests.faults.conftest import alive, dead
from tests.faults.seen import attempts_of
from tests.simulation.imitation import Fate
from tests.simulation.programs import Call, Gather, Program
from tests.simulation.stage import stage

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.faults.conftest import Bench

GRACE_S = 5.0
STATES = """
@step
def first() -> None:
    note("first")

@step
def busy() -> None:
    note(f"pid {os.getpid()}")
    time.sleep(300)

@step(retries=3, backoff="1h")
def later() -> None:
    raise OSError("not now")

@step(retries=1_000, backoff="450ms", max_backoff="450ms", jitter=0)
def soon() -> None:
    note("soon 0")
    raise OSError("not now")

@step(on_crash="block")
def unknown() -> None:
    os.kill(os.getpid(), signal.SIGKILL)

@workflow
def running() -> None:
    first()
    busy()

@workflow
def parent() -> None:
    running()

@workflow
def backoff() -> None:
    later()

@workflow
def short_backoff() -> None:
    soon()

@workflow
def asleep() -> None:
    sleep("1h")

@workflow
def blocked() -> None:
    unknown()

@workflow
def done() -> None:
    first()
"""


def _all_dead(bench: Bench, pids: Iterable[int]) -> None:
    """Wait until the processes are gone."""
    left = list(pids)
    assert left
    bench.wait_for(lambda: not any(map(alive, left)))


def _check_cancelled(bench: Bench, *numbers: int) -> None:
    """A run that is cancelled stays so, whoever asks again, and no step of it is left open."""
    before = [bench.run_of(number) for number in numbers]
    assert [(run.state, run.reason) for run in before if run] == [("cancelled", "cancelled")] * len(numbers)
    with bench.store() as store:
        steps = [step.state for number in numbers for step in store.steps.history(number)]
    assert set(steps) <= {"succeeded", "cancelled"}
    bench.flowctl("cancel", *numbers)
    assert [bench.run_of(number) for number in numbers] == before


def test_g01_a_queued_run_is_cancelled_and_never_starts(bench: Bench) -> None:
    bench.write("states.py", STATES)
    bench.flowctl("run", "states.py:done", "--detach")
    bench.flowctl("cancel", 1)
    _check_cancelled(bench, 1)
    assert bench.ledger() == []


def test_g01_a_running_step_is_cancelled_and_its_process_is_gone(bench: Bench) -> None:
    bench.write("states.py", STATES)
    command = bench.spawn("run", "states.py:running")
    pids = bench.noted("pid")
    bench.flowctl("cancel", 1)
    assert command.wait(60) == 6
    assert all(map(dead, pids))
    _check_cancelled(bench, 1)
    steps = bench.shown()["by_key"]
    assert [steps[key]["state"] for key in ("first", "busy")] == ["succeeded", "cancelled"]
    assert [each["state"] for each in steps["busy"]["attempts"]] == ["cancelled"]


@pytest.mark.parametrize("workflow", ["backoff", "asleep"])
def test_g01_a_run_that_waits_without_a_process_is_cancelled(bench: Bench, workflow: str) -> None:
    bench.write("states.py", STATES)
    command = bench.spawn("run", f"states.py:{workflow}")
    bench.in_state("sleeping")
    bench.flowctl("cancel", 1)
    assert command.wait(60) == 6
    _check_cancelled(bench, 1)


def test_g01_a_run_in_a_backoff_that_keeps_its_process_is_cancelled(bench: Bench) -> None:
    bench.write("states.py", STATES)
    command = bench.spawn("run", "states.py:short_backoff")
    bench.noted("soon")
    bench.flowctl("cancel", 1)
    assert command.wait(60) == 6
    _check_cancelled(bench, 1)


def test_g01_a_run_that_waits_for_its_child_takes_the_child_along(bench: Bench) -> None:
    bench.write("states.py", STATES)
    command = bench.spawn("run", "states.py:parent")
    pids = bench.noted("pid")
    bench.in_state("waiting")
    bench.flowctl("cancel", 1)
    assert command.wait(60) == 6
    bench.in_state("cancelled", 2)
    assert all(map(dead, pids))
    _check_cancelled(bench, 1, 2)


def test_g01_a_cancelled_child_fails_the_step_of_its_parent(bench: Bench) -> None:
    bench.write("states.py", STATES)
    command = bench.spawn("run", "states.py:parent")
    bench.noted("pid")
    bench.flowctl("cancel", 2)
    assert command.wait(60) == 1
    _check_cancelled(bench, 2)
    assert bench.shown()["by_key"]["running"]["error"]["type"] == "ChildCancelled"


def test_g01_a_paused_run_is_cancelled_with_its_paused_child(bench: Bench) -> None:
    bench.write("states.py", STATES)
    command = bench.spawn("run", "states.py:parent")
    bench.noted("pid")
    bench.in_state("waiting")
    command.terminate()
    assert command.wait(60) == 130
    assert [bench.in_state("paused", number).id for number in (1, 2)] == [1, 2]
    bench.flowctl("cancel", 1)
    _check_cancelled(bench, 1, 2)


def test_g01_a_blocked_run_is_cancelled(bench: Bench) -> None:
    bench.write("states.py", STATES)
    bench.flowctl("run", "states.py:blocked", code=8)
    bench.flowctl("cancel", 1)
    _check_cancelled(bench, 1)


def test_g01_a_finished_run_stays_as_it_is(bench: Bench) -> None:
    bench.write("states.py", STATES)
    bench.flowctl("run", "states.py:done")
    before = bench.run_of()
    assert "succeeded" in bench.flowctl("cancel", 1).stdout
    assert bench.run_of() == before


def test_g01_a_run_whose_engine_died_is_cancelled_with_its_children(bench: Bench) -> None:
    bench.write("states.py", STATES)
    command = bench.spawn("run", "states.py:parent")
    pids = bench.noted("pid")
    bench.in_state("waiting")
    command.kill()
    command.wait()
    bench.flowctl("cancel", 1)
    _all_dead(bench, pids)
    _check_cancelled(bench, 1, 2)


def test_g02_what_ignores_sigterm_is_killed_when_the_grace_is_over(bench: Bench) -> None:
    bench.write(
        "deaf.py",
        """
        @step
        def deaf_step() -> None:
            signal.signal(signal.SIGTERM, lambda *_: note(f"told {time.monotonic_ns()}"))
            child = subprocess.Popen(["sh", "-c", "trap '' TERM; while :; do sleep 0.2; done"])
            note(f"pid {child.pid}")
            note(f"pid {os.getpid()}")
            while True:
                try:
                    time.sleep(300)
                except BaseException:
                    pass

        @workflow
        def in_python() -> None:
            deaf_step()

        @workflow
        def in_shell() -> None:
            sh("trap '' TERM; echo pid $$ >> ledger; while :; do sleep 0.2; done")
        """,
    )
    commands = [bench.spawn("run", f"deaf.py:{name}") for name in ("in_python", "in_shell")]
    pids = bench.noted("pid", 3)
    with Store.open(default_database(os.environ)) as store:
        for number in (1, 2):
            cancel(store, number, SYSTEM_CLOCK.now())
    told = bench.noted("told")[0]
    assert all(map(alive, pids))
    _all_dead(bench, pids)
    assert time.monotonic_ns() - told > GRACE_S / 2 * 1e9
    assert [command.wait(60) for command in commands] == [6, 6]
    _check_cancelled(bench, 1, 2)


ESCAPE = """
DAEMON = '''
import os, sys, time
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
os.write(fd, f"pid {os.getpid()}\\\\n".encode())
time.sleep(300)
'''

@step(timeout=LIMIT)
def escapes() -> None:
    note("begun")
    ledger = str(HERE / "ledger")
    subprocess.Popen(["setsid", "sh", "-c", f"echo pid $$ >> {ledger}; exec sleep 300"])
    subprocess.Popen([sys.executable, "-IS", "-c", DAEMON, ledger])
    subprocess.Popen([sys.executable, "-IS", "-c", DAEMON, ledger], env={})  # without the mark of its executor
    time.sleep(300)

@workflow
def python() -> None:
    escapes()

@workflow
def shell() -> None:
    sh("setsid sh -c 'echo pid $$ >> ledger; exec sleep 300' & (setsid sleep 300 & echo pid $! >> ledger); sleep 300",
       timeout=LIMIT)
"""


@pytest.mark.parametrize(("workflow", "count"), [("python", 3), ("shell", 2)])
def test_g03_setsid_and_double_forks_die_with_the_timeout(bench: Bench, workflow: str, count: int) -> None:
    bench.write("escape.py", f"LIMIT = '4s'\n{ESCAPE}")
    bench.flowctl("run", f"escape.py:{workflow}", code=1)
    pids = bench.noted("pid", count)
    assert all(map(dead, pids))
    assert bench.shown()["steps"][0]["error"]["type"] == "StepTimedOut"


@pytest.mark.parametrize(("workflow", "count"), [("python", 3), ("shell", 2)])
def test_g03_setsid_and_double_forks_die_with_the_cancellation(bench: Bench, workflow: str, count: int) -> None:
    bench.write("escape.py", f"LIMIT = None\n{ESCAPE}")
    command = bench.spawn("run", f"escape.py:{workflow}")
    pids = bench.noted("pid", count)
    bench.flowctl("cancel", 1)
    assert command.wait(60) == 6
    assert all(map(dead, pids))
    _check_cancelled(bench, 1)


def test_g03_a_command_that_timed_out_leaves_nothing_behind_for_the_rest_of_its_run(bench: Bench) -> None:
    bench.write(
        "rest.py",
        """
        @step
        def living() -> list[str]:
            pids = [line.split()[1] for line in (HERE / "ledger").read_text().splitlines()]
            stats = [Path(f"/proc/{pid}/stat") for pid in pids]
            states = [stat.read_text().rpartition(")")[2].split()[0] for stat in stats if stat.exists()]
            return [len(pids), *(state for state in states if state != "Z")]

        @workflow
        def main() -> list:
            try:
                sh("setsid sleep 300 & echo pid $! >> ledger; (setsid sleep 300 & echo pid $! >> ledger); sleep 300",
                   timeout="3s")
            except StepFailed:
                return living()
        """,
    )
    assert bench.flowctl("run", "rest.py").json == [2]


def test_g03_nothing_of_a_timed_out_attempt_is_left_when_the_next_one_starts(bench: Bench) -> None:
    bench.write(
        "overlap.py",
        """
        @step(timeout="3s", retries=1, backoff="1ms")
        def work() -> str:
            mark = HERE / "pid"
            if mark.exists():
                stat = Path(f"/proc/{mark.read_text()}/stat")
                return stat.read_text().rpartition(")")[2].split()[0] if stat.exists() else "gone"
            left = subprocess.Popen(["setsid", "sleep", "300"])
            mark.write_text(str(left.pid))
            time.sleep(300)

        @workflow
        def main() -> str:
            return work()
        """,
    )
    assert bench.flowctl("run", "overlap.py").json in ("gone", "Z")


def test_g04_a_child_in_the_background_does_not_hold_up_a_command(bench: Bench) -> None:
    bench.write(
        "held.py",
        """
        @workflow
        def main() -> list[str]:
            holds = sh("sleep 300 & echo pid $! >> ledger; echo out; echo err >&2")
            lets_go = sh("sleep 300 >/dev/null 2>&1 & echo pid $! >> ledger; echo out")
            return [holds.stdout, holds.stderr, lets_go.stdout]
        """,
    )
    assert bench.flowctl("run", "held.py").json == ["out\n", "err\n", "out\n"]
    assert [step["duration_ms"] for step in bench.shown()["steps"] if step["duration_ms"] > 60_000] == []
    _all_dead(bench, bench.noted("pid", 2))


def test_g04_a_child_in_the_background_does_not_hold_up_a_step(bench: Bench) -> None:
    bench.write(
        "held.py",
        """
        @step
        def work() -> str:
            note(f"pid {subprocess.Popen(['sleep', '300']).pid}")
            return "done"

        @workflow
        def main() -> str:
            return work()
        """,
    )
    assert bench.flowctl("run", "held.py").json == "done"
    assert bench.shown()["by_key"]["work"]["duration_ms"] <= 60_000
    _all_dead(bench, bench.noted("pid"))


def test_g05_each_attempt_has_its_own_time(bench: Bench) -> None:
    bench.write(
        "own.py",
        """
        @step(timeout="1500ms", retries=2, backoff="1ms")
        def work() -> int:
            attempt = current_run().step_attempt
            note(f"attempt {attempt}")
            if attempt < 3:
                time.sleep(300)
            return attempt

        @workflow
        def main() -> int:
            return work()
        """,
    )
    assert bench.flowctl("run", "own.py").json == 3
    assert bench.ledger() == ["attempt 1", "attempt 2", "attempt 3"]
    attempts = bench.shown()["by_key"]["work"]["attempts"]
    said = [each["error"] and each["error"]["message"] for each in attempts]
    assert said == ["attempt 1 took longer than 1.5 s", "attempt 2 took longer than 1.5 s", None]


def test_g05_the_total_time_ends_whatever_attempt_is_under_way(bench: Bench) -> None:
    bench.write(
        "total.py",
        """
        @step(timeout="1s", total_timeout="3500ms", retries=20, backoff="1ms")
        def work() -> None:
            note("attempt")
            time.sleep(300)

        @step(total_timeout="30s", retries=20, backoff="1m", jitter=0)
        def fails() -> None:
            raise OSError("its next attempt would be too late")

        @workflow
        def main() -> list[str]:
            said = []
            for each in (work, fails):
                try:
                    each()
                except StepFailed as failure:
                    said.append(f"{failure.type}: {failure.message}")
            return said
        """,
    )
    said = bench.flowctl("run", "total.py").json
    assert said[0] == "StepTimedOut: all attempts together took longer than 3.5 s"
    assert said[1] == "OSError: its next attempt would be too late"
    assert 2 <= len(bench.ledger()) <= 4
    steps = bench.shown()["by_key"]
    assert 3_500 <= steps["work"]["duration_ms"] <= 20_000
    assert steps["fails"]["duration_ms"] < 30_000


def test_g05_a_late_success_is_none_although_its_run_is_paused_meanwhile(bench: Bench, tmp_path: Path) -> None:
    bench.write(
        "late.py",
        """
        @step(timeout="300ms")
        def late() -> str:
            time.sleep(0.8)
            note("late")
            return "late"

        @step(on_crash="block")  # so that it is not killed with the other, however long the pause takes
        def beside() -> str:
            note("beside")
            while not (HERE / "paused").exists():
                time.sleep(0.01)
            return "beside"

        @workflow
        def main() -> list[str]:
            return gather(late.bind(), beside.bind())
        """,
    )
    process = bench.spawn("run", "late.py")
    bench.wait_for(lambda: "late" in bench.ledger())
    bench.flowctl("pause", 1)
    (tmp_path / "paused").touch()
    process.communicate(timeout=60)
    assert "paused" == bench.shown()["state"]
    bench.flowctl("resume", 1, code=1)
    run = bench.shown()
    assert ("failed", "StepTimedOut") == (run["state"], run["by_key"]["late"]["error"]["type"])
    assert ("beside", 1) == (run["by_key"]["beside"]["output"], bench.ledger().count("beside"))


def test_g06_a_timeout_is_recorded_and_replayed_like_any_failure(bench: Bench) -> None:
    bench.write(
        "again.py",
        """
        @step(timeout="2s")
        def slow() -> None:
            note("slow ran")
            time.sleep(300)

        @step
        def after() -> None:
            raise RuntimeError("not yet")

        @workflow
        def main() -> None:
            try:
                slow()
            except StepFailed as failure:
                note(f"{failure.step} {failure.type} {failure.message}")
            after()
        """,
    )
    bench.flowctl("run", "again.py", code=1)
    bench.flowctl("retry", 1, code=1)
    assert bench.ledger() == ["slow ran", *["slow StepTimedOut attempt 1 took longer than 2 s"] * 2]


@pytest.mark.parametrize("workflow", ["in_step", "in_workflow"])
def test_g08_an_endless_loop_is_killed_at_its_timeout(bench: Bench, workflow: str) -> None:
    bench.write(
        "loop.py",
        """
        @step(timeout="300ms")
        def spins() -> None:
            while True:
                pass

        @workflow
        def in_step() -> None:
            spins()

        @workflow(timeout="500ms")
        def in_workflow() -> None:
            while True:
                pass
        """,
    )
    bench.flowctl("run", f"loop.py:{workflow}", code=1 if workflow == "in_step" else 7)
    assert bench.shown()["duration_ms"] < 60_000


@pytest.mark.parametrize("left", ["thread", "hook"])
def test_g09_a_result_counts_although_the_process_would_not_end(bench: Bench, left: str) -> None:
    bench.write(
        "hangs.py",
        """
        import atexit

        @step
        def work(left: str) -> int:
            note(f"pid {os.getpid()}")
            if left == "thread":
                threading.Thread(target=time.sleep, args=(300,)).start()
            else:
                atexit.register(time.sleep, 300)
            return 42

        @workflow
        def main(left: str) -> int:
            return work(left)
        """,
    )
    began = time.monotonic()
    assert bench.flowctl("run", "hangs.py", f"left={left}").json == 42
    assert time.monotonic() - began <= 60
    assert all(map(dead, bench.noted("pid")))


def test_g11_finally_blocks_run_during_the_grace(bench: Bench) -> None:
    bench.write(
        "tidy.py",
        """
        @step
        def work() -> None:
            try:
                note("begun 0")
                time.sleep(300)
            finally:
                time.sleep(0.3)
                note("step tidied up")

        @workflow
        def main() -> str:
            try:
                work()
            finally:
                note("workflow tidied up")
                try:
                    work()
                except BaseException as error:
                    note(type(error).__name__)
            return "never"
        """,
    )
    command = bench.spawn("run", "tidy.py")
    bench.noted("begun")
    bench.flowctl("cancel", 1)
    assert command.wait(60) == 6
    assert bench.ledger() == ["begun 0", "step tidied up", "workflow tidied up", "Cancelled"]
    _check_cancelled(bench, 1)


def test_g11_a_command_may_tidy_up_during_the_grace(bench: Bench) -> None:
    bench.write(
        "tidy.py",
        """
        @workflow
        def main() -> None:
            sh("trap 'echo tidied >> ledger; exit 0' TERM; echo pid $$ >> ledger; while :; do sleep 0.05; done")
        """,
    )
    command = bench.spawn("run", "tidy.py")
    pids = bench.noted("pid")
    bench.flowctl("cancel", 1)
    assert command.wait(60) == 6
    assert bench.ledger()[1:] == ["tidied"]
    assert all(map(dead, pids))
    _check_cancelled(bench, 1)


def test_g11_a_step_that_finishes_during_the_grace_is_recorded_and_the_run_is_cancelled(bench: Bench) -> None:
    bench.write(
        "swallows.py",
        """
        @step
        def work() -> str:
            note("begun 0")
            try:
                time.sleep(300)
            except BaseException:
                pass
            return "finished"

        @step
        def next_one() -> None:
            note("must not run")

        @workflow
        def main() -> str:
            work()
            try:
                next_one()
            except BaseException:
                pass
            return "never"
        """,
    )
    command = bench.spawn("run", "swallows.py")
    bench.noted("begun")
    bench.flowctl("cancel", 1)
    assert command.wait(60) == 6
    assert bench.ledger() == ["begun 0"]
    _check_cancelled(bench, 1)
    assert bench.shown()["by_key"]["work"]["output"] == "finished"


LIMITED = """
@step
def busy() -> None:
    note(f"pid {os.getpid()}")
    time.sleep(300)

@workflow
def child() -> None:
    busy()

@workflow(timeout="4s")
def works() -> None:
    busy()

@workflow(timeout="4s")
def sleeps() -> None:
    sleep("1h")

@workflow(timeout="5s")
def waits() -> None:
    child()

@workflow
def unlimited() -> None:
    busy()
"""


@pytest.mark.parametrize("words", [["works"], ["sleeps"], ["waits"], ["unlimited", "--timeout", "4s"]])
def test_g05_a_run_that_takes_too_long_ends_with_exit_code_7(bench: Bench, words: list[str]) -> None:
    bench.write("limited.py", LIMITED)
    bench.flowctl("run", f"limited.py:{words[0]}", *words[1:], code=7)
    run = bench.shown()
    assert run["state"] == "failed"
    assert run["error"]["type"] == "RunTimedOut"
    assert run["duration_ms"] < 60_000
    assert {step["state"] for step in run["steps"]} == {"cancelled"}
    if words[0] == "waits":
        assert bench.shown(2)["state"] == "cancelled"
    if words[0] != "sleeps":
        assert all(map(dead, bench.noted("pid")))


STOPPED = """
@step
def first() -> int:
    return 1

@step(pure=True)
def after(n: int) -> int:
    note("after")
    while not (HERE / "go").exists():
        time.sleep(0.01)
    return n + 1

@workflow(timeout="6s")
def stopped() -> int:
    return after(first())
"""


def test_g05_a_run_that_ended_in_time_is_recorded_whole_although_its_engine_hears_of_it_too_late(
    bench: Bench, tmp_path: Path
) -> None:
    engine = bench.spawn("run", bench.write("stopped.py", STOPPED))
    bench.wait_for(bench.ledger)
    bench.freeze(engine.pid)
    (tmp_path / "go").touch()
    bench.wait_for(lambda: SYSTEM_CLOCK.now() > started_at(bench) + 6_200)
    engine.send_signal(signal.SIGCONT)

    assert 0 == engine.wait(timeout=60)
    assert {"first": ["succeeded"], "after": ["succeeded"]} == attempts_of(bench.shown())


def started_at(bench: Bench) -> int:
    with Store.open(default_database(os.environ)) as store:
        return store.runs.get(1).started_at or 0


def test_g05_a_run_that_took_too_long_has_its_time_anew_when_it_is_retried(bench: Bench) -> None:
    bench.write(
        "retried.py",
        """
        @step
        def once_slow() -> str:
            if not (HERE / "ledger").exists():
                note("slow")
                time.sleep(300)
            return "quick now"

        @workflow(timeout="4s")
        def main() -> str:
            return once_slow()
        """,
    )
    bench.flowctl("run", "retried.py", code=7)
    assert bench.flowctl("retry", 1).json == "quick now"


def test_g05_a_branch_that_times_out_loses_nothing_of_the_others(bench: Bench) -> None:
    bench.write(
        "branches.py",
        """
        @step
        def quick(number: int) -> int:
            note(f"quick {number}")
            return number

        @step
        def long() -> str:
            note("long")
            time.sleep(2.5)
            return "whole"

        @step(timeout="1500ms", retries=1, backoff="1ms")
        def stuck() -> str:
            note("stuck")
            time.sleep(300)

        @workflow
        def main() -> list[int]:
            try:
                gather(quick.bind(1), stuck.bind(), long.bind(), quick.bind(2), concurrency=4)
            except StepFailed as failure:
                note(f"{failure.step} {failure.type} {failure.failed_keys}")
            return [quick(3)]
        """,
    )
    assert bench.flowctl("run", "branches.py").json == [3]
    noted = bench.ledger()
    assert noted[-2:] == ["stuck StepTimedOut ('stuck',)", "quick 3"]
    assert sorted(noted[:-2]) == ["long", "quick 1", "quick 2", "stuck", "stuck"]
    assert bench.shown()["by_key"]["long"]["output"] == "whole"


RACES = 40


def test_g07_where_a_cancellation_and_an_end_meet_one_of_them_counts(bench: Bench) -> None:
    flow = bench.write(
        "flow.py",
        """
        @step
        def short(number: int) -> int:
            time.sleep(0.02)
            return number

        @workflow
        def quick(number: int) -> int:
            return short(number)
        """,
    )
    lines = "".join(f'{{"number": {number}}}\n' for number in range(1, RACES + 1))
    bench.flowctl("run", flow, "--each", "-", "--detach", input=lines)
    daemon = bench.spawn("daemon", "run", "--concurrency", "1")
    with Store.open(default_database(os.environ)) as store:
        for number in range(1, RACES + 1):
            bench.wait_for(lambda number=number: store.steps.history(number))
            time.sleep(number % 8 / 50)  # meets the run in its step, at its end and after it
            cancel(store, number, SYSTEM_CLOCK.now())
        bench.wait_for(lambda: all(store.runs.get(number).state in FINAL_STATES for number in range(1, RACES + 1)))
        before = [store.runs.get(number) for number in range(1, RACES + 1)]
        daemon.terminate()
        daemon.communicate(timeout=60)
        assert before == [store.runs.get(number) for number in range(1, RACES + 1)]
        assert {"succeeded", "cancelled"} >= {run.state for run in before}
        for run in before:
            assert (str(run.id) if run.state == "succeeded" else None) == run.output
            assert {step.state for step in store.steps.history(run.id)} <= {"succeeded", "cancelled"}


MOMENTS = 50  # 2 ms apart: from before the run is claimed until after its end


@pytest.mark.parametrize("retries", [0, 1])
def test_g05_several_steps_that_are_out_of_time_when_an_engine_wakes_all_are(tmp_path: Path, retries: int) -> None:
    long = {"timeout_ms": 5_900, "retries": retries, "backoff_ms": 1}
    branches = (Call("first", {"timeout_ms": 1_000}), Call("second", long), Call("third", long))
    fates = {name: [Fate(60.0, "returns", 1)] for name in ("first", "second", "third")}
    with stage(tmp_path, [Program("main", {}, (Gather(branches, 4),))], fates) as scene:
        run = scene.submit("main")
        host = scene.follow(run)
        scene.pass_time(5.6)
        host.pause(2.5)
        scene.wait_for(host)
        assert "failed" == scene.run_of(run).state
        assert [1 + retries] * 2 == [len(scene.bodies(run, key)) for key in ("second", "third")]


def test_g07_a_cancellation_at_any_moment_of_a_run_leaves_it_one_end(tmp_path: Path) -> None:
    ends = Counter[str]()
    with stage(tmp_path, [Program("main", {}, (Call("work"), Call("more")))]) as scene:
        store = scene.client.store
        for moment in range(MOMENTS):
            run = scene.submit("main")
            host = scene.follow(run)
            scene.pass_time(moment / 500)
            before = scene.run_of(run).state
            cancel(store, run, scene.machine.clock.now())
            scene.wait_for(host)
            state = scene.run_of(run).state
            assert before != "succeeded" or state == "succeeded"
            assert [state] == [event.state for event in store.events.of_run(run) if event.state in FINAL_STATES]
            assert (state == "succeeded") == (scene.run_of(run).output is not None)
            ends[state] += 1
    assert {"succeeded", "cancelled"} == set(ends)
