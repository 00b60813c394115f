"""`flowctl workflows`, `init`, `db` and `completion`."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import FLOWCTL


def test_a_registered_workflow_runs_by_name_from_anywhere(flowctl, hello, tmp_path) -> None:
    [added] = flowctl("workflows", "add", hello, "--json").json
    assert ("hello", str(hello), "hello", "Greet somebody.") == (
        added["workflow"], added["path"], added["function"], added["doc"],
    )  # fmt: skip
    (tmp_path / "elsewhere").mkdir()
    assert ["Hello, x!"] == flowctl("run", "hello", "name=x", cwd=tmp_path / "elsewhere").json
    assert "hello" in flowctl("workflows", "list").stdout
    assert '"name"' in flowctl("workflows", "show", "hello").stdout
    assert "did you mean hello?" in flowctl("run", "helo", "name=x", code=4).stderr
    flowctl("workflows", "remove", "hello")
    flowctl("run", "hello", "name=x", code=4)
    assert 1 == len(flowctl("ls", "--json").json)


def test_a_name_belongs_to_one_file(flowctl, hello, tmp_path) -> None:
    (tmp_path / "other").mkdir()
    other = str(shutil.copy(hello, tmp_path / "other" / "hello.py"))
    flowctl("workflows", "add", hello)
    flowctl("workflows", "add", hello)
    assert str(hello) in flowctl("workflows", "add", other, code=5).stderr
    flowctl("workflows", "add", other, "--name", "hello2")
    flowctl("workflows", "add", other, "--replace")
    assert [other, other] == [each["path"] for each in flowctl("workflows", "list", "--json").json]
    assert [] == flowctl("workflows", "list", "--json", "--namespace", "test").json


def test_one_workflow_of_several_is_added(flowctl, tmp_path) -> None:
    (tmp_path / "two.py").write_text(
        "from flowctl import workflow\n\n@workflow\ndef a() -> int:\n    return 1\n\n"
        "@workflow\ndef b() -> int:\n    return 2\n"
    )
    flowctl("workflows", "add", "two.py", "--name", "c", code=2)
    assert ["b"] == [each["workflow"] for each in flowctl("workflows", "add", "two.py:b", "--json").json]
    assert ["a", "b"] == [each["workflow"] for each in flowctl("workflows", "add", "two.py", "--json").json]
    assert "two.py:a" in flowctl("run", "two.py", code=2).stderr


def test_check_names_file_line_and_fix(flowctl, tmp_path) -> None:
    (tmp_path / "part.py").write_text("X = 1\n")
    (tmp_path / "shaky.py").write_text(
        "import time\nimport part\nfrom flowctl import workflow\n\n"
        "@workflow\ndef shaky() -> float:\n    return time.time()\n"
    )
    done = flowctl("workflows", "check", "shaky.py", code=1)
    assert f"{tmp_path}/shaky.py:7: time.time() in shaky: " in done.stdout
    assert "flowctl.now()" in done.stdout
    report = flowctl("workflows", "check", "shaky.py", "--json", code=1).json
    assert [("shaky", 7, "time.time")] == [
        (each["workflow"], each["line"], each["call"]) for each in report["problems"]
    ]
    assert not list(tmp_path.rglob("*.db"))


def test_init_writes_a_workflow_that_runs(flowctl, tmp_path) -> None:
    done = flowctl("init")
    assert "flowctl run hello.py name=World" in done.stdout
    text = (tmp_path / "hello.py").read_text()
    (tmp_path / "hello.py").write_text(text.replace('sleep("5s")', 'sleep("20ms")'))
    assert "*** Hello, World! ***" == flowctl("run", "hello.py", "name=World").json
    assert ["step", "sleep", "step"] == [step["kind"] for step in flowctl("show", "@last", "--json").json["steps"]]
    assert [] == flowctl("workflows", "check", "hello.py", "--json").json["problems"]


def test_init_overwrites_nothing(flowctl, tmp_path) -> None:
    (tmp_path / "hello.py").symlink_to(tmp_path / "elsewhere.py")
    flowctl("init", code=5)
    assert not (tmp_path / "elsewhere.py").exists()
    (tmp_path / "hello.py").unlink()
    (tmp_path / "hello.py").write_text("mine")
    flowctl("init", code=5)
    assert "mine" == (tmp_path / "hello.py").read_text()


def test_a_backup_is_private_whole_and_never_overwrites(flowctl, hello, tmp_path) -> None:
    flowctl("run", hello, "name=x")
    flowctl("db", "backup", "copy.db")
    assert 0o600 == stat.S_IMODE(os.stat(tmp_path / "copy.db").st_mode)
    assert flowctl("ls", "--json").json == flowctl("--db", "copy.db", "ls", "--json").json
    flowctl("db", "backup", "copy.db", code=5)
    beside = Path(flowctl("db", "backup", "--json").json["path"])
    assert beside.exists()
    assert beside.name.startswith("flowctl.db.backup-2")


def test_damage_is_found_and_named(flowctl, hello, tmp_path) -> None:
    import apsw

    flowctl("--db", "f.db", "run", hello, "name=x")
    assert "no damage found" in flowctl("--db", "f.db", "db", "check").stdout
    connection = apsw.Connection(str(tmp_path / "f.db"))
    connection.execute("DROP TRIGGER steps_recorded")
    connection.execute("DROP TRIGGER steps_input")
    connection.execute("UPDATE steps SET output = '\"Hello, y!\"'")
    connection.close()
    done = flowctl("--db", "f.db", "db", "check", "--json", code=65)
    assert done.json.get("problems") or done.json["error"]


def test_status_counts(flowctl, hello) -> None:
    flowctl("db", "status", code=4)
    flowctl("run", hello, "name=x", "times=3")
    assert {"runs": 1, "steps": 3}.items() <= flowctl("db", "status", "--json").json["counts"].items()
    assert "3 steps" in flowctl("db", "status").stdout


@pytest.mark.parametrize(
    ("shell", "mark"), [("bash", "complete -o nosort -F"), ("zsh", "#compdef flowctl"), ("fish", "complete --no-files")]
)
def test_completion_scripts_are_printed(flowctl, shell, mark) -> None:
    assert mark in flowctl("completion", shell).stdout


def test_completion_knows_commands_workflows_and_runs(flowctl, hello, tmp_path) -> None:
    flowctl("workflows", "add", hello)
    flowctl("run", "hello", "name=x")

    def completed(words: str) -> str:
        env = {"_FLOWCTL_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
        done = subprocess.run(
            FLOWCTL, cwd=tmp_path, env={**os.environ, **env}, capture_output=True, text=True, check=True
        )
        assert "" == done.stderr
        return done.stdout

    assert "plain,resume" in completed("flowctl res")
    assert "plain,hello" in completed("flowctl run he")
    assert "plain,1" in completed("flowctl show ")
    assert "plain,@last" in completed("flowctl show @")
    assert "file," in completed("flowctl run ./x")
    assert "plain,--detach" in completed("flowctl run --de")
    (tmp_path / "bad.db").write_text("no database" * 100)
    assert "plain,@last" in completed("flowctl --db bad.db show @")


def test_b05_of_twenty_with_one_key_one_run_is_made(flowctl, hello) -> None:
    flowctl("workflows", "list")
    with ThreadPoolExecutor(5) as pool:
        done = list(pool.map(lambda _: flowctl("run", hello, "name=x", "--key", "K", "--detach"), range(20)))
    assert {"1\n"} == {each.stdout for each in done}
    assert 1 == len(flowctl("ls", "--json").json)
    assert "another" in flowctl("run", hello, "name=y", "--key", "K", "--detach", code=5).stderr.lower()
    assert ["Hello, x!"] == flowctl("run", hello, "name=x", "--key", "K").json
    assert ["Hello, x!"] == flowctl("run", hello, "name=x", "--key", "K").json
    assert 1 == len(flowctl("ls", "--json").json)
    assert "2\n" == flowctl("run", hello, "name=y", "--key", "K", "--namespace", "other", "--detach").stdout


def test_b09_a_retry_from_two_shells_is_one_attempt(flowctl, failing) -> None:
    flowctl("run", failing, code=1)
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: flowctl("retry", "1", "--detach", code=None), range(2)))
    assert [0, 5] == sorted(each.code for each in done)
    assert 2 == flowctl("show", "1", "--json").json["attempt"]


def test_retry_uses_the_newest_code_and_reuses_what_is_unchanged(flowctl, failing, tmp_path) -> None:
    flowctl("run", failing, code=1)
    flowctl("retry", "1", "--same-code", code=1)
    failing.write_text(failing.read_text().replace("1 / by", "41.0"))
    assert 42.0 == flowctl("retry", "@failed").json
    run = flowctl("show", "1", "--json").json
    assert (3, "succeeded") == (run["attempt"], run["state"])
    assert 1 == len(run["steps"][0]["attempts"])


def test_an_edit_of_a_recorded_step_blocks_and_is_decided(flowctl, failing) -> None:
    flowctl("run", failing, code=1)
    failing.write_text(failing.read_text().replace("return 1\n", "return 1 + 0\n").replace("1 / by", "41.0"))
    done = flowctl("retry", "1", code=8)
    assert "first" in done.stderr
    assert "--accept" in done.stderr
    assert "blocked" == flowctl("show", "1", "--json").json["state"]
    flowctl("resume", "1", code=5)
    assert 42.0 == flowctl("retry", "1", "--accept").json
    flowctl("retry", "1", code=5)


def test_retry_from_a_step_runs_it_and_what_follows_again(flowctl, gated, tmp_path) -> None:
    (tmp_path / "open").touch()
    gated.write_text(gated.read_text().replace("return total", "raise ValueError(total)"))
    flowctl("run", gated, code=1)
    gated.write_text(gated.read_text().replace("raise ValueError(total)", "return total"))
    flowctl("retry", "1", "--from", "nothing", code=4)
    assert 3 == flowctl("retry", "1", "--from", "2").json
    assert ["before", "gate", "after", "gate", "after"] == (tmp_path / "ledger").read_text().split()


def test_retry_without_the_file_offers_the_recorded_code(flowctl, failing) -> None:
    flowctl("run", failing, code=1)
    failing.unlink()
    assert "--same-code" in flowctl("retry", "1", code=4).stderr
    flowctl("retry", "1", "--same-code", code=1)


def test_rerun_is_a_new_run_with_the_same_input(flowctl, hello) -> None:
    flowctl("run", hello, "name=x", "--tag", "a=b")
    assert ["Hello, x!"] == flowctl("rerun", "1").json
    assert {"run": 3} == flowctl("rerun", "1", "--detach", "--json").json
    assert ({"name": "x", "times": 1}, {"a": "b"}) == tuple(
        map(flowctl("show", "2", "--json").json.get, ("input", "tags"))
    )
    hello.write_text(hello.read_text().replace("name: str, times", "who: str, times"))
    flowctl("rerun", "1", code=2)
    assert ["Hello, x!"] == flowctl("rerun", "1", "--same-code").json


def test_several_runs_and_selections(flowctl, hello) -> None:
    for name in "abc":
        flowctl("run", hello, f"name={name}", "--detach", "--tag", f"name={name}")
    assert ["paused", "paused"] == [run["state"] for run in flowctl("pause", "1", "2", "--json").json]
    assert ["cancelled"] == [run["state"] for run in flowctl("cancel", "--tag", "name=c", "--yes", "--json").json]
    assert "--yes" in flowctl("cancel", "--state", "paused", code=2).stderr
    assert "given" in flowctl("cancel", "1", "--state", "paused", code=2).stderr
    flowctl("cancel", "--state", "running", "--yes", code=4)
    assert {'["Hello, a!"]', '["Hello, b!"]'} == set(flowctl("resume", "--state", "paused").stdout.splitlines())
    done = flowctl("resume", "1", "2", code=5)
    assert "run 1 is succeeded" in done.stderr
    assert "run 2 is succeeded" in done.stderr
