"""Wrong use: one sentence, the next step, the right code, and nothing written."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import FLOWCTL

BAD_FILES = {
    "syntax": ("def broken(:\n", 2, "bad.py:1"),
    "import": ("import nonexistent_module\n", 2, "nonexistent_module"),
    "exit": ("import sys\nsys.exit(3)\n", 2, "sys.exit"),
    "empty": ("", 2, "defines no workflow"),
    "option": ("from flowctl import step\n\n@step(retrys=3)\ndef a() -> int:\n    return 1\n", 2, "retries"),
    "breaker": ("from flowctl import step\n\n@step(breaker=5)\ndef a() -> int:\n    return 1\n", 2, "breaker"),
}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["run", "hello.py", "name:=[1,"], 2, "the value of name is not JSON"),
        (["run", "hello.py", "--input", "{nope"], 2, "--input is not JSON"),
        (["run", "hello.py", "--input", "[]"], 2, "not a JSON object"),
        (["run", "hello.py"], 2, "name"),
        (["run", "hello.py", "name=x", "nmae=y"], 2, "name"),
        (["run", "hello.py", "name=x", "times=many"], 2, "times"),
        (["run", "hello.py", "name:=3"], 2, "name"),
        (["run", "hello.py:helo", "name=x"], 4, "did you mean hello?"),
        (["run", "helo.py", "name=x"], 4, "did you mean hello.py?"),
        (["run", "digest", "name=x"], 4, "there is no workflow digest"),
        (["run", ".", "name=x"], 4, "there is no workflow ."),
        (["run", "./", "name=x"], 2, "is a folder"),
        (["run", "../../etc/passwd"], 4, "there is no file"),
        (["run", "", "name=x"], 2, "not a target"),
        (["run", "\U0001f600", "name=x"], 4, "there is no workflow \U0001f600"),
        (["run", "hello.py", "name=x", "--at", "noon"], 2, "--at"),
        (["run", "hello.py", "name=x", "--in", "soon"], 2, "--in"),
        (["run", "hello.py", "name=x", "--in", "1s", "--at", "10:00"], 2, "exclude each other"),
        (["run", "hello.py", "name=x", "--timeout", "-3s"], 2, "--timeout"),
        (["run", "hello.py", "name=x", "--tag", "novalue"], 2, "write --tag name=value"),
        (["run", "hello.py", "name=x", "--key", ""], 2, "--key"),
        (["run", "hello.py", "name=x", "--attempts", "0"], 2, "--attempts"),
        (["run", "hello.py", "name=x", "--env-file", "none.env"], 4, "none.env"),
        (["run", "hello.py", "name=x", "--python", "/nonexistent/python"], 2, "there is no interpreter"),
        (["run", "hello.py", "--each", "none.jsonl"], 4, "none.jsonl"),
        (["run", "hello.py", "--each", "-", "--key", "k"], 2, "exclude each other"),
        (["run", "hello.py", "name=x", "--namespace", "../x"], 2, "is not a namespace"),
        (["run", "hello.py", "name=x", "--db", ""], 2, "--db is empty"),
        (["run"], 2, "TARGET"),
        (["exec"], 2, "COMMAND"),
        (["exec", "--shell", "--", "a", "b"], 2, "--shell takes one text"),
        (["show", "1"], 4, "there is no run yet"),
        (["logs", "@last"], 4, "there is no run yet"),
        (["retry", "--same-code", "--accept", "1"], 2, "exclude each other"),
        (["runn", "hello.py"], 2, "did you mean flowctl run?"),
        (["workflows", "lst"], 2, "did you mean flowctl workflows list?"),
        (["ls", "--sate", "failed"], 2, "--state"),
        (["ls", "--state", "done"], 2, "succeeded"),
        (["ls", "--limit", "0"], 2, "--limit"),
        (["ls", "--since", "yesteryear"], 2, "--since"),
        (["workflows", "check", "helo.py"], 4, "did you mean hello.py?"),
        (["--quiet", "--verbose", "ls"], 2, "exclude each other"),
        (["run", "hello.py", "--input", "@none.json"], 4, "none.json (--input)"),
        (["fork", "1", "--from", "a", "--output", "@none.json"], 4, "none.json (--output)"),
        (["fork", "1", "--edited", "@none.json"], 4, "none.json (--edited)"),
        (["resolve", "1", "a", "--done", "@none.json"], 4, "none.json (--done)"),
        (["signal", "1", "go", "@none.json"], 4, "none.json (the value of signal go)"),
    ],
)  # fmt: skip
def test_m01_wrong_use_is_one_sentence_with_the_right_code(quick, hello, tmp_path, words, code, said) -> None:
    done = quick(*words, code=code)
    assert said in done.stderr
    assert done.stderr.startswith("flowctl: ")
    assert "" == done.stdout
    assert not list(tmp_path.rglob("*.db"))


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["fork", "4", "--from"], "flowctl fork"),
        (["events", "5", "--limit"], "flowctl events"),
        (["schedules", "add", "x", "--cron"], "flowctl schedules add"),
        (["schedules", "--db"], "flowctl schedules"),
        (["fork", "4", "--edit=yes"], "flowctl fork"),
        (["--db"], "flowctl"),
    ],
)
def test_m01_an_option_without_its_argument_leads_to_the_help_of_its_command(quick, words, named) -> None:
    assert f"\n  {named} --help\n" in quick(*words, code=2).stderr


@pytest.mark.parametrize("case", BAD_FILES)
def test_m01_a_file_that_cannot_be_imported_is_named(flowctl, tmp_path, case) -> None:
    text, code, said = BAD_FILES[case]
    (tmp_path / "bad.py").write_text(text)
    done = flowctl("run", "bad.py", code=code)
    assert said in done.stderr
    assert not list(tmp_path.rglob("*.db"))


def test_m01_a_syntax_error_in_one_of_five_files_is_found(flowctl, hello, tmp_path) -> None:
    for number in range(4):
        (tmp_path / f"part{number}.py").write_text("x = 1\n" if number != 2 else "x = 1\ny = (\n")
    hello.write_text("import part0, part1, part2, part3\n" + hello.read_text())
    assert "part2.py:2" in flowctl("run", hello, "name=x", code=2).stderr


def test_m01_a_file_that_cannot_be_read(flowctl, tmp_path) -> None:
    (tmp_path / "bytes.py").write_bytes(b"x = '\xff'\n")
    assert "bytes.py" in flowctl("run", "bytes.py", code=2).stderr


@pytest.mark.parametrize("reference", ["0", "99", "@last", "@failed", "nobody@last"])
def test_m01_a_run_that_is_not_there(flowctl, hello, reference) -> None:
    flowctl("workflows", "add", hello)
    assert "there is no" in flowctl("show", reference, code=4).stderr


@pytest.mark.parametrize(
    "reference", ["../../x", "/etc/passwd", "x" * 300, "", "1.5", "-1x", "@first", "1 2", "9" * 40, "x@first"]
)
def test_n13_what_is_no_reference_is_refused(quick, hello, reference) -> None:
    quick("run", hello, "name=x", "--detach")
    for command in ("show", "logs", "wait", "cancel", "resume", "retry", "rerun"):
        done = quick(command, "--", reference, code=2)
        assert "is not a run" in done.stderr
        assert len(done.stderr) < 500


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "x" * 300, "", "\U0001f600", "--help"])
def test_n13_a_step_or_workflow_of_any_name_is_looked_up_and_nothing_else(quick, hello, name) -> None:
    quick("run", hello, "name=x", "--detach")
    quick("show", "1", "--", name, code=4)
    quick("logs", "1", "--", name, code=4)
    quick("workflows", "show", "--", name, code=4)
    quick("workflows", "remove", "--", name, code=4)
    assert [] == quick("ls", "--workflow", name or " ", "--json").json


def test_m05_words_that_are_not_utf8_are_handled(tmp_path, hello) -> None:
    odd = b"\xff\xfe"
    for words, codes in (
        ([b"run", b"hello.py", b"name=" + odd], {0, 2}),
        ([b"run", odd + b".py"], {2}),
        ([b"run", b"hello.py", odd], {2}),
        ([b"show", odd], {2, 4}),
        ([b"ls", b"--search", odd], {2}),
        ([b"ls", b"--workflow", odd], {2}),
        ([b"--db", odd + b".db", b"ls", b"--json"], {0, 2}),
        ([b"exec", b"--", b"echo", odd], {0, 2}),
        ([odd], {2}),
        ([b"run", b"hello.py", b"name=x", b"--key", odd], {2}),
    ):
        command = [*(os.fsencode(word) for word in FLOWCTL), *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode in codes, (words, done)
        assert b"Traceback" not in done.stderr, done.stderr
        (done.stdout + done.stderr).decode()


def test_m05_a_megabyte_comes_by_a_file_or_stdin(flowctl, hello, tmp_path) -> None:
    (tmp_path / "big.txt").write_text("x" * 1_000_000)
    assert [f"Hello, {'x' * 1_000_000}!"] == flowctl("run", hello, "name=@big.txt").json
    assert ["Hello, " + "y" * 120_000 + "!"] == flowctl("run", hello, "name=" + "y" * 120_000).json


def test_errors_of_the_system_are_sentences(flowctl, hello, tmp_path) -> None:
    (tmp_path / "text.db").write_text("this is no database, only text " * 50)
    assert "not a flowctl database" in flowctl("--db", "text.db", "ls", code=65).stderr
    assert "not a flowctl database" in flowctl("--db", "text.db", "run", hello, "name=x", code=65).stderr
    assert "this is no database" in (tmp_path / "text.db").read_text()
    (tmp_path / "file").write_text("")
    assert flowctl("--db", "file/x.db", "run", hello, "name=x", code=None).code in (65, 74, 77)


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [*FLOWCTL, "show", "abc", "--debug"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert 2 == done.returncode or 4 == done.returncode
    assert "Traceback (most recent call last)" in done.stderr
    assert "flowctl: " in done.stderr


def test_global_options_are_taken_on_both_sides(flowctl, hello, tmp_path) -> None:
    flowctl("run", hello, "name=x", "--db", "a.db", "--quiet")
    assert flowctl("--db", "a.db", "--json", "ls").json == flowctl("ls", "--db", "a.db", "--json").json
    assert flowctl("db", "--db", "a.db", "path", "--json").json == flowctl("--db", "a.db", "db", "path", "--json").json
    assert [] == flowctl("ls", "--json", FLOWCTL_DB="b.db").json
    assert 1 == len(flowctl("ls", "--json", FLOWCTL_DB="a.db").json)
    assert [] == flowctl("ls", "--json", "--namespace", "other", FLOWCTL_DB="a.db").json
    assert [] == flowctl("ls", "--json", FLOWCTL_DB="a.db", FLOWCTL_NAMESPACE="other").json
    flowctl("show", "1", FLOWCTL_DB="a.db", FLOWCTL_NAMESPACE="other", code=4)


def test_j08_a_log_whose_database_is_gone_is_not_taken_for_an_empty_one(flowctl, tmp_path) -> None:
    flowctl("exec", "--db", "gone.db", "--", "true")
    (tmp_path / "gone.db").unlink()
    (tmp_path / "gone.db-wal").write_bytes(b"")
    assert "no runs yet" in flowctl("ls", "--db", "gone.db").stderr
    (tmp_path / "gone.db-wal").write_bytes(b"left")
    for words in (["ls"], ["show", "1"], ["cancel", "1"], ["exec", "--", "true"]):
        said = flowctl("--db", "gone.db", *words, code=65).stderr
        assert "gone.db is gone, but the log that belongs to it is still there" in said
