"""gather on a real executor process: order, places, threads, failures, replay."""

from __future__ import annotations

import json

import pytest

from flowctl.sdk.wire import Message
from tests.sdk.scripted_engine import ScriptedEngine, in_time

SPREAD = """
    import threading, time
    from flowctl import StepFailed, gather, sh, step, workflow

    peak, running, lock, threads, met = 0, 0, threading.Lock(), set(), threading.Event()
    turns = [threading.Event() for _ in range(9)]

    @step
    def work(n: int, together: int = 1) -> int:
        global peak, running
        with lock:
            running += 1
            peak = max(peak, running)
            threads.add(threading.get_ident())
            if peak >= together:
                met.set()
        met.wait()
        time.sleep(0.002)
        print("work", n)
        with lock:
            running -= 1
        return n * n

    @workflow
    def main(count: int = 12, concurrency: int = 4, together: int = 1) -> list:
        results = gather(*[work.bind(n, together) for n in range(count)], concurrency=concurrency)
        return [results, peak, len(threads), threading.active_count()]

    @step(name="work")
    def wait_for_the_next(n: int) -> int:
        if n < 8:
            turns[n + 1].wait()
        turns[n].set()
        return n * n

    @workflow
    def backwards() -> list:
        return gather(*[wait_for_the_next.bind(n) for n in range(9)], concurrency=9)
"""


def test_results_come_in_the_order_of_the_calls(engine: ScriptedEngine) -> None:
    ended = engine.run(SPREAD, "backwards")
    assert ended.payload == json.dumps([n * n for n in range(9)], separators=(",", ":"))
    finished = [message.fields["key"] for message in engine.of_kind("done")]
    assert finished != sorted(finished, key=lambda key: int(key.partition("#")[2] or 1))


@pytest.mark.parametrize("concurrency", [1, 2, 4])
def test_f01_no_more_bodies_and_threads_than_places(engine: ScriptedEngine, concurrency: int) -> None:
    ended = engine.run(SPREAD, input={"concurrency": concurrency, "together": concurrency})
    results, peak, threads, left = json.loads(ended.payload or "")
    assert results == [n * n for n in range(12)]
    assert peak == concurrency
    assert threads <= concurrency
    assert left == 3  # the workflow's own, the flusher and the lifeline
    assert "leftovers" not in ended.fields


def test_no_more_steps_are_begun_than_places(engine: ScriptedEngine) -> None:
    engine.load(SPREAD)
    engine.start(input={"concurrency": 3})
    begun = [engine.until("step").fields["key"] for _ in range(3)]
    assert begun == ["work", "work#2", "work#3"]
    assert engine.nothing_comes(0.03)
    engine.send(Message("go", {"key": "work#2", "attempt": 1}))
    assert engine.until("done").fields["key"] == "work#2"
    assert engine.until("step").fields["key"] == "work#4"


def test_the_end_of_a_branch_and_the_next_ones_beginning_travel_in_one_frame(engine: ScriptedEngine) -> None:
    engine.run(SPREAD, input={"count": 30, "concurrency": 2})
    together = [frame for frame in engine.frames if [message.kind for message in frame][-2:] == ["done", "step"]]
    assert len(together) == 28


def test_i04_keys_and_places_do_not_depend_on_who_finishes_first(engine: ScriptedEngine) -> None:
    engine.load(SPREAD)
    for function in ("backwards", "main"):
        before = len(engine.of_kind("step"))
        engine.run(function=function)
        places = {(m.fields["key"], m.fields["seq"], m.payload) for m in engine.of_kind("step")[before:]}
        assert {(key, seq) for key, seq, _ in places} >= {("work", 1), *((f"work#{n}", n) for n in range(2, 10))}
        assert all(json.loads(payload or "")["n"] == seq - 1 for _, seq, payload in places)


def test_output_of_parallel_branches_goes_to_the_step_that_printed_it(engine: ScriptedEngine) -> None:
    engine.run(SPREAD)
    for n in range(12):
        assert engine.text("stdout", "work" if n == 0 else f"work#{n + 1}") == f"work {n}\n"


def test_serial_runs_one_branch_at_a_time(engine: ScriptedEngine) -> None:
    engine.serial = True
    ended = engine.run(SPREAD)
    assert json.loads(ended.payload or "")[1:3] == [1, 1]


FAILING = """
    import time
    from flowctl import StepFailed, gather, sh, step, workflow

    @step
    def work(n: int) -> int:
        if n in (2, 4):
            time.sleep(0.02 if n == 2 else 0)
            raise ValueError(n)
        print("ran", n)
        return n

    @workflow
    def main() -> list:
        try:
            gather(*[work.bind(n) for n in range(6)], sh.bind("true; exit 3"), concurrency=2)
        except StepFailed as error:
            print(error.step, error.failed_keys, error.message)
            raise
"""


@pytest.mark.parametrize("serial", [False, True])
def test_all_branches_end_before_the_first_failure_in_order_is_raised(engine: ScriptedEngine, serial: bool) -> None:
    engine.serial = serial
    ended = engine.run(FAILING)
    assert ended.fields == {"state": "failed", "failed_steps": ["work#3", "work#5", "sh"]}
    assert "work#3 ('work#3', 'work#5', 'sh') 2\n" in engine.text()
    assert engine.text().count("ran") == 4


def test_a_failed_branch_keeps_its_place_until_the_engine_has_decided(engine: ScriptedEngine) -> None:
    engine.load("""
        from flowctl import current_run, gather, step, workflow

        @step(retries=2)
        def work(n: int) -> int:
            if n == 0 and current_run().step_attempt < 3:
                raise ValueError()
            return current_run().step_attempt

        @workflow
        def main() -> list:
            return gather(*[work.bind(n) for n in range(3)], concurrency=1 + 1)
    """)
    engine.start()
    assert [engine.until("step").fields["key"] for _ in range(2)] == ["work", "work#2"]
    for attempt in (1, 2):
        engine.send(Message("go", {"key": "work", "attempt": attempt}))
        assert engine.until("done").fields["state"] == "failed"
        assert engine.nothing_comes(0.02)
    engine.send(Message("go", {"key": "work#2", "attempt": 1}))
    assert engine.until("step").fields["key"] == "work#3"
    engine.send(Message("go", {"key": "work", "attempt": 3}), Message("go", {"key": "work#3", "attempt": 1}))
    assert engine.until("ended").payload == "[3,1,1]"


def test_children_and_commands_are_branches_too(engine: ScriptedEngine) -> None:
    engine.load("""
        from flowctl import gather, sh, step, workflow

        @step
        def one() -> int:
            return 1

        @workflow
        def child(n: int) -> int:
            return n

        @workflow
        def main() -> list:
            first, second, third = gather(child.bind(5), sh.bind(["echo", "hi"]), one.bind())
            return [first, second.stdout, third]
    """)
    engine.start()
    asked = [engine.until("step") for _ in range(3)]
    assert [message.fields["kind"] for message in asked] == ["child", "shell", "step"]
    for message in asked[1:]:
        engine.answer(message)
    engine.until("done")
    engine.until("done")
    engine.send(Message("outcome", {"key": "child", "state": "succeeded"}, "5"))
    assert engine.until("ended").payload == '[5,"hi\\n",1]'


def test_a_suspended_gather_goes_on_by_replay(engine: ScriptedEngine) -> None:
    source = """
        from flowctl import gather, step, workflow

        @step
        def one(n: int) -> int:
            return n

        @workflow
        def child() -> int:
            return 0

        @workflow
        def main() -> list:
            return gather(one.bind(1), child.bind(), one.bind(2), concurrency=3)
    """
    engine.load(source)
    engine.start()
    for _ in range(3):
        message = engine.until("step")
        if message.fields["kind"] == "step":
            engine.answer(message)
    engine.until("done")
    engine.until("done")
    engine.send(Message("suspend", {}))
    assert engine.until("ended").fields == {"state": "suspended"}
    record = engine.record()
    engine.past = [
        m if m.fields["kind"] == "step" else Message("past", {**m.fields, "state": "running"}) for m in record
    ]
    engine.start()
    asked = engine.until("step")
    assert asked.fields["key"] == "child"
    engine.send(Message("outcome", {"key": "child", "state": "succeeded"}, "9"))
    assert engine.until("ended").payload == "[1,9,2]"


def test_a_mismatch_in_one_branch_starts_none(engine: ScriptedEngine) -> None:
    engine.load(SPREAD)
    fields = {"seq": 3, "key": "other", "kind": "step", "state": "succeeded", "input_hash": "00", "source_hash": None}
    engine.past = [Message("past", fields, "1")]
    engine.start()
    ended = engine.until("ended")
    assert (ended.fields["seq"], ended.fields["what"]) == (3, "key")
    assert engine.of_kind("step") == []


def test_a_replayed_gather_says_nothing(engine: ScriptedEngine) -> None:
    first = engine.run(SPREAD)
    engine.past = engine.record()
    before = len(engine.of_kind("step"))
    again = engine.run()
    assert json.loads(again.payload or "")[0] == json.loads(first.payload or "")[0]
    assert len(engine.of_kind("step")) == before


def test_pure_branches_begin_unasked_and_are_recorded(engine: ScriptedEngine) -> None:
    ended = engine.run("""
        from flowctl import gather, step, workflow

        @step(pure=True)
        def cheap(n: int) -> int:
            return n + 1

        @workflow
        def main() -> list:
            return gather(*[cheap.bind(n) for n in range(50)])
    """)
    assert json.loads(ended.payload or "") == list(range(1, 51))
    assert len(engine.of_kind("step")) == len(engine.of_kind("done")) == 50
    kinds = [message.kind for message in engine.messages if message.kind in ("step", "done")]
    assert kinds == ["step", "done"] * 50


def test_an_empty_gather_gives_an_empty_list(engine: ScriptedEngine) -> None:
    ended = engine.run("from flowctl import *\n@workflow\ndef main() -> list:\n    return gather()\n")
    assert ended.payload == "[]"


def test_g11_a_cancelled_gather_ends_although_its_bodies_go_on(engine: ScriptedEngine) -> None:
    engine.load("""
        import time
        from flowctl import gather, step, workflow

        @step
        def slow(n: int) -> None:
            print("begun")
            time.sleep(300)

        @workflow
        def main() -> None:
            gather(slow.bind(1), slow.bind(2))
    """)
    engine.start()
    for _ in range(2):
        engine.answer(engine.until("step"))
    while engine.text().count("begun") < 2:
        engine.nothing_comes(0.02)
    engine.process.terminate()
    with in_time():
        assert engine.until("ended").fields == {"state": "cancelled", "leftovers": ["2 threads"]}


def test_a_secret_asked_for_by_a_branch_is_answered(engine: ScriptedEngine) -> None:
    engine.secrets = {"TOKEN": "s3cret-value"}
    ended = engine.run("""
        import threading
        from flowctl import gather, secret, step, workflow

        @step
        def length(n: int) -> int:
            found = []
            threading.Thread(target=lambda: found.append(len(secret("TOKEN")))).start()
            while not found:
                pass
            return len(secret("TOKEN")) + found[0]

        @workflow
        def main() -> list:
            return [length(0), *gather(length.bind(1), length.bind(2), length.bind(3))]
    """)
    assert ended.payload == "[24,24,24,24]"


def test_a_pure_branch_that_may_not_begin_asks_like_any_other(engine: ScriptedEngine) -> None:
    engine.load("""
        from flowctl import gather, step, workflow

        @step
        def work(n: int) -> int:
            return n

        @step(pure=True, retries=1)
        def look(n: int) -> int:
            return n

        @workflow
        def main() -> list:
            return gather(work.bind(1), work.bind(2), look.bind(3), concurrency=2)
    """)
    engine.start()
    assert ["work", "work#2"] == [engine.until("step").fields["key"] for _ in range(2)]
    engine.send(Message("drain", {}), Message("go", {"key": "work", "attempt": 1}))
    asked = engine.until("step")
    assert ("look", {"retries": 1}) == (asked.fields["key"], asked.fields["options"])
    engine.send(Message("go", {"key": "look", "attempt": 1}), Message("go", {"key": "work#2", "attempt": 1}))
    assert "[1,2,3]" == engine.until("ended").payload
    assert ["work", "work#2", "look"] == engine.keys()


def test_f08_a_thousand_branches_cost_a_frame_each(engine: ScriptedEngine) -> None:
    engine.load("""
        from flowctl import gather, step, workflow

        @step
        def tiny(n: int) -> int:
            return n

        @workflow
        def main() -> int:
            return sum(gather(*[tiny.bind(n) for n in range(1000)], concurrency=50))
    """)
    with in_time():
        assert engine.run().payload == str(sum(range(1000)))
    assert len(engine.frames) < 1100
