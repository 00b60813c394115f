"""`flowctl run` and `flowctl exec`: a workflow works here, its output is data, and its end is an exit code."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.conftest import PATIENCE_S, ledger, until


def test_the_output_is_json_on_stdout_and_the_rest_is_on_stderr(flowctl, hello) -> None:
    done = flowctl("run", hello, "name=World", "times=2")
    assert ["Hello, World!", "Hello, World!"] == done.json
    assert "✓ greet#2 succeeded" in done.stderr
    assert "greet | greeting World" in done.stderr
    assert "run 1 hello succeeded" in done.stderr


def test_quiet_says_nothing_and_verbose_says_more(flowctl, hello) -> None:
    assert "" == flowctl("run", hello, "name=x", "--quiet").stderr
    said = flowctl("run", hello, "name=x", "-v").stderr
    assert "greet running" in said
    assert "interpreter: flowctl's own Python" in said


def test_json_prints_the_run_with_its_steps(flowctl, hello) -> None:
    run = flowctl("--json", "run", f"{hello}:hello", "name=World", "times:=1", "--tag", "a=b", "--priority", "7").json
    assert {
        "run": 1,
        "workflow": "hello",
        "state": "succeeded",
        "input": {"name": "World", "times": 1},
    }.items() <= run.items()
    assert ({"a": "b"}, 7, "default") == (run["tags"], run["priority"], run["queue"])
    [step] = run["steps"]
    assert ("greet", "step", {"name": "World"}, "Hello, World!") == (
        step["key"], step["kind"], step["input"], step["output"],
    )  # fmt: skip
    assert [1] == [attempt["attempt"] for attempt in step["attempts"]]


def test_arguments_come_as_words_as_json_and_from_files(flowctl, hello, tmp_path) -> None:
    (tmp_path / "who.txt").write_text("two\nlines")
    assert ["Hello, two\nlines!"] == flowctl("run", hello, "name=@who.txt").json
    assert ["Hello, j!"] == flowctl("run", hello, "--input", '{"name": "j"}').json
    assert ["Hello, s!"] == flowctl("run", hello, "--input", "-", input='{"name": "s"}').json
    assert [] == flowctl("run", hello, "--input", '{"name": "j"}', "times:=0").json


def test_each_line_is_a_run(flowctl, hello) -> None:
    done = flowctl("run", hello, "times=1", "--each", "-", input='{"name": "a"}\n\n{"name": "b"}\n')
    assert [["Hello, a!"], ["Hello, b!"]] == [json.loads(line) for line in done.stdout.splitlines()]
    done = flowctl("run", hello, "--each", "-", "--json", input='{"name": "a"}\n{"name": "b"}\n')
    assert [3, 4] == [json.loads(line)["run"] for line in done.stdout.splitlines()]


def test_a_bad_line_of_many_is_named_and_nothing_is_written(flowctl, hello, tmp_path) -> None:
    done = flowctl("run", hello, "--each", "-", code=2, input='{"name": "a"}\n{"nam": "b"}\n')
    assert "-, line 2: " in done.stderr
    done = flowctl("run", hello, "--each", "-", code=2, input='{"name": "a"}\nnope\n')
    assert "-, line 2: it is not JSON" in done.stderr
    assert not list(tmp_path.rglob("flowctl.db"))


def test_each_ends_with_the_code_of_the_first_that_failed(flowctl, failing) -> None:
    done = flowctl("run", failing, "--each", "-", code=1, input='{"by": 1}\n{"by": 0}\n{"by": 2}\n')
    assert [2.0, 1.5] == [json.loads(line) for line in done.stdout.splitlines()]


def test_detach_prints_the_number_and_works_on_nothing(flowctl, hello) -> None:
    assert "1\n" == flowctl("run", hello, "name=x", "--detach").stdout
    assert {"run": 2} == flowctl("run", hello, "name=x", "-d", "--json").json
    assert ["queued", "queued"] == [run["state"] for run in flowctl("ls", "--json").json]
    assert ["Hello, x!"] == flowctl("resume", "1").json


def test_a_run_may_wait_for_its_time(flowctl, hello) -> None:
    run = flowctl("run", hello, "name=x", "--in", "1h", "--detach", "--json").json["run"]
    shown = flowctl("show", run, "--json").json
    assert "queued" == shown["state"]
    assert shown["wake_at"] > shown["created_at"]
    done = flowctl("run", hello, "name=y", "--in", "3s")  # it is not due before its engine is there
    assert ["Hello, y!"] == done.json
    assert "run 2 hello goes on at " in done.stderr


def test_a_failed_run_ends_with_1_and_says_what_to_do(flowctl, failing) -> None:
    done = flowctl("run", failing, code=1)
    assert "" == done.stdout
    assert "ZeroDivisionError: division by zero" in done.stderr
    assert "flowctl retry 1" in done.stderr
    run = flowctl("run", failing, "--json", code=1).json
    assert "failed" == run["state"]
    assert "StepFailed" == run["error"]["type"]
    assert "ZeroDivisionError" == run["steps"][1]["error"]["type"]
    assert "divide" in run["steps"][1]["error"]["traceback"]


def test_a_run_that_takes_too_long_ends_with_7(flowctl, gated) -> None:
    done = flowctl("run", gated, "--timeout", "300ms", code=7)
    assert "RunTimedOut" in done.stderr


def test_attempts_start_a_failed_run_again(flowctl, failing, tmp_path) -> None:
    run = flowctl("run", failing, "--attempts", "2", "--json", code=1).json
    assert 2 == run["attempt"]
    assert [1, 2] == [attempt["attempt"] for attempt in run["steps"][1]["attempts"]]


def test_the_working_folder_and_the_env_file_are_those_of_the_caller(flowctl, tmp_path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "where.py").write_text(
        "import os\nfrom flowctl import step, workflow\n\n@step\ndef look() -> list:\n"
        "    return [os.getcwd(), os.environ.get('COLOUR')]\n\n@workflow\ndef where() -> list:\n    return look()\n"
    )
    (tmp_path / "vars.env").write_text("COLOUR=blue\n")
    assert [str(tmp_path), "blue"] == flowctl("run", "code/where.py", "--env-file", "vars.env").json
    assert [str(tmp_path), None] == flowctl("run", "code/where.py").json


def test_a_path_with_spaces_and_odd_letters_works(flowctl, hello, tmp_path) -> None:
    folder = tmp_path / "my ‘workflows’ – 日本"
    folder.mkdir()
    target = folder / "héllo wörld.py"
    target.write_text(hello.read_text())
    assert ["Hello, x!"] == flowctl("--db", folder / "my db.db", "run", target, "name=x").json


def test_exec_records_a_command(flowctl) -> None:
    done = flowctl("exec", "--", "echo", "two  words")
    assert {"exit_code": 0, "stdout": "two  words\n", "stderr": ""} == done.json
    run = flowctl("show", "@last", "--json").json
    assert ("echo", "succeeded", {"argv": ["echo", "two  words"]}) == (run["workflow"], run["state"], run["input"])
    assert [("shell", {"exit_code": 0, "stdout": "two  words\n", "stderr": ""})] == [
        (step["kind"], step["output"]) for step in run["steps"]
    ]


def test_exec_needs_no_dashes_and_leaves_the_commands_options_alone(flowctl) -> None:
    assert "--json -n\n" == flowctl("exec", "echo", "--json", "-n").json["stdout"]
    assert "a b\n" == flowctl("exec", "--name", "greeting", "--shell", "--", "echo a b | cat").json["stdout"]
    assert "greeting" == flowctl("show", "@last", "--json").json["workflow"]


def test_a_command_that_fails_is_a_failed_run(flowctl) -> None:
    done = flowctl("exec", "--shell", "--", "echo out; echo err >&2; exit 3", code=1)
    assert "exit code 3" in done.stderr
    assert "cannot start" in flowctl("exec", "--", "/nonexistent/program", code=1).stderr


@pytest.mark.parametrize(
    "text", ["; touch pwned", "$(touch pwned)", "`touch pwned`", "a\ntouch pwned", "-rf", "--", "*"]
)
def test_n06_an_argument_is_never_shell_text(flowctl, tmp_path: Path, text: str) -> None:
    assert f"{text}\n" == flowctl("exec", "--", "printf", "%s\\n", text).json["stdout"]
    assert not (tmp_path / "pwned").exists()


def test_n06_a_parameter_is_quoted_by_being_one_word(flowctl, tmp_path) -> None:
    (tmp_path / "quoted.py").write_text(
        "from flowctl import sh, workflow\n\n@workflow\ndef quoted(name: str) -> str:\n"
        "    return sh(['printf', '%s', name]).stdout\n"
    )
    hostile = "; touch pwned $(touch pwned)\n-rf"
    assert hostile == flowctl("run", "quoted.py", f"name={hostile}").json
    assert not (tmp_path / "pwned").exists()


def test_n07_parameters_do_not_travel_in_argv(background, gated, tmp_path) -> None:
    gated.write_text(gated.read_text().replace("def gated() -> int", "def gated(word: str) -> int"))
    (tmp_path / "in.json").write_text('{"word": "canary-4711"}')
    process = background("run", gated, "--input", "@in.json")
    until(lambda: "gate" in ledger(tmp_path))
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in family(process.pid)]
    assert len(lines) >= 2
    assert not [line for line in lines if b"canary-4711" in line]
    (tmp_path / "open").touch()
    assert b"3" == process.communicate(timeout=PATIENCE_S)[0].strip()


def family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in family(int(child)))]


def test_n05_the_environment_does_not_leak_into_user_code_or_the_file(flowctl, tmp_path) -> None:
    (tmp_path / "spy.py").write_text(
        "import os\nfrom flowctl import step, workflow\n\n@step\ndef look() -> list:\n"
        "    return sorted(name for name in os.environ if name.startswith('CANARY') or name == 'LD_PRELOAD_X')\n\n"
        "@workflow\ndef spy() -> list:\n    return look()\n"
    )
    canaries = {f"CANARY_{number}": "canary-4711" for number in range(40)} | {"LD_PRELOAD_X": "canary-4711"}
    database = tmp_path / "spy.db"
    assert [] == flowctl("--db", database, "run", "spy.py", **canaries).json
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"canary-4711" not in path.read_bytes(), path


def test_user_code_creates_files_as_the_person_would(flowctl, tmp_path) -> None:
    """flowctl's own umask of 077 is for its own files."""
    flowctl("exec", "--", "touch", "made")
    assert 0o644 == os.stat(tmp_path / "made").st_mode & 0o777
