"""Runs on a real executor process, driven by a scripted engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowctl.sdk.wire import WIRE_VERSION, Message
from tests.sdk.scripted_engine import ExecutorDied, ScriptedEngine, input_hash


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[ScriptedEngine]:
    with ScriptedEngine(tmp_path) as engine:
        yield engine


TWO_STEPS = """
    from flowctl import step, workflow

    @step
    def double(n: int) -> int:
        return 2 * n

    @step(name="sum up", retries=2, backoff="5s")
    def add(numbers: list[int]) -> int:
        return sum(numbers)

    @workflow
    def main(n: int = 4) -> int:
        '''Add twice.'''
        return add([double(n), double(n + 1)])
"""


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
    engine.run(TWO_STEPS)
    kinds = [[message.kind for message in frame] for frame in engine.frames]
    assert kinds[-4:] == [["step"], ["done", "step"], ["done", "step"], ["done", "ended"]]


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
            time.sleep(5)
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


# -- values ------------------------------------------------------------------------------------------------------------


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


# -- the engine decides ------------------------------------------------------------------------------------------------


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


# -- replay ------------------------------------------------------------------------------------------------------------


def test_recorded_steps_answer_without_a_word_on_the_wire(engine: ScriptedEngine) -> None:
    engine.run(TWO_STEPS)
    engine.past = engine.record()
    before = len(engine.of_kind("step"))
    ended = engine.run()
    assert ended.payload == "18"
    assert len(engine.of_kind("step")) == before


def test_i06_a_recorded_failure_is_the_same_exception_again(engine: ScriptedEngine) -> None:
    source = """
        from flowctl import StepFailed, step, workflow

        @step
        def boom() -> None:
            raise ValueError("once")

        @workflow
        def main() -> list:
            try:
                boom()
            except StepFailed as error:
                return [error.type, error.message, error.traceback, str(error)]
    """
    live = engine.run(source)
    engine.past = engine.record()
    replayed = engine.run()
    assert replayed.payload == live.payload
    assert len(engine.of_kind("done")) == 1


@pytest.mark.parametrize("state", ["running", "interrupted"])
def test_an_unfinished_step_is_asked_for_again(engine: ScriptedEngine, state: str) -> None:
    engine.load(TWO_STEPS)
    fields = {"seq": 1, "key": "double", "kind": "step", "state": state, "input_hash": input_hash({"n": 4})}
    engine.past = [Message("past", {**fields, "source_hash": None}, None)]
    engine.start()
    assert engine.until("step").fields["key"] == "double"


def past(key: str, plain: object, *, seq: int = 1, kind: str = "step", source: str | None = None) -> Message:
    fields = {"seq": seq, "key": key, "kind": kind, "state": "succeeded", "input_hash": input_hash(plain)}
    return Message("past", {**fields, "source_hash": source}, "1")


def test_i01_a_mismatch_ends_the_run_and_cannot_be_swallowed(engine: ScriptedEngine) -> None:
    engine.load("""
        from flowctl import step, workflow

        @step
        def parse() -> int:
            return 1

        @workflow
        def main() -> int:
            try:
                return parse()
            except BaseException:
                return 5
    """)
    engine.past = [past("fetch", {})]
    engine.start()
    ended = engine.until("ended")
    assert ended.fields == {"state": "mismatch", "seq": 1, "key": "parse", "what": "key", "expected": "fetch"}
    assert engine.of_kind("step") == []


def test_i02_a_changed_input_is_reported_with_what_is_asked_now(engine: ScriptedEngine) -> None:
    engine.load(TWO_STEPS)
    engine.past = [past("double", {"n": 5})]
    engine.start(input={"n": 4})
    ended = engine.until("ended")
    assert (ended.fields["what"], ended.payload) == ("input", '{"n":4}')


def test_i09_changed_step_source_blocks_the_newest_code_and_not_the_accepted(engine: ScriptedEngine) -> None:
    engine.load(TWO_STEPS)
    engine.past = [past("double", {"n": 4}, source="00" * 16)]
    engine.replay = "newest"
    engine.start()
    assert engine.until("ended").fields["what"] == "source"
    engine.replay = "accept"
    engine.start()
    assert engine.until("step").fields["key"] == "double#2"


def test_i09_the_source_hash_ignores_other_functions_and_sees_the_step(engine: ScriptedEngine, tmp_path: Path) -> None:
    engine.run(TWO_STEPS)
    first = [step.fields["source"] for step in engine.of_kind("step")]
    for change, same in (("Add twice.", True), ("2 * n", False)):
        folder = tmp_path / change.replace(" ", "").replace("*", "x")
        folder.mkdir()
        with ScriptedEngine(folder) as other:
            other.run(TWO_STEPS.replace(change, "n + n"))
            assert (other.of_kind("step")[0].fields["source"] == first[0]) is same
            assert other.of_kind("step")[2].fields["source"] == first[2]


def test_l03_parameters_that_changed_are_reported_and_not_guessed(engine: ScriptedEngine) -> None:
    engine.load(TWO_STEPS)
    engine.start(input={"m": 1})
    ended = engine.until("ended")
    assert (ended.fields["state"], ended.fields["what"]) == ("mismatch", "parameters")
    assert "'m'" in ended.fields["message"]


def test_l02_a_workflow_function_that_is_gone_is_reported(engine: ScriptedEngine) -> None:
    engine.load(TWO_STEPS)
    engine.start(function="gone")
    ended = engine.until("ended")
    assert (ended.fields["what"], "gone" in ended.fields["message"]) == ("workflow", True)


# -- one executor, several runs ----------------------------------------------------------------------------------------


def test_an_executor_runs_one_run_after_the_other(engine: ScriptedEngine) -> None:
    engine.load(TWO_STEPS)
    outputs = [engine.run(input={"n": n}, run=n).payload for n in range(5)]
    assert outputs == ["2", "6", "10", "14", "18"]
    assert {message.fields["key"] for message in engine.of_kind("step")} == {"double", "double#2", "sum up"}


def test_words_that_come_too_late_for_a_run_do_not_touch_the_next(engine: ScriptedEngine) -> None:
    engine.run(TWO_STEPS)
    engine.send(Message("drain", {}), Message("suspend", {}), Message("go", {"key": "double", "attempt": 9}))
    assert engine.run().payload == "18"


def test_l09_what_a_run_changes_about_its_process_is_put_back(engine: ScriptedEngine, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    engine.load("""
        import locale, os, random, signal, sys, warnings
        from flowctl import step, workflow

        def look():
            mask = os.umask(0); os.umask(mask)
            blocked = sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, [])))
            handled = signal.getsignal(signal.SIGUSR1) is not signal.SIG_DFL
            return [os.getcwd(), mask, os.environ.get("LEAK"), "HOME" in os.environ, handled, blocked,
                    locale.setlocale(locale.LC_ALL), len(sys.argv), sys.path[0], sys.getrecursionlimit(),
                    len(warnings.filters), signal.getitimer(signal.ITIMER_REAL)[0]]

        @step
        def vandal() -> None:
            os.chdir("elsewhere"); os.umask(0o777); os.environ["LEAK"] = "1"; os.environ.pop("HOME", None)
            signal.signal(signal.SIGUSR1, lambda *a: None); locale.setlocale(locale.LC_ALL, "C")
            sys.argv.append("x"); sys.path.insert(0, "/nowhere"); sys.setrecursionlimit(5000)
            warnings.simplefilter("error")
            signal.setitimer(signal.ITIMER_REAL, 500); signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
            sys.stdout = open(os.devnull, "w"); os.close(2); os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

        @workflow
        def main(damage: bool = False) -> list:
            before = look()
            if damage:
                vandal()
            print("still heard")
            return before
    """)
    first = engine.run(input={"damage": True})
    second = engine.run(input={"damage": False})
    assert first.fields == second.fields == {"state": "succeeded"}
    assert first.payload == second.payload
    assert engine.text().count("still heard") == 1  # the vandal took its own run's stdout away, not the next one's


def test_a_seed_of_one_run_does_not_make_the_next_predictable(engine: ScriptedEngine) -> None:
    engine.load("""
        import random
        from flowctl import workflow

        @workflow
        def main() -> float:
            value = random.random()
            random.seed(1)
            return value
    """)
    assert len({engine.run().payload for _ in range(3)}) == 3


@pytest.mark.parametrize(
    ("code", "leftovers"),
    [
        ("threading.Thread(target=time.sleep, args=(30,), daemon=True).start()", ["1 thread"]),
        ("[threading.Thread(target=time.sleep, args=(30,)).start() for _ in range(2)]", ["2 threads"]),
        ("subprocess.Popen(['sleep', '30'])", ["1 child process"]),
        ("subprocess.Popen('setsid sleep 30 & setsid sleep 30 &', shell=True).wait()", ["2 child processes"]),
        ("subprocess.run(['true']); threading.Thread(target=int).start()", None),
        ("os.chdir('/tmp'); import shutil; shutil.rmtree(home)", ["a working directory that is gone"]),
    ],
)
def test_g09_what_a_run_leaves_behind_is_told_with_its_end(
    tmp_path: Path, code: str, leftovers: list[str] | None
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with ScriptedEngine(home) as engine:
        ended = engine.run(f"""
            import os, subprocess, threading, time
            from flowctl import step, workflow
            home = os.getcwd()

            @step
            def leave() -> None:
                {code}

            @workflow
            def main() -> None:
                leave()
        """)
        assert ended.fields["state"] == "succeeded"
        found = ended.fields.get("leftovers")
        assert (found and [text.split(":")[0] for text in found]) == leftovers
