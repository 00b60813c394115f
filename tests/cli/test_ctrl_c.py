"""A14: ctrl-C in the foreground. And kill -9: what the next command says, and how the run goes on."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import PATIENCE_S, ledger, let_notice, until
from tests.faults.conftest import alive


def test_a14_ctrl_c_finishes_the_step_pauses_the_run_and_says_how_to_resume(
    background, flowctl, gated, tmp_path
) -> None:
    process = background("run", gated)
    until(lambda: "gate" in ledger(tmp_path))
    process.send_signal(signal.SIGINT)
    let_notice(process)
    (tmp_path / "open").touch()
    out, err = process.communicate(timeout=PATIENCE_S)
    assert 130 == process.returncode
    assert b"" == out
    assert b"flowctl resume 1" in err
    assert b"Traceback" not in err
    assert "paused" == flowctl("show", "1", "--json").json["state"]
    assert 3 == flowctl("resume", "@last").json
    assert ["before", "gate", "after"] == ledger(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_a14_a_signal_that_it_was_started_to_ignore_does_not_stop_it(background, gated, tmp_path, number) -> None:
    before = signal.signal(number, signal.SIG_IGN)  # as nohup does, and a shell for what it runs in the background
    try:
        process = background("run", gated)
    finally:
        signal.signal(number, before)
    until(lambda: "gate" in ledger(tmp_path))
    process.send_signal(number)
    let_notice(process)
    (tmp_path / "open").touch()
    out, _ = process.communicate(timeout=60)
    assert (0, b"3\n") == (process.returncode, out)


def test_a14_a_second_ctrl_c_stops_at_once_and_the_step_runs_again(background, flowctl, gated, tmp_path) -> None:
    process = background("run", gated)
    until(lambda: "gate" in ledger(tmp_path))
    process.send_signal(signal.SIGINT)
    let_notice(process)  # of two signals that come at once, a process gets one
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert 130 == process.returncode
    assert b"flowctl resume 1" in err
    assert b"Traceback" not in err
    (tmp_path / "open").touch()
    assert 3 == flowctl("resume", "1").json
    assert ["before", "gate", "gate", "after"] == ledger(tmp_path)
    gate = flowctl("show", "1", "gate", "--json").json
    assert ["interrupted", "succeeded"] == [attempt["state"] for attempt in gate["attempts"]]


def test_a14_ctrl_c_while_a_file_is_imported_leaves_nothing_behind(background, tmp_path) -> None:
    (tmp_path / "slow.py").write_text("import time, pathlib\npathlib.Path('importing').touch()\ntime.sleep(300)\n")
    process = background("run", "slow.py")
    until((tmp_path / "importing").exists)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert 130 == process.returncode
    assert b"Traceback" not in err
    assert not list(tmp_path.rglob("*.db"))


def test_a14_ctrl_c_leaves_the_rest_of_many_for_later(background, flowctl, gated, tmp_path) -> None:
    (tmp_path / "runs.jsonl").write_text("{}\n{}\n{}\n")
    process = background("run", gated, "--each", "runs.jsonl")
    until(lambda: "gate" in ledger(tmp_path))
    process.send_signal(signal.SIGINT)
    let_notice(process)
    (tmp_path / "open").touch()
    _, err = process.communicate(timeout=PATIENCE_S)
    assert 130 == process.returncode
    assert b"not begun: flowctl resume 2 3" in err
    assert ["paused", "paused", "paused"] == [run["state"] for run in flowctl("ls", "--json").json]
    assert "3\n3\n3\n" == flowctl("resume", "1", "2", "3").stdout


def test_a01_a_killed_run_is_shown_as_orphaned_and_resume_finishes_it_here(
    background, flowctl, gated, tmp_path
) -> None:
    process = background("run", gated)
    until(lambda: "gate" in ledger(tmp_path))
    kill(process)
    [run] = flowctl("ls", "--json").json
    assert "running" == run["state"]
    assert f"its engine (pid {process.pid}) is gone: flowctl resume 1 continues it" == run["reason"]
    assert f"its engine (pid {process.pid}) is gone" in flowctl("show", "@last").stdout
    assert "next: flowctl resume 1" in flowctl("show", "@last").stdout
    assert f"its engine (pid {process.pid}) is gone" in flowctl("wait", "1", "--timeout", "100ms", code=7).stderr
    (tmp_path / "open").touch()
    assert 3 == flowctl("resume", "@last").json
    assert ["before", "gate", "gate", "after"] == ledger(tmp_path)
    run = flowctl("show", "@last", "--json").json
    assert ("succeeded", 3) == (run["state"], run["output"])
    assert ["before", "gate", "after"] == [step["key"] for step in run["steps"]]
    assert ["interrupted", "succeeded"] == [attempt["state"] for attempt in run["steps"][1]["attempts"]]


def test_a03_a_printed_number_is_on_disk_whatever_happens_next(background, flowctl, hello) -> None:
    for number in range(1, 6):
        process = background("run", hello, "name=x", "--detach")
        assert f"{number}\n".encode() == process.stdout.readline()
        process.kill()
        process.communicate()
    assert [5, 4, 3, 2, 1] == [run["run"] for run in flowctl("ls", "--json").json]
    assert ["Hello, x!"] == flowctl("resume", "3").json
    assert flowctl("db", "check", "--json").json["ok"]


def test_c01_a_run_in_good_hands_is_not_taken_over(background, flowctl, gated, tmp_path) -> None:
    process = background("run", gated)
    until(lambda: "gate" in ledger(tmp_path))
    done = flowctl("resume", "1", code=5)
    assert f"by process {process.pid}" in done.stderr
    flowctl("retry", "1", code=5)
    assert ["before", "gate"] == ledger(tmp_path)
    (tmp_path / "open").touch()
    assert b"3" == process.communicate(timeout=PATIENCE_S)[0].strip()


def test_another_process_pauses_cancels_and_waits(background, flowctl, gated, tmp_path) -> None:
    process = background("run", gated)
    until(lambda: "gate" in ledger(tmp_path))
    assert "asked to pause" == flowctl("pause", "1", "--json").json["reason"]
    (tmp_path / "open").touch()
    process.communicate(timeout=PATIENCE_S)
    assert 130 == process.returncode
    assert 130 == flowctl("wait", "1", code=130).code
    (tmp_path / "open").unlink()
    (tmp_path / "ledger").unlink()
    second = background("run", gated)
    until(lambda: "gate" in ledger(tmp_path))
    flowctl("cancel", "2")
    flowctl("wait", "2", code=6)
    second.communicate(timeout=PATIENCE_S)
    assert 6 == second.returncode
    assert "cancelled" == flowctl("show", "2", "--json").json["state"]


def test_logs_are_followed_until_the_run_ends(background, flowctl, tmp_path) -> None:
    (tmp_path / "talk.py").write_text(
        "import time\nfrom pathlib import Path\nfrom flowctl import step, workflow\n\n@step\ndef say() -> None:\n"
        "    print('one', flush=True)\n    while not Path('open').exists():\n        time.sleep(0.01)\n"
        "    print('two')\n\n@workflow\ndef talk() -> None:\n    say()\n"
    )
    process = background("run", "talk.py", "--quiet")
    until(lambda: "one" in flowctl("logs", "1", code=None).stdout)
    follower = background("logs", "1", "-f")
    assert b"say  one" in follower.stdout.readline()
    (tmp_path / "open").touch()
    assert b"say  two" in follower.communicate(timeout=PATIENCE_S)[0]
    assert 0 == follower.returncode
    assert 0 == process.wait(PATIENCE_S)


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def test_the_processes_of_a_killed_run_are_gone_before_it_goes_on(background, flowctl, gated, tmp_path) -> None:
    process = background("run", gated)
    until(lambda: "gate" in ledger(tmp_path))
    [executor] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    kill(process)
    until(lambda: not alive(int(executor)))
    (tmp_path / "open").touch()
    assert 3 == flowctl("resume", "1").json
