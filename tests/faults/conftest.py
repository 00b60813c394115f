"""What the fault tests share: workflow files, the real command line as a process that can be killed, and the file."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import pytest

from flowctl.core.config import default_database
from flowctl.core.errors import FlowctlError
from flowctl.core.model import Run
from flowctl.sdk import processes
from flowctl.store import Store
from tests.conftest import FLOWCTL, Outcome
from tests.faults.seen import stopped

_HEAD = """
import os, signal, subprocess, sys, threading, time
from pathlib import Path
from flowctl import *

HERE = Path(__file__).resolve().parent

def note(text):
    fd = os.open(HERE / "ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{text}\\n".encode())
    os.close(fd)
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write a workflow file. It can use everything of flowctl, and `note(text)`, which appends to the ledger."""

    def to(name: str, source: str) -> Path:
        path = tmp_path / name
        path.write_text(_HEAD + textwrap.dedent(source))
        return path

    return to


@pytest.fixture
def ledger(tmp_path: Path) -> Callable[[], list[str]]:
    """Return what workflows have noted so far: lines that no crash takes back."""

    def lines() -> list[str]:
        path = tmp_path / "ledger"
        return path.read_text().splitlines() if path.exists() else []

    return lines


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command line in a session of its own; whatever is left of it dies with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str | Path, cwd: Path = tmp_path, **env: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*FLOWCTL, *map(str, words)],
            cwd=cwd,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    tokens = _engine_tokens()
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.communicate()
    for token in tokens:
        processes.kill_engine(token)


def _engine_tokens() -> list[str]:
    path = default_database(os.environ)
    if not os.path.exists(path):
        return []
    with contextlib.suppress(Exception), Store.open(path, read_only=True) as store:
        return [engine.token for engine in store.engines.running()]
    return []


@pytest.fixture
def wait_for() -> Callable[..., Any]:
    """Wait until something is true, and return it."""

    def wait(predicate: Callable[[], Any], timeout: float = 60.0) -> Any:
        deadline = time.monotonic() + timeout
        while not (found := predicate()):
            assert time.monotonic() < deadline, f"waited {timeout:g} s in vain"
            time.sleep(0.01)
        return found

    return wait


@pytest.fixture
def store() -> Callable[[], Store]:
    """Open the file of the test for reading; the caller closes it."""
    return lambda: Store.open(default_database(os.environ), read_only=True)


@pytest.fixture
def run_of(store: Callable[[], Store]) -> Callable[..., Run | None]:
    """Return a run as it is recorded now, or None while there is none."""

    def read(number: int = 1) -> Run | None:
        if not os.path.exists(default_database(os.environ)):
            return None
        with contextlib.suppress(FlowctlError), store() as opened:
            return opened.runs.get(number)
        return None

    return read


@pytest.fixture
def shown(flowctl: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """Return what `show --json` says of a run, its steps by key."""

    def show(run: int | str = 1) -> dict[str, Any]:
        said: dict[str, Any] = flowctl("show", run, "--json").json
        said["by_key"] = {step["key"]: step for step in said["steps"]}
        return said

    return show


@pytest.fixture
def sound(store: Callable[[], Store]) -> Callable[[], None]:
    """Check that the file is in order: every page, checksum and invariant."""

    def check() -> None:
        with store() as opened:
            assert opened.check(full=True) == []

    return check


@dataclass(frozen=True)
class Bench:
    """All of the above in one hand."""

    flowctl: Callable[..., Outcome]
    write: Callable[[str, str], Path]
    ledger: Callable[[], list[str]]
    spawn: Callable[..., subprocess.Popen[str]]
    wait_for: Callable[..., Any]
    run_of: Callable[..., Run | None]
    shown: Callable[..., dict[str, Any]]
    store: Callable[[], Store]

    def noted(self, prefix: str, count: int = 1) -> list[int]:
        """Wait for so many notes of the form `prefix number`, and return the numbers."""

        def found() -> list[int]:
            return [int(line.split()[1]) for line in self.ledger() if line.startswith(f"{prefix} ")]

        self.wait_for(lambda: len(found()) >= count)
        return found()

    def in_state(self, state: str, number: int = 1) -> Run:
        """Wait until a run is in a state, and return it."""

        def found() -> Run | None:
            run = self.run_of(number)
            return run if run is not None and run.state == state else None

        waited: Run = self.wait_for(found)
        return waited

    def freeze(self, pid: int) -> None:
        """Stop a process between two of its writes: one that is stopped within a write keeps others from writing."""

        def is_stopped_at_rest() -> bool:
            os.kill(pid, signal.SIGSTOP)
            self.wait_for(lambda: stopped(pid))
            if _can_be_written(default_database(os.environ)):
                return True
            os.kill(pid, signal.SIGCONT)
            return False

        self.wait_for(is_stopped_at_rest)


def _can_be_written(path: str | os.PathLike[str]) -> bool:
    with contextlib.closing(apsw.Connection(os.fspath(path))) as connection, contextlib.suppress(apsw.BusyError):
        connection.execute("BEGIN IMMEDIATE; ROLLBACK")
        return True
    return False


@pytest.fixture
def bench(
    flowctl: Callable[..., Outcome],
    write: Callable[[str, str], Path],
    ledger: Callable[[], list[str]],
    spawn: Callable[..., subprocess.Popen[str]],
    wait_for: Callable[..., Any],
    run_of: Callable[..., Run | None],
    shown: Callable[..., dict[str, Any]],
    store: Callable[[], Store],
    sound: Callable[[], None],
) -> Iterator[Bench]:
    """Everything for one test, which ends with a look whether the file is sound."""
    yield Bench(flowctl, write, ledger, spawn, wait_for, run_of, shown, store)
    sound()


def alive(pid: int) -> bool:
    """Tell whether a process is there and not a zombie. One whose other threads still end cannot be reaped yet."""
    try:
        return not dead(pid) or len(os.listdir(f"/proc/{pid}/task")) > 1
    except (FileNotFoundError, ProcessLookupError):
        return False


def dead(pid: int) -> bool:
    """Tell whether a process has ended, although its last threads may not be put away yet: none runs code any more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return True
