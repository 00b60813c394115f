"""Suspension, draining, cancellation, and the end of the engine, on a real executor process."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowctl.sdk import processes
from flowctl.sdk.wire import Message
from tests.sdk.scripted_engine import ScriptedEngine, alive, time_limit, wait_until


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[ScriptedEngine]:
    with ScriptedEngine(tmp_path) as engine:
        yield engine


def waiting(engine: ScriptedEngine, source: str) -> None:
    """Load, start, and go on until the run waits in its first sleep or child."""
    assert engine.load(source).kind == "loaded"
    engine.start()
    while True:
        message = engine.receive()
        if message.kind == "step" and message.fields["kind"] in ("sleep", "child"):
            return
        engine.answer(message)


SLEEPER = """
    from flowctl import sleep, step, workflow

    @step
    def one() -> int:
        return 1

    @workflow
    def main() -> int:
        first = one()
        sleep("2d")
        return first + one()
"""


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


# -- drain -------------------------------------------------------------------------------------------------------------


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


# -- pure and value ----------------------------------------------------------------------------------------------------


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


# -- cancel ------------------------------------------------------------------------------------------------------------


def cancel(engine: ScriptedEngine, after: str) -> Message:
    """Send SIGTERM once the executor has printed `after`; return `ended`."""
    while after not in engine.text():
        assert engine.nothing_comes(0.05), "it ended before it was cancelled"
    processes.signal_tree(engine.mark, engine.process.pid, signal.SIGTERM)
    return engine.until("ended")


def start(engine: ScriptedEngine, source: str) -> None:
    engine.load(source)
    engine.start()


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
                time.sleep(30)
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
    with time_limit(2):
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
                    time.sleep(0 if _ else 30)
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
            sh("trap 'sleep 0.1; echo cleaned >> ledger; exit 1' TERM; echo begun; sleep 30 & wait")
    """,
    )
    engine.answer(engine.until("step"))
    assert cancel(engine, "begun").fields == {"state": "cancelled"}
    assert (tmp_path / "ledger").read_text() == "cleaned\n"


def test_g12_a_second_sigterm_does_not_cut_the_clean_up_short(engine: ScriptedEngine) -> None:
    start(
        engine,
        """
        import time
        from flowctl import workflow

        @workflow
        def main() -> None:
            try:
                print("begun")
                time.sleep(30)
            finally:
                print("cleaning")
                time.sleep(0.2)
                print("cleaned")
    """,
    )
    while "begun" not in engine.text():
        engine.nothing_comes(0.02)
    engine.process.terminate()
    while "cleaning" not in engine.text():
        engine.nothing_comes(0.02)
    engine.process.terminate()
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
    stuck = f"/proc/{engine.process.pid}/wchan"
    wait_until(lambda: "sock_alloc" in Path(stuck).read_text())  # in the middle of a frame: nobody reads
    engine.process.terminate()
    time.sleep(0.05)
    assert engine.until("ended").fields == {"state": "cancelled"}


def test_an_idle_executor_ends_at_sigterm(engine: ScriptedEngine) -> None:
    engine.run(SLEEPER)
    engine.process.terminate()
    assert engine.died() == -signal.SIGTERM


# -- the engine's end --------------------------------------------------------------------------------------------------


def busy(engine: ScriptedEngine, body: str) -> None:
    """Start a run whose step prints its pid and goes on with `body`."""
    start(
        engine,
        f"""
        import ctypes, os, subprocess, threading, time
        from flowctl import sh, step, workflow

        @step
        def work() -> None:
            print("begun")
            {body}

        @workflow
        def main() -> None:
            work()
    """,
    )
    engine.answer(engine.until("step"))
    while "begun" not in engine.text():
        assert engine.nothing_comes(0.05)


@pytest.mark.parametrize("body", ["time.sleep(60)", "while True: pass", "threading.Event().wait()"])
def test_a05_an_executor_ends_with_its_engine(engine: ScriptedEngine, body: str) -> None:
    busy(engine, body)
    engine.channel.close()
    assert engine.died(1.0) == -signal.SIGKILL


def test_a05_an_idle_executor_ends_with_its_engine(engine: ScriptedEngine) -> None:
    engine.until("hello")
    engine.channel.close()
    assert engine.died(1.0) == -signal.SIGKILL


def test_a05_what_the_executor_started_ends_with_it(engine: ScriptedEngine, tmp_path: Path) -> None:
    busy(engine, "sh('setsid sh -c \"echo \\\\$\\\\$ > pid; exec sleep 60\" & sleep 60')")
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    pid = int((tmp_path / "pid").read_text())
    assert alive(pid)
    engine.channel.close()
    engine.died(1.0)
    wait_until(lambda: not alive(pid), 1.0)
    assert processes.find_tree(engine.mark) == []


def test_a05_c06_code_that_never_lets_go_of_the_lock_ends_with_the_engines_process(tmp_path: Path) -> None:
    """An engine process of its own, because the kernel signals the death of the parent."""
    (tmp_path / "wf.py").write_text(
        "import ctypes\nfrom flowctl import step, workflow\n"
        "@step\ndef work() -> None:\n    print('begun', flush=True)\n    ctypes.PyDLL(None).sleep(60)\n"
        "@workflow\ndef main() -> None:\n    work()\n"
    )
    (tmp_path / "host.py").write_text(
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from flowctl.sdk.wire import Message\n"
        "from tests.sdk.scripted_engine import ScriptedEngine\n"
        "engine = ScriptedEngine(Path(sys.argv[1]))\n"
        "engine.send(Message('load', {'path': sys.argv[1] + '/wf.py', 'pinned': False}))\n"
        "engine.until('loaded')\n"
        "engine.start()\n"
        "engine.answer(engine.until('step'))\n"
        "time.sleep(0.05)\n"
        "print(engine.process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    import subprocess
    import sys

    root = str(Path(__file__).resolve().parents[2])
    host = subprocess.Popen(
        [sys.executable, str(tmp_path / "host.py"), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": root},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert host.stdout is not None
    pid = int(host.stdout.readline())
    assert alive(pid)
    host.kill()
    host.wait()
    host.stdout.close()
    wait_until(lambda: not alive(pid), 2.0)


def test_l10_bytes_written_into_the_channel_by_user_code_are_not_a_frame(engine: ScriptedEngine) -> None:
    from flowctl.sdk.wire import WireError

    start(
        engine,
        """
        import os
        from flowctl import step, workflow

        @step
        def forge() -> None:
            for fd in range(3, 64):
                try:
                    os.write(fd, b'{"state":"succeeded"}' * 10)
                except OSError:
                    pass

        @workflow
        def main() -> None:
            forge()
    """,
    )
    engine.answer(engine.until("step"))
    with pytest.raises(WireError):
        engine.serve()


def test_a_forked_child_cannot_speak_for_the_executor(engine: ScriptedEngine) -> None:
    ended = engine.run("""
        import os
        from flowctl import step, workflow

        @step
        def split() -> str:
            child = os.fork()
            if child == 0:
                print("from the child")
                return "child"
            os.waitpid(child, 0)
            return "parent"

        @workflow
        def main() -> str:
            return split()
    """)
    assert ended.payload == '"parent"'
    assert engine.text() == ""
    assert b"from the child" in engine.raw_output()


def test_multiprocessing_works_in_a_step(engine: ScriptedEngine) -> None:
    ended = engine.run("""
        import multiprocessing
        from flowctl import step, workflow

        def square(n):
            return n * n

        @step
        def spread() -> list:
            found = []
            for method in ("fork", "spawn"):
                with multiprocessing.get_context(method).Pool(2) as pool:
                    found += pool.map(square, range(3))
                    pool.close()
                    pool.join()
            return found

        @workflow
        def main() -> list:
            return spread()
    """)
    assert ended.payload == "[0,1,4,0,1,4]"
