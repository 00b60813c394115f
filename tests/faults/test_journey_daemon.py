"""From cron to flowctl, and through the loss of the machine: what a person does and sees, with real processes."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowctl.core.config import default_database
from flowctl.engine.daemon_lock import running_daemon
from flowctl.sdk import processes
from tests.conftest import FLOWCTL
from tests.faults.conftest import Bench, alive

CRONTAB = """\
# m h  dom mon dow   command
MAILTO=ada@example.org
# Written when the machine comes up.
@reboot echo up >> {folder}/boots
SHELL=/bin/bash
30 2 * * * cd {folder} && echo "begun $$" >> backups && test -e ready || sleep 300
61 * * * * wrong.sh
"""


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    """Leave no daemon behind."""
    yield
    if running_daemon(default_database(os.environ)) is not None:
        subprocess.run([*FLOWCTL, "daemon", "stop", "--now"], capture_output=True, timeout=60, check=False)


@pytest.fixture
def crontab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which a `crontab` program of ours keeps the person's crontab."""
    table, program = tmp_path / "table", tmp_path / "bin" / "crontab"
    table.write_text(CRONTAB.format(folder=tmp_path))
    program.parent.mkdir()
    quoted = shlex.quote(str(table))
    program.write_text(f'#!/bin/sh\ncase "$1" in -l) cat {quoted};; -) cat > {quoted};; esac\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("TZ", "UTC" if time.gmtime().tm_hour != 2 else "Etc/GMT+6")  # where it is not half past two
    monkeypatch.setenv("FLOWCTL_TESTING", "1")
    monkeypatch.setenv("FLOWCTL_BOOT_ID", "first boot")
    return table


def lose_the_machine(bench: Bench, monkeypatch: pytest.MonkeyPatch, pid: int) -> None:
    """Kill the daemon and all that it has started, as a power cut does; what comes next is another boot."""
    with bench.store() as store:
        tokens = [engine.token for engine in store.engines.running()]
    os.kill(pid, signal.SIGKILL)
    for token in tokens:
        processes.kill_engine(token)
    bench.wait_for(lambda: not alive(pid))
    monkeypatch.setenv("FLOWCTL_BOOT_ID", "second boot")


def test_a_crontab_is_taken_over_and_outlives_the_machine(
    bench: Bench, crontab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flowctl = bench.flowctl
    rows = flowctl("crontab", "import", "--apply", "--take-over", "--yes", "--json").json
    assert [(4, "echo"), (6, "echo-2")] == [(row["line"], row["schedule"]) for row in rows if row["schedule"]]
    assert [7] == [row["line"] for row in rows if row["outcome"] == "refused"]
    assert f"# @reboot echo up >> {tmp_path}/boots" in crontab.read_text().splitlines()
    flowctl("schedules", "add", "tick", "--every", "1s", "--overlap", "allow", "--", "true")

    pid = flowctl("daemon", "start", "--json").json["pid"]
    backup = int(flowctl("schedules", "trigger", "echo-2").stdout)
    bench.wait_for(lambda: (tmp_path / "backups").exists())
    bench.wait_for(lambda: flowctl("slots", "tick", "--json").json[2:])
    assert not (tmp_path / "boots").exists()  # this boot was before the import

    lose_the_machine(bench, monkeypatch, pid)
    flowctl("schedules", "add", "late", "--once", "2020-01-31T09:30", "--tz", "UTC", "--", "true")
    (tmp_path / "ready").touch()
    dark = int(time.time() * 1000)
    time.sleep(2.2)  # two slots of tick at least go by
    light = int(time.time() * 1000)
    asked = flowctl("why", "tick")
    assert "no daemon runs" in asked.stdout
    assert "flowctl daemon start" in asked.stderr

    flowctl("daemon", "start")
    bench.in_state("succeeded", backup)
    bench.wait_for(lambda: (tmp_path / "boots").exists())
    assert "up\n" == (tmp_path / "boots").read_text()
    assert 2 == len((tmp_path / "backups").read_text().splitlines())

    def of_the_dark() -> list[dict]:
        rows = flowctl("slots", "tick", "--limit", "1000", "--json").json
        return [row for row in rows if iso(dark) < row["due_at"] <= iso(light)]

    missed = bench.wait_for(of_the_dark)
    assert 2 <= len(missed)
    assert len({row["run"] for row in missed}) == 1, "they are made up for by one run"
    assert "coalesced" in {row["outcome"] for row in missed}
    why = flowctl("why", "tick", "--at", missed[-1]["due_at"]).stdout
    assert f"was coalesced into run {missed[-1]['run']}" in why
    [late] = flowctl("slots", "late", "--json").json
    assert ("fired", "it was due before the schedule was made") == (late["outcome"], late["reason"])
    assert "it was due before the schedule was made" in flowctl("why", "late", "--at", "2020-01-31T09:30").stdout
    assert "fires once after each start of the machine" in flowctl("why", "echo").stdout


def iso(instant: int) -> str:
    """Return an instant as --json writes it, for comparisons."""
    seconds, milliseconds = divmod(instant, 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{milliseconds:03d}Z"
