"""Conditions at the command line: a daemon holds a run, says why, and lets it begin."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flowctl.core.config import default_database
from flowctl.engine.daemon_lock import running_daemon
from tests.conftest import FLOWCTL, Outcome
from tests.faults.conftest import Bench, bench, ledger, run_of, shown, sound, spawn, store, wait_for, write

__all__ = ["bench", "ledger", "run_of", "shown", "sound", "spawn", "store", "wait_for", "write"]

GATED = """
@workflow(when="file_exists('go')")
def gated() -> str:
    return "through"
"""


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    """Leave no daemon behind."""
    yield
    facts = running_daemon(default_database(os.environ))
    if facts is not None:
        os.kill(facts.pid, signal.SIGCONT)
        subprocess.run([*FLOWCTL, "daemon", "stop", "--now"], capture_output=True, timeout=100, check=False)


def test_a_daemon_holds_a_run_says_why_and_lets_it_begin(bench: Bench, tmp_path: Path) -> None:
    bench.write("gated.py", GATED)
    bench.flowctl("workflows", "add", "gated.py")
    once = ["--once", "2020-01-01T00:00", "--when", "cmd:test -e also"]
    bench.flowctl("schedules", "add", "past", "--workflow", "gated", *once)
    bench.flowctl("daemon", "start")
    bench.wait_for(lambda: (run := bench.run_of(1)) and run.reason)
    assert "is due and held: there is no" in bench.flowctl("why", "1").stdout
    assert "held" in bench.flowctl("ls").stdout
    shown = bench.flowctl("show", "1", "--json").json
    assert ("queued", None) == (shown["state"], shown["wake_at"])
    assert "test -e also ended with exit code 1" in shown["reason"]
    (tmp_path / "go").touch()
    (tmp_path / "also").touch()
    assert '"through"' == bench.in_state("succeeded").output


def test_a_run_that_a_person_starts_does_not_wait(bench: Bench) -> None:
    bench.write("gated.py", GATED)
    assert '"through"\n' == bench.flowctl("run", "gated.py").stdout


def test_conditions_of_a_schedule_are_checked_and_taken_away(bench: Bench) -> None:
    said = bench.flowctl("schedules", "add", "x", "--every", "1h", "--when", "power", "--", "true", code=2).stderr
    assert "--when: 'power' is not a condition: known are ac_power, battery>PERCENT" in said
    said = bench.flowctl("schedules", "add", "x", "--every", "1h", "--when", "cmd('true)", "--", "true", code=2).stderr
    assert "its ' is not closed" in said
    conditions = ["--when", "ac_power", "--when", "battery>20", "--when", 'file_exists("go")', "--when", "idle"]
    bench.flowctl("schedules", "add", "x", "--every", "1h", *conditions, "--", "true")
    options = bench.flowctl("schedules", "show", "x", "--json").json["options"]
    assert ["ac_power", "battery>20", "file_exists:go", "idle:10m"] == options["when"]
    bench.flowctl("schedules", "update", "x", "--when", "none")
    assert [] == bench.flowctl("schedules", "show", "x", "--json").json["options"].get("when", [])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [("battery<3", "'battery<3' is not a condition: write battery>20"), ("idle(1h", "it does not end with )")],
)
def test_a_workflow_with_a_wrong_condition_is_refused_when_it_is_imported(
    flowctl: Callable[..., Outcome], tmp_path: Path, wrong: str, said: str
) -> None:
    (tmp_path / "gated.py").write_text("from flowctl import *\n" + GATED.replace("file_exists('go')", wrong))
    told = flowctl("workflows", "add", "gated.py", code=2).stderr
    assert "@workflow gated: when: " in told
    assert said in told
