"""Shell commands as steps: what is recorded, what fails, and what limits them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.faults.conftest import Bench


def test_a_command_is_recorded_with_arguments_exit_code_and_output(bench: Bench) -> None:
    bench.write(
        "shell.py",
        """
        @workflow
        def main() -> list:
            counted = sh(["wc", "-c"], input="twelve bytes")
            where = sh("pwd; echo $COLOUR; echo error >&2", cwd="/", env={"COLOUR": "blue"}, name="where")
            odd = sh("exit 3", check=False)
            return [counted.stdout.strip(), where.stdout, odd.exit_code]
        """,
    )
    assert bench.flowctl("run", "shell.py").json == ["12", "/\nblue\n", 3]
    steps = bench.shown()["by_key"]
    assert steps["wc"]["kind"] == "shell"
    assert steps["wc"]["input"]["argv"] == ["wc", "-c"]
    assert steps["where"]["input"]["command"].startswith("pwd;")
    assert steps["where"]["output"] == {"exit_code": 0, "stdout": "/\nblue\n", "stderr": "error\n"}
    lines = bench.flowctl("logs", 1, "where").stdout
    assert "blue" in lines
    assert "error" in lines


def test_another_exit_code_fails_the_step_after_its_retries_with_what_was_printed(bench: Bench) -> None:
    bench.write(
        "shell.py",
        """
        @workflow
        def main() -> None:
            sh("echo tried >> ledger; echo the disk is full >&2; exit 4", retries=1, backoff="10ms")
        """,
    )
    bench.flowctl("run", "shell.py", code=1)
    assert bench.ledger() == ["tried", "tried"]
    (step,) = bench.shown()["steps"]
    assert step["error"]["type"] == "ShellFailed"
    assert "exit code 4: the disk is full" in step["error"]["message"]
    assert len(step["attempts"]) == 2


def test_each_attempt_of_a_command_is_killed_at_its_timeout(bench: Bench) -> None:
    bench.write(
        "shell.py",
        """
        @workflow
        def main() -> str:
            sh(["sleep", "0.01"], timeout="10s")
            try:
                sh("echo tried >> ledger; sleep 300 | sleep 300", timeout="1500ms", retries=1, backoff="10ms")
            except StepFailed as failure:
                return f"{failure.type}: {failure.message}"
        """,
    )
    said = bench.flowctl("run", "shell.py").json
    assert said.startswith("StepTimedOut: echo tried")
    assert said.endswith("took longer than 1.5 s and was killed")
    assert bench.ledger() == ["tried", "tried"]
    assert bench.shown()["duration_ms"] < 60_000


def test_a_missing_program_is_a_failed_step_that_names_it(bench: Bench) -> None:
    bench.write(
        "shell.py",
        """
        @workflow
        def main() -> None:
            sh(["no-such-program", "--now"])
        """,
    )
    bench.flowctl("run", "shell.py", code=1)
    assert "cannot start no-such-program: No such file" in bench.shown()["steps"][0]["error"]["message"]


def test_exec_runs_a_command_as_a_run_and_its_failure_is_one(bench: Bench) -> None:
    done = bench.flowctl("exec", "--", "printf", "%s\\n", "a b", "$HOME")
    assert done.json == {"exit_code": 0, "stdout": "a b\n$HOME\n", "stderr": ""}
    bench.flowctl("exec", "--shell", "--name", "piped", "--", "echo one | wc -l; exit 9", code=1)
    run = bench.shown(2)
    assert (run["workflow"], run["state"]) == ("piped", "failed")
    assert "exit code 9" in run["error"]["message"]
    bench.flowctl("exec", "--timeout", "300ms", "--", "sleep", "300", code=7)
