"""Runs on a real executor process, driven by a scripted engine."""

from __future__ import annotations

import json

from flowctl.sdk.wire import WIRE_VERSION, Message
from tests.sdk.scripted_engine import (
    TWO_STEPS,
    UNFLUSHED,
    ScriptedEngine,
    input_hash,
)


def test_an_executor_greets_and_describes_what_it_loaded(engine: ScriptedEngine) -> None:
    hello = engine.until("hello")
    assert (hello.fields["wire"], hello.fields["pid"]) == (WIRE_VERSION, engine.process.pid)
    loaded = engine.load(TWO_STEPS)
    (workflow,) = loaded.fields["workflows"]
    assert (workflow["name"], workflow["function"], workflow["doc"]) == ("main", "main", "Add twice.")
    assert workflow["parameters"]["properties"]["n"]["default"] == 4


def test_an_executor_of_another_wire_version_ends(engine: ScriptedEngine) -> None:
    engine.until("hello")
    engine.send(Message("welcome", {"wire": WIRE_VERSION + 1, "payload_limit": 1}))
    assert engine.died() == 1
    assert engine.process.stderr is not None
    assert b"version" in engine.process.stderr.read()


def test_a_run_asks_for_each_step_and_returns_the_output(engine: ScriptedEngine) -> None:
    ended = engine.run(TWO_STEPS, input={"n": 1})
    assert (ended.fields, ended.payload) == ({"state": "succeeded"}, "6")
    first, second, third = engine.of_kind("step")
    assert (first.fields["seq"], first.fields["key"], first.payload) == (1, "double", '{"n":1}')
    assert (second.fields["key"], second.fields["kind"]) == ("double#2", "step")
    assert third.fields["input_hash"] == input_hash({"numbers": [2, 4]})
    assert third.fields["options"] == {"retries": 2, "backoff_ms": 5000}
    assert "options" not in first.fields
    assert [message.payload for message in engine.of_kind("done")] == ["2", "4", "6"]


def test_finishing_a_step_and_beginning_the_next_travel_in_one_frame(engine: ScriptedEngine) -> None:
    engine.prelude = UNFLUSHED
    engine.run(TWO_STEPS)
    kinds = [[message.kind for message in frame] for frame in engine.frames]
    assert kinds[-4:] == [["step"], ["done", "step"], ["done", "step"], ["done", "ended"]]


def test_the_end_of_a_run_and_the_first_step_of_the_next_travel_in_one_frame(engine: ScriptedEngine) -> None:
    engine.prelude = UNFLUSHED
    engine.load(TWO_STEPS)
    engine.start()
    for run in (2, 3):
        assert engine.receive().kind == "step"
        engine.send(engine.run_message(input={"n": run}, run=run), Message("go", {"key": "double", "attempt": 1}))
        assert engine.serve().fields["state"] == "succeeded"
    assert engine.serve().payload == "14"
    kinds = [[message.kind for message in frame] for frame in engine.frames]
    assert kinds.count(["done", "ended", "step"]) == 2
    assert kinds[-1] == ["done", "ended"]
    assert [message.payload for message in engine.of_kind("ended")] == ["18", "10", "14"]


def test_a_run_that_dawdles_does_not_hold_back_the_end_of_the_one_before(engine: ScriptedEngine) -> None:
    engine.load("""
        import time
        from flowctl import workflow

        @workflow
        def main(nap: float) -> None:
            time.sleep(nap)
    """)
    engine.send(engine.run_message(input={"nap": 0.1}), engine.run_message(input={"nap": 300}, run=2))
    assert engine.receive().kind == "ended"


def test_a_done_is_sent_without_a_next_step_when_the_workflow_dawdles(engine: ScriptedEngine) -> None:
    engine.load("""
        import time
        from flowctl import step, workflow

        @step
        def one() -> int:
            return 1

        @workflow
        def main() -> None:
            one()
            time.sleep(300)
    """)
    engine.start()
    engine.answer(engine.until("step"))
    assert engine.until("done").payload == "1"  # long before the workflow function ends


def test_bind_answers_with_input_and_hash_or_with_a_reason(engine: ScriptedEngine) -> None:
    engine.load(TWO_STEPS)
    engine.send(Message("bind", {"function": "main", "texts": {"n": "7"}}))
    bound = engine.until("bound", "rejected")
    assert (bound.kind, bound.payload, bound.fields["input_hash"]) == ("bound", '{"n":7}', input_hash({"n": 7}))
    engine.send(Message("bind", {"function": "main", "texts": {"n": "seven"}}))
    rejected = engine.until("bound", "rejected")
    assert rejected.kind == "rejected"
    assert "n" in rejected.fields["message"]


def test_i10_what_a_step_returned_is_a_copy_live_as_on_replay(engine: ScriptedEngine) -> None:
    ended = engine.run("""
        from flowctl import step, workflow
        kept = {"n": 1}

        @step
        def give() -> dict:
            return kept

        @workflow
        def main() -> list:
            first = give()
            first["n"] = 99
            return [kept, give()]
    """)
    assert json.loads(ended.payload or "") == [{"n": 1}, {"n": 1}]


def test_i10_a_body_that_changes_its_argument_does_not_change_the_workflows_variable(engine: ScriptedEngine) -> None:
    ended = engine.run("""
        from flowctl import step, workflow

        @step
        def spoil(items: list) -> None:
            items.clear()

        @workflow
        def main() -> list:
            items = [1, 2]
            spoil(items)
            return items
    """)
    assert ended.payload == "[1,2]"


def test_an_async_step_is_run_to_its_end(engine: ScriptedEngine) -> None:
    ended = engine.run("""
        import asyncio
        from flowctl import current_run, step, workflow

        @step
        async def slow(n: int) -> str:
            await asyncio.sleep(0.001)
            print("async")
            return f"{n} {current_run().step}"

        @workflow
        def main() -> str:
            return slow(3)
    """)
    assert ended.payload == '"3 slow"'
    assert engine.text("stdout", "slow") == "async\n"


def test_b04_an_output_that_cannot_be_recorded_fails_the_step_without_retry(engine: ScriptedEngine) -> None:
    ended = engine.run("""
        import socket
        from flowctl import step, workflow

        @step(retries=5)
        def give() -> dict:
            return {"items": [1, {"s": socket.socket()}]}

        @workflow
        def main() -> None:
            give()
    """)
    (done,) = engine.of_kind("done")
    assert (done.fields["state"], done.fields["retry"]) == ("failed", False)
    assert ".items[1].s" in json.loads(done.payload or "")["message"]
    assert ended.fields["failed_steps"] == ["give"]


def test_an_input_that_cannot_be_recorded_is_refused_before_anything_is_sent(engine: ScriptedEngine) -> None:
    ended = engine.run("""
        from flowctl import step, workflow

        @step
        def take(x) -> None:
            pass

        @workflow
        def main() -> None:
            take(lambda: 1)
    """)
    assert ended.fields["state"] == "failed"
    assert engine.of_kind("step") == []


def test_k02_an_output_beyond_the_limit_fails_the_step_without_retry(engine: ScriptedEngine) -> None:
    engine.run("""
        from flowctl import step, workflow

        @step(retries=1)
        def big() -> str:
            return "é" * 600_000

        @workflow
        def main() -> None:
            big()
    """)
    (done,) = engine.of_kind("done")
    assert done.fields["retry"] is False
    assert "1.1 MB" in json.loads(done.payload or "")["message"]


def test_calls_inside_a_step_are_plain(engine: ScriptedEngine) -> None:
    ended = engine.run("""
        from flowctl import gather, now, sh, step, workflow

        @step
        def inner(n: int) -> int:
            return n + 1

        @workflow
        def child() -> int:
            return inner(10)

        @step
        def outer() -> list:
            now()
            return [inner(1), *gather(inner.bind(2), inner.bind(3)), child(), sh("echo x").stdout]

        @workflow
        def main() -> list:
            return outer()
    """)
    assert json.loads(ended.payload or "") == [2, 3, 4, 11, "x\n"]
    assert engine.keys() == ["outer"]


def test_k11_twenty_thousand_steps_leave_the_executor_as_small_as_it_was(engine: ScriptedEngine) -> None:
    engine.load("""
        from flowctl import step, workflow

        @step(pure=True)
        def cheap(n: int) -> str:
            return "x" * 100

        @step
        def look() -> int:
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * 4

        @workflow
        def main() -> int:
            for n in range(2_000):
                cheap(n)
            before = look()
            for n in range(18_000):
                cheap(n)
            return look() - before
    """)
    engine.start()
    while True:
        message = engine.receive()
        engine.messages.clear()
        engine.frames.clear()
        if message.kind == "ended":
            break
        engine.answer(message)
    assert int(message.payload or "") < 1024
