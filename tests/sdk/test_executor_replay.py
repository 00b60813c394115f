"""Recorded steps, and one executor for several runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowctl.sdk.wire import Message
from tests.sdk.scripted_engine import (
    TWO_STEPS,
    ScriptedEngine,
    input_hash,
)


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


@pytest.mark.parametrize(("replay", "what"), [("newest", "source"), ("accept", None)])
def test_i09_changed_step_source_blocks_the_newest_code_and_not_the_accepted(
    engine: ScriptedEngine, replay: str, what: str | None
) -> None:
    engine.load(TWO_STEPS)
    engine.past = [past("double", {"n": 4}, source="00" * 16)]
    engine.replay = replay
    engine.start()
    message = engine.until("ended", "step")
    assert ("ended" if what else "step", what) == (message.kind, message.fields.get("what"))


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


PATIENT = "import flowctl.sdk.state; flowctl.sdk.state._JOIN_S = 30"  # with a thread that is about to end


@pytest.mark.parametrize(
    ("code", "leftovers"),
    [
        ("threading.Thread(target=time.sleep, args=(300,), daemon=True).start()", ["1 thread"]),
        ("[threading.Thread(target=time.sleep, args=(300,)).start() for _ in range(2)]", ["2 threads"]),
        ("subprocess.Popen(['sleep', '300'])", ["1 child process"]),
        ("subprocess.Popen('setsid sleep 300 & setsid sleep 300 &', shell=True).wait()", ["2 child processes"]),
        (f"{PATIENT}; subprocess.run(['true']); threading.Thread(target=int).start()", None),
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


def test_g09_what_the_import_started_was_not_left_behind_by_a_run(engine: ScriptedEngine) -> None:
    engine.load("""
        import subprocess, threading, time
        from flowctl import workflow
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        server = subprocess.Popen(["sleep", "60"])

        @workflow
        def main() -> None:
            pass
    """)
    assert engine.run().fields == {"state": "succeeded"}
    assert engine.run().fields == {"state": "succeeded"}
