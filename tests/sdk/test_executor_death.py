"""The end of the engine, and what user code does to the channel."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flowctl.sdk import processes
from flowctl.sdk.wire import WireError
from tests.sdk.scripted_engine import (
    ROOT,
    ScriptedEngine,
    alive,
    start,
    wait_until,
)


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


@pytest.mark.parametrize("body", ["time.sleep(300)", "while True: pass", "threading.Event().wait()"])
def test_a05_an_executor_ends_with_its_engine(engine: ScriptedEngine, body: str) -> None:
    busy(engine, body)
    engine.channel.close()
    assert engine.died() == -signal.SIGKILL


def test_a05_an_idle_executor_ends_with_its_engine(engine: ScriptedEngine) -> None:
    engine.until("hello")
    engine.channel.close()
    assert engine.died() == -signal.SIGKILL


def test_a05_what_the_executor_started_ends_with_it(engine: ScriptedEngine, tmp_path: Path) -> None:
    busy(engine, "sh('setsid sh -c \"echo \\\\$\\\\$ > pid; exec sleep 300\" & sleep 300')")
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    pid = int((tmp_path / "pid").read_text())
    assert alive(pid)
    engine.channel.close()
    engine.died()
    wait_until(lambda: not alive(pid))
    wait_until(lambda: processes.find_tree(engine.mark) == [])


def test_a05_c06_code_that_never_lets_go_of_the_lock_ends_with_the_engines_process(tmp_path: Path) -> None:
    """An engine process of its own, because the kernel signals the death of the parent."""
    (tmp_path / "wf.py").write_text(
        "import ctypes\nfrom flowctl import step, workflow\n"
        "@step\ndef work() -> None:\n    print('begun', flush=True)\n    ctypes.PyDLL(None).sleep(300)\n"
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
        "time.sleep(300)\n"
    )
    host = subprocess.Popen(
        [sys.executable, str(tmp_path / "host.py"), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": ROOT},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert host.stdout is not None
    pid = int(host.stdout.readline())
    assert alive(pid)
    host.kill()
    host.wait()
    host.stdout.close()
    wait_until(lambda: not alive(pid))


def test_l10_bytes_written_into_the_channel_by_user_code_are_not_a_frame(engine: ScriptedEngine) -> None:
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
