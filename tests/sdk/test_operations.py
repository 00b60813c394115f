"""Operations: plain outside of runs, recorded inside, refused where they would mislead."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

import flowctl
from flowctl import gather, now, random, secret, sh, sleep, step, uuid4, workflow
from flowctl.sdk.errors import DefinitionError
from flowctl.sdk.shell import ShellFailed
from tests.sdk.scripted_engine import PATIENCE_S, ScriptedEngine, in_time, input_hash

# -- outside of runs ---------------------------------------------------------------------------------------------------


@step
def half(n: int) -> int:
    if n % 2:
        raise ValueError(n)
    return n // 2


@workflow
def halves(numbers: list[int]) -> list[int]:
    sleep("30d")
    return gather(*[half.bind(n) for n in numbers])


def test_outside_of_runs_workflows_and_their_operations_are_plain() -> None:
    with in_time():
        assert halves([2, 4]) == [1, 2]
    before = datetime.now(UTC)
    assert before <= now() <= datetime.now(UTC)
    assert 0 <= random() < 1
    assert isinstance(uuid4(), UUID)
    assert uuid4() != uuid4()


def test_outside_of_runs_gather_runs_in_parallel_and_raises_the_first_failure_in_order() -> None:
    barrier = threading.Barrier(3, timeout=PATIENCE_S)

    @step
    def meet(n: int) -> int:
        barrier.wait()
        return n

    assert gather(*[meet.bind(n) for n in range(3)], concurrency=3) == [0, 1, 2]
    with pytest.raises(ValueError, match="3"):
        gather(half.bind(2), half.bind(3), half.bind(5))
    assert gather(half.bind(4), concurrency=1) == [2]
    assert gather() == []


@pytest.mark.parametrize("wrong", [lambda: half(2), lambda: "text", lambda: half])
def test_gather_refuses_what_is_not_a_bound_call(wrong: object) -> None:
    with pytest.raises(TypeError, match=r"branch 1 .* fetch.bind"):
        gather(half.bind(2), wrong())  # type: ignore[operator]


@pytest.mark.parametrize("concurrency", [0, -1, 1.5, True, "4"])
def test_gather_refuses_a_senseless_concurrency(concurrency: object) -> None:
    with pytest.raises(ValueError, match="concurrency"):
        gather(half.bind(2), concurrency=concurrency)  # type: ignore[arg-type]


def test_outside_of_runs_sh_really_runs_the_command() -> None:
    assert sh(["echo", "a b", Path("/x"), 5]).stdout == "a b /x 5\n"
    assert sh("echo $0; exit 3", check=False).exit_code == 3
    with pytest.raises(ShellFailed, match="exit code 3"):
        sh("exit 3")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: sh([]), "begins with the program"),
        (lambda: sh(""), "empty"),
        (lambda: sh(b"x"), "text, or a list"),
        (lambda: sh(["a", None]), "argument 1 is a NoneType"),
        (lambda: sh(["a", "b\0"]), "NUL"),
        (lambda: sh("x", input=5), "input is a int"),
        (lambda: sh("x", env={"A": 1}), "env is a dict"),
        (lambda: sh("x", retrys=1), "did you mean 'retries'"),
        (lambda: sh("x", pure=True), "unknown option 'pure'"),
        (lambda: sh("x", timeout="soon"), "timeout"),
    ],
)
def test_sh_refuses_what_makes_no_sense(call: object, says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        call()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["/usr/bin/rsync", "-a"], "rsync"),
        ("make all", "make"),
        ("./build.sh x", "build.sh"),
        ("cd /x && make", "sh"),
        ("A=1 make", "sh"),
        (["C#"], "sh"),
    ],
)
def test_a_command_is_named_after_its_program(command: object, name: str) -> None:
    assert sh.bind(command).name == name  # type: ignore[arg-type]
    assert sh.bind(command, name="mine").name == "mine"  # type: ignore[arg-type]


def test_outside_of_runs_a_secret_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWCTL_TEST_TOKEN", "value")
    assert secret("FLOWCTL_TEST_TOKEN") == "value"
    assert "value" not in repr(secret("FLOWCTL_TEST_TOKEN"))
    with pytest.raises(LookupError, match="no secret NOT_THERE"):
        secret("NOT_THERE")


def test_outside_of_runs_there_is_no_current_run() -> None:
    with pytest.raises(RuntimeError, match="inside a run"):
        flowctl.current_run()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (((), {}), "either"),
        ((("1s",), {"until": datetime.now(UTC)}), "either"),
        (((), {"until": datetime(2026, 1, 1)}), "time zone"),
        (((), {"until": "tomorrow"}), "datetime"),
        ((("soon",), {}), "duration"),
        (((-1,), {}), "negative"),
    ],
)
def test_d07_sleep_refuses_what_makes_no_sense(arguments: tuple[tuple[str, ...], dict[str, object]], says: str) -> None:
    with pytest.raises((TypeError, ValueError), match=says):
        sleep(*arguments[0], **arguments[1])  # type: ignore[arg-type]


# -- inside of runs ----------------------------------------------------------------------------------------------------


def test_sleep_until_an_instant_travels_in_utc_milliseconds(engine: ScriptedEngine) -> None:
    engine.run("""
        from datetime import datetime, timedelta, timezone
        from flowctl import sleep, workflow

        @workflow
        def main() -> None:
            sleep(until=datetime(2030, 1, 1, 12, tzinfo=timezone(timedelta(hours=2))))
            sleep(until=datetime(2030, 1, 1, microsecond=1, tzinfo=timezone.utc))
    """)
    first, second = engine.of_kind("step")
    assert (first.fields["until"], first.payload) == (1_893_492_000_000, '{"until":"2030-01-01T10:00:00.000Z"}')
    assert second.fields["until"] == 1_893_456_000_001  # never early
    assert second.fields["key"] == "sleep#2"


def test_sleep_in_a_step_is_refused(engine: ScriptedEngine) -> None:
    engine.run("""
        from flowctl import sleep, step, workflow

        @step
        def work() -> None:
            sleep(1)

        @workflow
        def main() -> None:
            work()
    """)
    assert "time.sleep" in (engine.of_kind("done")[0].payload or "")


def test_sleep_on_another_thread_of_the_workflow_is_refused(engine: ScriptedEngine) -> None:
    ended = engine.run("""
        from concurrent.futures import ThreadPoolExecutor
        from flowctl import sleep, workflow

        @workflow
        def main() -> None:
            with ThreadPoolExecutor() as pool:
                pool.submit(sleep, 1).result()
    """)
    assert "own thread" in json.loads(ended.payload or "")["message"]


def test_a_command_is_recorded_with_what_it_was_given_and_what_it_said(engine: ScriptedEngine, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    ended = engine.run("""
        from pathlib import Path
        from flowctl import sh, workflow

        @workflow
        def main() -> list:
            result = sh(["sh", "-c", "cat; echo $A >&2; pwd"], input="in\\n", cwd=Path("sub"),
                        env={"A": "1", "B": "hidden"}, timeout="1m", retries=2)
            return [result.exit_code, result.stdout, result.stderr]
    """)
    (asked,) = engine.of_kind("step")
    plain = {"argv": ["sh", "-c", "cat; echo $A >&2; pwd"], "input": "in\n", "cwd": "sub", "env": ["A", "B"]}
    assert json.loads(asked.payload or "") == plain
    assert asked.fields["input_hash"] == input_hash(plain)
    assert (asked.fields["kind"], asked.fields["options"]) == ("shell", {"retries": 2, "timeout_ms": 60_000})
    (done,) = engine.of_kind("done")
    output = {"exit_code": 0, "stdout": f"in\n{tmp_path}/sub\n", "stderr": "1\n"}
    assert json.loads(done.payload or "") == output
    assert json.loads(ended.payload or "") == list(output.values())
    assert engine.text("stdout", "sh") == output["stdout"]
    assert engine.text("stderr", "sh") == "1\n"


@pytest.mark.parametrize(
    ("call", "kind", "says", "retry"),
    [
        ('sh("echo why >&2; exit 3")', "ShellFailed", "exit code 3: why", True),
        ('sh("exit 78")', "ShellFailed", "exit code 78", False),
        ('sh("sleep 300", timeout=0.1)', "StepTimedOut", "took longer than 0.1 s", True),
        ('sh("kill -9 $$")', "ShellFailed", "was killed by signal 9", True),
        ('sh(["no-such-program"])', "ShellFailed", "cannot start no-such-program", True),
    ],
)
def test_h05_a_failed_command_says_what_happened(
    engine: ScriptedEngine, call: str, kind: str, says: str, retry: bool
) -> None:
    with in_time():
        engine.run(f"from flowctl import sh, workflow\n@workflow\ndef main() -> None:\n    {call}\n")
    (done,) = engine.of_kind("done")
    error = json.loads(done.payload or "")
    assert error["type"] == kind
    assert says in error["message"]
    assert done.fields["retry"] is retry


def test_an_unchecked_command_succeeds_with_its_exit_code(engine: ScriptedEngine) -> None:
    ended = engine.run(
        "from flowctl import sh, workflow\n@workflow\ndef main() -> int:\n"
        "    return sh('exit 3', check=False).exit_code\n"
    )
    assert ended.payload == "3"


def test_parallel_commands_are_killed_one_by_one(engine: ScriptedEngine) -> None:
    ended = engine.run("""
        from flowctl import StepFailed, gather, sh, workflow

        @workflow
        def main() -> list:
            try:
                gather(sh.bind("sleep 300", timeout=0.1), sh.bind("sleep 0.4; echo done"),
                       sh.bind("sleep 200", timeout=0.2))
            except StepFailed as error:
                return [error.type, list(error.failed_keys)]
    """)
    assert json.loads(ended.payload or "") == ["StepTimedOut", ["sleep", "sleep#2"]]
    assert '"stdout":"done\\n"' in "".join(message.payload or "" for message in engine.of_kind("done"))


def test_current_run_tells_run_step_and_keys(engine: ScriptedEngine) -> None:
    ended = engine.run(
        """
        import threading
        from flowctl import current_run, gather, step, workflow

        def show(run) -> list:
            return [run.run, run.attempt, run.workflow, run.started_at.isoformat(),
                    run.step, run.step_attempt, run.idempotency_key]

        @step
        def look() -> list:
            return show(current_run())

        @workflow
        def main() -> list:
            return [show(current_run()), look(), *gather(look.bind(), look.bind())]
    """,
        run=7,
    )
    common = [7, 1, "main", "2023-11-14T22:13:20+00:00"]
    assert json.loads(ended.payload or "") == [
        [*common, None, None, "f00d-7"],
        [*common, "look", 1, "f00d-7-look"],
        [*common, "look#2", 1, "f00d-7-look#2"],
        [*common, "look#3", 1, "f00d-7-look#3"],
    ]
