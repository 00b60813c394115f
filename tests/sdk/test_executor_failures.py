"""Bodies and workflow functions that fail, on a real executor process: the engine decides what follows."""

from __future__ import annotations

import json
import signal

import pytest

from flowctl.sdk.wire import CHANNEL_CLOSED, Message
from tests.sdk.scripted_engine import (
    ExecutorDied,
    ScriptedEngine,
)

FLAKY = """
    from flowctl import current_run, step, workflow
    tries = []

    @step(retries=3)
    def flaky() -> int:
        tries.append(1)
        if len(tries) < 3:
            raise ValueError(f"attempt {current_run().step_attempt}")
        return current_run().step_attempt

    @workflow
    def main() -> int:
        return flaky()
"""


def test_h01_a_failed_body_waits_and_runs_again_when_told(engine: ScriptedEngine) -> None:
    engine.load(FLAKY)
    engine.start()
    for attempt in (1, 2, 3):
        if attempt == 1:
            engine.until("step")
        engine.send(Message("go", {"key": "flaky", "attempt": attempt}))
        if attempt < 3:
            done = engine.until("done")
            assert (done.fields["state"], done.fields["retry"]) == ("failed", True)
            assert json.loads(done.payload or "")["message"] == f"attempt {attempt}"
            assert engine.nothing_comes(0.03)
    assert engine.until("ended").payload == "3"


def test_an_outcome_ends_a_step_as_step_failed(engine: ScriptedEngine) -> None:
    engine.load("""
        from flowctl import StepFailed, step, workflow

        @step
        def boom() -> None:
            raise KeyError("k")

        @workflow
        def main() -> str:
            try:
                boom()
            except StepFailed as error:
                return f"{error.step}|{error.type}|{error.message}"
    """)
    engine.start()
    assert engine.serve().payload == "\"boom|KeyError|'k'\""


@pytest.mark.parametrize(
    ("code", "retry", "after"),
    [
        ("raise ValueError()", True, None),
        ("raise KeyError()", False, None),
        ("raise LookupError()", True, None),
        ("raise GiveUp('no')", False, None),
        ("raise RetryAfter('3s')", True, 3000),
        ("import sys; sys.exit(3)", True, None),
        ("import sys; sys.exit(78)", False, None),
    ],
)
def test_h05_h10_what_a_body_raises_says_whether_and_when_to_try_again(
    engine: ScriptedEngine, code: str, retry: bool, after: int | None
) -> None:
    engine.run(f"""
        from flowctl import GiveUp, RetryAfter, step, workflow

        @step(retries=3, give_up_on=KeyError)
        def body() -> None:
            {code}

        @workflow
        def main() -> None:
            body()
    """)
    (done,) = engine.of_kind("done")
    assert done.fields["retry"] is retry
    assert done.fields.get("retry_after_ms") == after


def test_l04_sys_exit_in_a_step_is_a_failure_in_plain_words(engine: ScriptedEngine) -> None:
    ended = engine.run("""
        import sys
        from flowctl import step, workflow

        @step
        def leave() -> None:
            sys.exit(0)

        @workflow
        def main() -> None:
            leave()
    """)
    (done,) = engine.of_kind("done")
    assert json.loads(done.payload or "")["message"] == "exited with sys.exit(0) instead of returning"
    assert ended.fields["state"] == "failed"


def test_a_process_whose_run_failed_does_not_begin_the_next_one(engine: ScriptedEngine) -> None:
    engine.load("from flowctl import workflow\n@workflow\ndef main(n: int):\n    1 / n\n")
    engine.send(engine.run_message(input={"n": 0}, run=1), engine.run_message(input={"n": 1}, run=2))
    assert "failed" == engine.until("ended").fields["state"]
    assert engine.nothing_comes()


def test_l04_sys_exit_in_the_workflow_function_is_a_failure(engine: ScriptedEngine) -> None:
    ended = engine.run("import sys\nfrom flowctl import workflow\n@workflow\ndef main():\n    sys.exit()\n")
    assert ended.fields["state"] == "failed"
    assert "sys.exit(None)" in json.loads(ended.payload or "")["message"]


@pytest.mark.parametrize("code", ["os._exit(0)", "os.kill(os.getpid(), 11)", "os.closerange(0, 256); time.sleep(9)"])
def test_l04_a_death_without_a_result_is_seen_as_the_end_of_the_channel(engine: ScriptedEngine, code: str) -> None:
    engine.load(f"""
        import os, time
        from flowctl import step, workflow

        @step
        def die() -> None:
            {code}

        @workflow
        def main() -> None:
            die()
    """)
    engine.start()
    with pytest.raises((ExecutorDied, ConnectionResetError)):
        engine.serve()
    assert engine.of_kind("done") == []


def test_l04_a_workflow_that_closes_the_channel_ends_its_process_and_says_so(engine: ScriptedEngine) -> None:
    engine.load("""
        import os
        from flowctl import workflow

        @workflow
        def main() -> None:
            os.closerange(3, 1024)
    """)
    engine.start()
    assert CHANNEL_CLOSED == engine.died()


def test_a_failed_run_names_the_steps_that_a_retry_runs_again(engine: ScriptedEngine) -> None:
    ended = engine.run("""
        from flowctl import step, workflow

        @step
        def boom(n: int) -> None:
            raise ValueError(n)

        @workflow
        def main() -> None:
            try:
                boom(1)
            except Exception as error:
                raise RuntimeError("wrapped") from error
    """)
    assert ended.fields["failed_steps"] == ["boom"]
    error = json.loads(ended.payload or "")
    assert (error["type"], error["message"]) == ("RuntimeError", "wrapped")
    assert "wf.py" in error["traceback"]
    assert "sdk/runtime.py" not in error["traceback"]


def test_a_failed_run_without_a_failed_step_names_none(engine: ScriptedEngine) -> None:
    ended = engine.run("from flowctl import workflow\n@workflow\ndef main():\n    1 / 0\n")
    assert ended.fields == {"state": "failed", "failed_steps": []}


def test_h07_a_hostile_exception_is_recorded_within_its_limits(engine: ScriptedEngine) -> None:
    engine.run("""
        from flowctl import step, workflow

        class Evil(Exception):
            def __str__(self):
                raise SystemExit("gotcha")

        @step
        def body(n: int) -> None:
            raise Evil() if n == 1 else ValueError("x" * 50_000_000)

        @workflow
        def main() -> None:
            for n in (1, 2):
                try:
                    body(n)
                except Exception:
                    pass
    """)
    for done in engine.of_kind("done"):
        assert len((done.payload or "").encode()) <= 64 * 1024
    assert len(engine.of_kind("done")) == 2


def test_l04_a_crash_says_where_on_standard_error(engine: ScriptedEngine) -> None:
    engine.load("""
        import ctypes
        from flowctl import step, workflow

        @step
        def die() -> None:
            ctypes.string_at(0)

        @workflow
        def main() -> None:
            die()
    """)
    engine.start()
    with pytest.raises((ExecutorDied, ConnectionResetError)):
        engine.serve()
    assert engine.died() == -signal.SIGSEGV
    assert engine.process.stderr is not None
    assert b"in die" in engine.process.stderr.read()
