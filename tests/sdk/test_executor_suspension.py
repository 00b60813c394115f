"""Waits, draining, and bodies that nobody asks about, on a real executor process."""

from __future__ import annotations

import json

import pytest

from flowctl.sdk.wire import Message
from tests.sdk.scripted_engine import (
    SLEEPER,
    UNFLUSHED,
    ScriptedEngine,
    waiting,
)


def test_a_sleep_waits_for_its_outcome(engine: ScriptedEngine) -> None:
    waiting(engine, SLEEPER)
    asked = engine.of_kind("step")[-1]
    assert (asked.fields["key"], asked.fields["kind"], asked.fields["duration_ms"]) == ("sleep", "sleep", 172_800_000)
    assert engine.nothing_comes(0.03)
    engine.answer(asked)
    assert engine.serve().payload == "2"


def test_a_suspended_run_unwinds_and_goes_on_by_replay(engine: ScriptedEngine) -> None:
    waiting(engine, SLEEPER)
    engine.send(Message("suspend", {}))
    assert engine.until("ended").fields == {"state": "suspended"}
    engine.past = engine.record()
    assert engine.run().payload == "2"
    assert [message.fields["key"] for message in engine.of_kind("step")] == ["one", "sleep", "one#2"]


def test_finally_blocks_run_at_a_suspension_and_operations_in_them_do_not(engine: ScriptedEngine) -> None:
    waiting(
        engine,
        """
        from flowctl import sleep, step, workflow

        @step
        def one() -> int:
            return 1

        @workflow
        def main() -> None:
            try:
                sleep(3600)
            finally:
                print("unwinding")
                one()
    """,
    )
    engine.send(Message("suspend", {}))
    assert engine.until("ended").fields == {"state": "suspended"}
    assert engine.text() == "unwinding\n"
    assert engine.keys() == ["sleep"]


def test_except_exception_cannot_swallow_a_suspension(engine: ScriptedEngine) -> None:
    waiting(
        engine,
        """
        from flowctl import sleep, workflow

        @workflow
        def main() -> None:
            try:
                sleep(3600)
            except Exception:
                pass
    """,
    )
    engine.send(Message("suspend", {}))
    assert engine.until("ended").fields == {"state": "suspended"}


@pytest.mark.parametrize(
    ("swallow", "did"),
    [
        ("except: pass", "returned"),
        ("except BaseException: pass", "returned"),
        ("finally: return", "returned"),
        ("except BaseException: raise ValueError()", "raised ValueError"),
    ],
)
def test_a_swallowed_suspension_is_a_clear_failure(engine: ScriptedEngine, swallow: str, did: str) -> None:
    waiting(
        engine,
        f"""
        from flowctl import sleep, workflow

        @workflow
        def main() -> None:
            try:
                sleep(3600)
            {swallow}
    """,
    )
    engine.send(Message("suspend", {}))
    ended = engine.until("ended")
    error = json.loads(ended.payload or "")
    assert (ended.fields["state"], error["type"]) == ("failed", "SuspensionSwallowed")
    assert did in error["message"]
    assert "except:" in error["message"]


def test_a_loop_that_swallows_suspension_gets_it_from_every_operation(engine: ScriptedEngine) -> None:
    waiting(
        engine,
        """
        from flowctl import gather, now, sh, sleep, step, workflow

        @step
        def one() -> int:
            return 1

        @workflow
        def main() -> list:
            seen = []
            for call in (lambda: sleep(9), one, now, lambda: sh("true"), lambda: gather(one.bind()), lambda: sleep(1)):
                try:
                    call()
                except BaseException as error:
                    seen.append(type(error).__name__)
            print(seen)
    """,
    )
    engine.send(Message("suspend", {}))
    engine.until("ended")
    assert engine.text() == f"{['Suspended'] * 6}\n"


def test_a_child_is_asked_for_and_its_outcome_is_decoded(engine: ScriptedEngine) -> None:
    source = """
        import datetime
        from flowctl import StepFailed, workflow

        @workflow(queue="slow", priority=3)
        def child(at: datetime.date) -> datetime.date:
            raise AssertionError("runs elsewhere")

        @workflow
        def main() -> str:
            first = child(datetime.date(2026, 1, 2))
            try:
                child(first)
            except StepFailed as error:
                return f"{first:%d.%m.%Y} {error.step} {error.type}"
    """
    waiting(engine, source)
    asked = engine.of_kind("step")[-1]
    assert (asked.fields["key"], asked.fields["workflow"], asked.fields["function"]) == ("child", "child", "child")
    assert asked.fields["path"] == str(engine.directory / "wf.py")
    assert asked.fields["workflow_options"] == {"queue": "slow", "priority": 3}
    assert asked.payload == '{"at":"2026-01-02"}'
    engine.send(Message("outcome", {"key": "child", "state": "succeeded"}, '"2026-01-03"'))
    engine.until("step")
    error = json.dumps({"type": "ValueError", "message": "m", "traceback": ""})
    engine.send(Message("outcome", {"key": "child#2", "state": "failed"}, error))
    assert engine.until("ended").payload == '"03.01.2026 child#2 ValueError"'


def test_after_drain_pure_steps_are_asked_for_like_any_other(engine: ScriptedEngine) -> None:
    engine.load("""
        from flowctl import step, workflow

        @step
        def one() -> int:
            return 1

        @step(pure=True, retries=2)
        def cheap() -> int:
            print("ran")
            return 2

        @workflow
        def main() -> int:
            return one() + cheap()
    """)
    engine.start()
    engine.until("step")
    engine.send(Message("drain", {}), Message("go", {"key": "one", "attempt": 1}))
    while engine.keys() != ["one", "cheap"]:
        engine.receive()
    asked = engine.of_kind("step")[-1]
    assert asked.fields["options"] == {"retries": 2}
    assert engine.nothing_comes(0.05)
    engine.send(Message("suspend", {}))
    assert engine.until("ended").fields == {"state": "suspended"}
    assert engine.text() == ""


PURE = """
    from flowctl import now, random, step, uuid4, workflow

    @step(pure=True)
    def cheap(n: int) -> int:
        return n

    @step
    def dear() -> int:
        return 0

    @workflow
    def main(count: int = 20) -> list:
        values = [cheap(n) for n in range(count)]
        dear()
        return [str(now()), random(), str(uuid4()), len(values)]
"""


def test_pure_steps_travel_with_the_next_step_that_is_not(engine: ScriptedEngine) -> None:
    engine.prelude = UNFLUSHED
    engine.run(PURE)
    frame = next(frame for frame in engine.frames if frame[0].kind == "step")
    assert [message.kind for message in frame] == ["step", "done"] * 20 + ["step"]
    assert frame[0].fields["options"] == {"pure": True}
    assert frame[-1].fields["key"] == "dear"


def test_many_pure_steps_are_sent_in_portions(engine: ScriptedEngine) -> None:
    engine.run(PURE, input={"count": 1000})
    sizes = [len(frame) for frame in engine.frames]
    assert max(sizes) <= 102
    assert len(sizes) >= 20
    assert len(engine.of_kind("done")) == 1004


def test_i05_recorded_values_are_the_same_on_replay(engine: ScriptedEngine) -> None:
    first = engine.run(PURE)
    values = [message for message in engine.of_kind("step") if message.fields["kind"] == "value"]
    assert [message.fields["key"] for message in values] == ["now", "random", "uuid4"]
    engine.past = engine.record()
    assert engine.run().payload == first.payload


def test_a_failed_pure_step_waits_for_the_engine(engine: ScriptedEngine) -> None:
    engine.load("""
        from flowctl import step, workflow
        tries = []

        @step(pure=True, retries=1)
        def cheap() -> int:
            tries.append(1)
            if len(tries) == 1:
                raise ValueError("first")
            return 7

        @workflow
        def main() -> int:
            return cheap()
    """)
    engine.start()
    assert [engine.receive().kind, engine.receive().kind] == ["step", "done"]
    assert engine.nothing_comes(0.03)
    engine.send(Message("go", {"key": "cheap", "attempt": 2}))
    assert engine.until("ended").payload == "7"


def test_a_pure_step_with_a_time_limit_is_asked_for(engine: ScriptedEngine) -> None:
    engine.prelude = UNFLUSHED
    engine.run("""
        from flowctl import step, workflow

        @step(pure=True, timeout="5s")
        def cheap() -> int:
            return 7

        @workflow
        def main() -> int:
            return cheap()
    """)
    assert engine.of_kind("step")[0].fields["options"] == {"timeout_ms": 5000}
    assert [[message.kind for message in frame] for frame in engine.frames[-2:]] == [["step"], ["done", "ended"]]


def test_an_interrupted_pure_step_is_asked_for_like_any_other(engine: ScriptedEngine) -> None:
    engine.run(PURE)
    (first, *rest) = engine.record()
    engine.past = [Message("past", {**first.fields, "state": "interrupted"}, None), *rest]
    engine.start()
    asked = engine.until("step")
    assert "options" not in asked.fields
    assert engine.nothing_comes(0.03)
    engine.send(Message("go", {"key": "cheap", "attempt": 2}))
    assert engine.until("ended").fields["state"] == "succeeded"
