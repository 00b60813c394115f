"""SIGTERM to a real executor process."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from flowctl.sdk import processes
from flowctl.sdk.wire import Message
from tests.sdk.scripted_engine import (
    SLEEPER,
    ScriptedEngine,
    in_time,
    start,
    wait_until,
    waiting,
)


def cancel(engine: ScriptedEngine, after: str) -> Message:
    """Send SIGTERM once the executor has printed `after`; return `ended`."""
    while after not in engine.text():
        assert engine.nothing_comes(0.05), "it ended before it was cancelled"
    processes.signal_tree(engine.mark, engine.process.pid, signal.SIGTERM)
    return engine.until("ended")


def test_g11_finally_blocks_run_when_a_step_is_cancelled(engine: ScriptedEngine) -> None:
    start(
        engine,
        """
        import time
        from flowctl import step, workflow

        @step
        def slow() -> None:
            try:
                print("begun")
                time.sleep(300)
            except Exception:
                print("swallowed")
            finally:
                print("cleaned up")

        @workflow
        def main() -> None:
            try:
                slow()
            finally:
                print("main too")
    """,
    )
    engine.answer(engine.until("step"))
    with in_time():
        assert cancel(engine, "begun").fields == {"state": "cancelled"}
    assert engine.text() == "begun\ncleaned up\nmain too\n"
    assert engine.of_kind("done") == []


def test_a_run_that_waits_is_cancelled(engine: ScriptedEngine) -> None:
    waiting(engine, SLEEPER)
    processes.signal_tree(engine.mark, engine.process.pid, signal.SIGTERM)
    assert engine.until("ended").fields == {"state": "cancelled"}


def test_operations_after_a_cancellation_raise_it_again(engine: ScriptedEngine) -> None:
    start(
        engine,
        """
        import time
        from flowctl import sleep, step, workflow

        @step
        def one() -> int:
            return 1

        @workflow
        def main() -> int:
            for _ in range(3):
                try:
                    print("round")
                    time.sleep(0 if _ else 300)
                    one()
                except BaseException as error:
                    print(type(error).__name__)
            return 5
    """,
    )
    assert cancel(engine, "round").fields == {"state": "cancelled"}
    assert engine.text() == "round\nCancelled\n" * 3
    assert engine.of_kind("step") == []


def test_g11_a_command_gets_the_time_to_clean_up_when_it_is_cancelled(engine: ScriptedEngine, tmp_path: Path) -> None:
    start(
        engine,
        """
        from flowctl import sh, workflow

        @workflow
        def main() -> None:
            sh("trap 'sleep 0.1; echo cleaned >> ledger; exit 1' TERM; echo begun; sleep 300 & wait")
    """,
    )
    engine.answer(engine.until("step"))
    assert cancel(engine, "begun").fields == {"state": "cancelled"}
    assert (tmp_path / "ledger").read_text() == "cleaned\n"


def test_g12_a_second_sigterm_does_not_cut_the_clean_up_short(engine: ScriptedEngine) -> None:
    start(
        engine,
        """
        import os, time
        from flowctl import workflow

        @workflow
        def main() -> None:
            try:
                print("begun")
                time.sleep(300)
            finally:
                print("cleaning")
                while not os.path.exists("twice"):
                    time.sleep(0.01)
                print("cleaned")
    """,
    )
    while "begun" not in engine.text():
        engine.nothing_comes(0.02)
    engine.process.terminate()
    while "cleaning" not in engine.text():
        engine.nothing_comes(0.02)
    engine.process.terminate()
    engine.write("", "twice")
    assert engine.until("ended").fields == {"state": "cancelled"}
    assert engine.text() == "begun\ncleaning\ncleaned\n"


def test_a_cancellation_never_cuts_a_frame_in_two(engine: ScriptedEngine) -> None:
    start(
        engine,
        """
        from flowctl import step, workflow

        @step(pure=True)
        def cheap(n: int) -> str:
            print("line", n)
            return "x" * 50_000

        @workflow
        def main() -> None:
            for n in range(100_000):
                cheap(n)
    """,
    )
    engine.until("done")
    threads = Path(f"/proc/{engine.process.pid}/task")  # any of them may have been about to send
    wait_until(lambda: any("sock_alloc" in stuck.read_text() for stuck in threads.glob("*/wchan")))
    engine.process.terminate()
    time.sleep(0.05)
    assert engine.until("ended").fields == {"state": "cancelled"}


def test_an_idle_executor_ends_at_sigterm(engine: ScriptedEngine) -> None:
    engine.run(SLEEPER)
    engine.process.terminate()
    assert engine.died() == -signal.SIGTERM
