"""What a workflow and its steps can ask for, seen through the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.config import default_database
from flowctl.engine import commands
from flowctl.store import Store

if TYPE_CHECKING:
    from tests.faults.conftest import Bench


def test_attempts_try_a_failing_run_again_with_its_checkpoints(bench: Bench) -> None:
    bench.write(
        "tries.py",
        """
        @step
        def first() -> int:
            note("first")
            return 1

        @step
        def second() -> int:
            note("second")
            if current_run().attempt == 1:
                raise OSError("not yet")
            return 2

        @workflow(attempts=2)
        def main() -> int:
            return first() + second()
        """,
    )
    assert bench.flowctl("run", "tries.py").json == 3
    assert bench.ledger() == ["first", "second", "second"]
    assert bench.shown()["attempt"] == 2


def test_attempts_of_the_command_line_count_and_the_last_failure_stands(bench: Bench) -> None:
    bench.write(
        "tries.py",
        """
        @workflow
        def main() -> None:
            note("tried")
            raise OSError(f"attempt {current_run().attempt}")
        """,
    )
    bench.flowctl("run", "tries.py", "--attempts", "2", code=1)
    assert bench.ledger() == ["tried", "tried"]
    assert bench.shown()["error"]["message"] == "attempt 2"


def test_on_failure_runs_once_with_the_failure_when_no_attempt_is_left(bench: Bench) -> None:
    bench.write(
        "alarm.py",
        """
        @step
        def tell(text: str) -> None:
            note(text)

        @workflow
        def alarm(failure: dict) -> None:
            tell(f"{failure['workflow']} {failure['run']} {failure['error']['type']}: {failure['error']['message']}")

        @step
        def breaks() -> None:
            note("breaks")
            raise ValueError("bad")

        @workflow(on_failure=alarm, attempts=2, tags={"team": "night"})
        def main(fail: bool) -> None:
            if fail:
                breaks()
        """,
    )
    bench.flowctl("run", "alarm.py:main", "fail=true", code=1)
    assert bench.ledger() == ["breaks", "breaks", "main 1 StepFailed: step breaks failed: ValueError: bad"]
    assert bench.shown(2)["workflow"] == "alarm"
    assert bench.shown(2)["state"] == "succeeded"
    assert (bench.shown(2)["tags"], bench.shown(2)["handles"]) == ({"team": "night"}, 1)
    assert (bench.shown(1)["handled_by"], bench.shown(1)["handles"]) == ([2], None)
    assert "handler   run 2 alarm (succeeded)" in bench.flowctl("show", 1).stdout
    assert "handles   the failure of run 1" in bench.flowctl("show", 2).stdout
    assert "run 2  alarm  handles its failure" in bench.flowctl("lineage", 2).stdout
    bench.flowctl("run", "alarm.py:main", "fail=false")
    assert len(bench.flowctl("ls", "--json").json) == 3


def test_whoever_goes_on_with_a_run_has_the_variables_of_the_shell_that_made_it(bench: Bench) -> None:
    bench.write(
        "where.py",
        """
        @step
        def look() -> str:
            if not (HERE / "mended").exists():
                raise OSError("not yet")
            return os.environ["LC_TIME"]

        @workflow
        def where() -> str:
            return look()
        """,
    )
    bench.flowctl("run", "where.py", code=1, LC_TIME="C.first")
    bench.write("mended", "")
    for words in (("retry", 1), ("rerun", 1), ("fork", 1)):
        assert "C.first" == bench.flowctl(*words, LC_TIME="C.second").json
    assert "C.second" == bench.flowctl("run", "where.py", LC_TIME="C.second").json


def test_each_run_with_isolation_has_a_process_of_its_own(bench: Bench) -> None:
    path = bench.write(
        "isolated.py",
        """
        seen = []

        @step
        def look() -> list[int]:
            seen.append(1)
            return [os.getpid(), len(seen)]

        @workflow
        def shared(number: int) -> list[int]:
            return look()

        @workflow(isolation="process")
        def alone(number: int) -> list[int]:
            return look()

        @workflow
        def both() -> list[list[int]]:
            return [shared(1), alone(2), shared(3)]
        """,
    )
    path.with_name("lines").write_text('{"number": 1}\n{"number": 2}\n')
    for name, processes, seen in (("shared", 1, [1, 2]), ("alone", 2, [1, 1])):
        out = bench.flowctl("run", f"isolated.py:{name}", "--each", "lines").stdout
        results = [json.loads(line) for line in out.splitlines()]
        assert len({pid for pid, _ in results}) == processes
        assert [count for _, count in results] == seen
    assert [count for _, count in bench.flowctl("run", "isolated.py:both").json] == [1, 1, 2]


def test_what_a_run_changes_in_its_process_is_put_back_for_the_next_run(bench: Bench) -> None:
    path = bench.write(
        "dirty.py",
        """
        import locale, tempfile

        @step
        def state(number: int) -> dict:
            before = {
                "pid": os.getpid(), "cwd": os.getcwd(), "dirty": os.environ.get("DIRTY"), "path": len(sys.path),
                "umask": os.umask(0o022), "stdin": sys.stdin.fileno(), "term": str(signal.getsignal(signal.SIGUSR1)),
                "home": os.environ.get("HOME"),
            }
            os.environ["DIRTY"] = "yes"
            os.environ.pop("HOME", None)
            os.umask(0o077)
            os.chdir("/")
            sys.path.append("/nowhere")
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            sys.stdin = open(os.devnull)
            sys.stdout = open(os.devnull, "w")
            return before

        @workflow
        def main(number: int) -> dict:
            return state(number)
        """,
    )
    path.with_name("lines").write_text('{"number": 1}\n{"number": 2}\n{"number": 3}\n')
    out = bench.flowctl("run", "dirty.py", "--each", "lines").stdout
    first, *others = [json.loads(line) for line in out.splitlines()]
    assert others == [first, first]
    assert first["cwd"] == str(path.parent)
    assert first["dirty"] is None


def test_pure_steps_are_all_recorded_and_run_once_although_a_later_step_fails(bench: Bench) -> None:
    bench.write(
        "pure.py",
        """
        @step(pure=True)
        def square(number: int) -> int:
            note(f"square {number}")
            return number * number

        @step
        def store(total: int) -> int:
            note("store")
            if not (HERE / "mended").exists():
                raise OSError("full")
            return total

        @step(pure=True, retries=1, backoff="10ms")
        def flaky() -> int:
            note("flaky")
            if current_run().step_attempt == 1:
                raise OSError("once")
            return 1

        @workflow
        def main() -> int:
            return store(sum(square(number) for number in range(5)) + flaky())
        """,
    )
    bench.flowctl("run", "pure.py", code=1)
    squares = [f"square {number}" for number in range(5)]
    assert bench.ledger() == [*squares, "flaky", "flaky", "store"]
    outputs = [step["output"] for step in bench.shown()["steps"] if step["name"] == "square"]
    assert outputs == [0, 1, 4, 9, 16]
    bench.write("mended", "")
    assert bench.flowctl("retry", 1).json == 31
    assert bench.ledger()[8:] == ["store"]


def test_async_steps_run_alone_in_parallel_and_inside_one_another(bench: Bench) -> None:
    bench.write(
        "waiting.py",
        """
        import asyncio

        @step
        async def double(number: int) -> int:
            await asyncio.sleep(0.01)
            return number * 2

        @step(retries=1, backoff="10ms")
        async def flaky() -> str:
            await asyncio.sleep(0)
            if current_run().step_attempt == 1:
                raise OSError("once")
            return "second try"

        @workflow
        def main() -> list:
            return [double(1), *gather(double.bind(2), double.bind(3)), flaky()]
        """,
    )
    assert bench.flowctl("run", "waiting.py").json == [2, 4, 6, "second try"]
    assert len(bench.shown()["by_key"]["flaky"]["attempts"]) == 2


def test_pause_lets_the_running_step_finish_and_resume_goes_on_after_it(bench: Bench) -> None:
    bench.write(
        "slow.py",
        """
        @step
        def wait_for_go() -> str:
            note("begun 0")
            while not (HERE / "go").exists():
                time.sleep(0.01)
            return "waited"

        @step
        def after() -> str:
            note("after")
            return "after"

        @workflow
        def main() -> list[str]:
            return [wait_for_go(), after()]
        """,
    )
    command = bench.spawn("run", "slow.py")
    bench.noted("begun")
    assert "asked to pause" in bench.flowctl("pause", 1).stdout
    bench.write("go", "")
    assert command.wait(60) == 130
    run = bench.shown()
    assert run["state"] == "paused"
    assert [step["state"] for step in run["steps"]] == ["succeeded"]
    bench.flowctl("pause", 1)
    assert bench.flowctl("resume", 1).json == ["waited", "after"]
    assert bench.ledger() == ["begun 0", "after"]
    bench.flowctl("pause", 1, code=5)
    bench.flowctl("resume", 1, code=5)


def test_a_pause_in_a_sleep_keeps_the_instant_at_which_it_ends(bench: Bench) -> None:
    bench.write(
        "sleeper.py",
        """
        @workflow
        def main() -> str:
            sleep("4s")
            return "awake"
        """,
    )
    command = bench.spawn("run", "sleeper.py")
    bench.in_state("sleeping")
    with bench.store() as store:
        recorded = store.steps.get(1, "sleep")
    assert recorded is not None
    with Store.open(default_database(os.environ)) as opened:
        commands.pause(opened, 1, SYSTEM_CLOCK.now())
    assert command.wait(60) == 130
    assert bench.flowctl("resume", 1).json == "awake"
    with bench.store() as store:
        ended = store.steps.get(1, "sleep")
    assert ended is not None
    assert recorded.wake_at is not None
    assert ended.finished_at is not None
    assert ended.finished_at >= recorded.wake_at
    assert ended.begun_at == recorded.begun_at


def test_a_secret_is_masked_wherever_text_is_captured(bench: Bench) -> None:
    bench.write(
        "hidden.py",
        """
        import logging

        @step
        def use(token: str) -> dict:
            print("printed", token)
            logging.getLogger("app").warning("logged %s", token)
            os.write(1, f"raw {token}\\n".encode())
            return {"header": f"Bearer {token}", token: [token]}

        @step
        def leak(token: str) -> None:
            raise ValueError(f"refused {token}")

        @workflow
        def main() -> dict:
            token = secret("API_TOKEN")
            found = use(token)
            found["sh"] = sh(["sh", "-c", "echo $API_TOKEN"], env={"API_TOKEN": token}).stdout
            found["length"] = len(token)
            try:
                leak(token)
            except StepFailed as failure:
                found["error"] = str(failure)
            return found
        """,
    )
    token = "s3cr3t-tóken/with+signs"
    done = bench.flowctl("run", "hidden.py", API_TOKEN=token)
    said = [done.stdout, done.stderr]
    for words in (("show", 1, "--json"), ("logs", 1), ("show", 1), ("ls", "--json")):
        said.append(bench.flowctl(*words).stdout)
    assert not [text for text in said if token in text or json.dumps(token)[1:-1] in text]
    assert done.json == {
        "header": "Bearer ***",
        "***": [{"$secret": "API_TOKEN"}],
        "sh": "***\n",
        "length": len(token),
        "error": "step leak failed: ValueError: refused ***",
    }
    assert bench.shown()["by_key"]["use"]["input"] == {"token": {"$secret": "API_TOKEN"}}
    assert "printed ***" in said[3]
    assert "logged ***" in said[3]
    with bench.store() as store:
        folder = Path(store.path).parent
    stored = b"".join(file.read_bytes() for file in folder.iterdir() if file.is_file())
    assert b"API_TOKEN" in stored
    assert token.encode() not in stored
