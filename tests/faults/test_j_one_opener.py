"""Nothing but apsw opens the database in a process of flowctl: an open and close of it would drop SQLite's locks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, Outcome

# Python tells its audit hooks of every file that it opens, of sqlite3 and of os.fork; apsw's C code opens unheard.
LISTENER = """
import os, sys

names = {os.environ["WATCHED"] + end for end in ("", "-wal", "-shm", "-journal")}
log = os.open(os.environ["HEARD"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

def hear(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)) and os.fsdecode(arguments[0]) in names:
        os.write(log, f"open {os.fsdecode(arguments[0])}\\n".encode())
    elif event == "sqlite3.connect" and os.fsdecode(arguments[0]) in names:  # a tool may have databases of its own
        os.write(log, f"{event}\\n".encode())
    elif event in ("os.fork", "os.forkpty"):
        os.write(log, f"{event}\\n".encode())

sys.addaudithook(hear)
"""


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Have every process of flowctl tell which database files Python opens in it; return what was told."""
    listener = tmp_path / "listener"
    listener.mkdir()
    (listener / "sitecustomize.py").write_text(LISTENER)
    log = tmp_path / "heard"
    monkeypatch.setenv("PYTHONPATH", f"{listener}:{ROOT}")
    monkeypatch.setenv("WATCHED", str(tmp_path / "watched.db"))
    monkeypatch.setenv("FLOWCTL_DB", str(tmp_path / "watched.db"))
    monkeypatch.setenv("HEARD", str(log))
    return lambda: log.read_text().splitlines()


def test_j10_j11_j12_a_daemon_and_commands_never_open_the_file_but_by_apsw_and_never_fork(
    flowctl: Callable[..., Outcome], heard: Callable[[], list[str]]
) -> None:
    flowctl("daemon", "start")
    try:
        flowctl("schedules", "add", "often", "--every", "1s", "--", "true")
        number = flowctl("exec", "--detach", "--", "echo", "x").stdout.strip()
        flowctl("wait", number)
        for words in (["ls"], ["show", number], ["doctor"], ["db", "check"], ["db", "status"], ["metrics"]):
            flowctl(*words, code=None)
        flowctl("db", "backup", "copy.db")
    finally:
        flowctl("daemon", "stop", "--now")
    flowctl("exec", "--", "true")
    assert [] == heard()


def test_j10_the_listener_of_this_test_hears_who_opens_the_file(
    flowctl: Callable[..., Outcome], heard: Callable[[], list[str]], tmp_path: Path
) -> None:
    flowctl("init")
    code = (
        "import os, sqlite3; open(os.environ['WATCHED']).close(); sqlite3.connect(os.environ['WATCHED']).close(); "
        "os.fork() or os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=20, cwd=tmp_path)
    assert [f"open {os.environ['WATCHED']}", "sqlite3.connect", "os.fork"] == heard()
