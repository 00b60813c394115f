"""A terminal for the command line, and workflow files to run."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from flowctl.cli.main import main
from tests.conftest import FLOWCTL, Outcome

PATIENCE_S = 60.0  # for what is to happen: a loaded machine takes its time
GREETING = """
from flowctl import step, workflow

@step
def greet(name: str) -> str:
    print("greeting", name)
    return f"Hello, {name}!"

@workflow
def hello(name: str, times: int = 1) -> list:
    \"\"\"Greet somebody.\"\"\"
    return [greet(name) for _ in range(times)]
"""

# Waits in a step until a file appears, and keeps a ledger outside of flowctl of every body that began.
GATED = """
import os, time
from pathlib import Path
from flowctl import step, workflow

def note(text):
    with open("ledger", "a") as file:
        file.write(text + "\\n")

@step
def before() -> int:
    note("before")
    return 1

@step
def gate() -> int:
    note("gate")
    while not Path("open").exists():
        time.sleep(0.01)
    return 2

@step
def after(total: int) -> int:
    note("after")
    return total

@workflow
def gated() -> int:
    return after(before() + gate())
"""

FAILING = """
from flowctl import GiveUp, step, workflow

@step
def first() -> int:
    return 1

@step
def divide(by: int) -> float:
    return 1 / by

@workflow
def fails(by: int = 0) -> float:
    return first() + divide(by)
"""


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    return _write(tmp_path / "hello.py", GREETING)


@pytest.fixture
def gated(tmp_path: Path) -> Path:
    return _write(tmp_path / "gated.py", GATED)


@pytest.fixture
def failing(tmp_path: Path) -> Path:
    return _write(tmp_path / "failing.py", FAILING)


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.fixture
def quick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """Call the command line in this process: ten times as fast, for what needs no process of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str | Path, code: int | None = 0) -> Outcome:
        capsys.readouterr()
        ended = main([*map(str, words)])
        said = capsys.readouterr()
        assert "Traceback" not in said.err, said.err
        assert code is None or code == ended, (words, said)
        return Outcome(ended, said.out, said.err)

    return run


def until(condition: Callable[[], object]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.01)


def let_notice(process: subprocess.Popen[Any]) -> None:
    """Wait until an engine has noticed a signal: it has looked around, and gone to sleep again, some times since."""

    def naps() -> int:
        status = Path(f"/proc/{process.pid}/status").read_text()
        return int(status.partition("voluntary_ctxt_switches:")[2].split()[0])

    before = naps()
    until(lambda: naps() >= before + 4)


def ledger(folder: Path) -> list[str]:
    """Return what the bodies of GATED have noted."""
    path = folder / "ledger"
    return path.read_text().split() if path.exists() else []


@pytest.fixture
def background(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start flowctl and leave it running; what is still there in the end is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*words: str | Path, **env: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [*FLOWCTL, *map(str, words)],
            cwd=tmp_path,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@dataclass
class Screen:
    """A flowctl on a terminal: what it wrote so far, and its process."""

    process: subprocess.Popen[bytes]
    master: int
    attributes: list[object]  # of the terminal, before there was a process on it
    written: bytes = field(default=b"")

    def read(self, seconds: float) -> bool:
        """Read for at most so long; tell whether there may be more."""
        if not select.select([self.master], [], [], seconds)[0]:
            return self.process.poll() is None
        try:
            data = os.read(self.master, 1 << 16)
        except OSError:  # the other side is closed
            return False
        self.written += data
        return bool(data)

    def read_until(self, text: str) -> None:
        """Read until the text has appeared."""
        end = time.monotonic() + PATIENCE_S
        while text.encode() not in self.written:
            assert time.monotonic() < end, self.written
            assert self.read(0.1) or text.encode() in self.written, self.written

    def read_to_end(self) -> str:
        """Read until the process has ended, and return all that it wrote."""
        end = time.monotonic() + PATIENCE_S
        while self.read(0.1):
            assert time.monotonic() < end, self.written
        self.process.wait(PATIENCE_S)
        text = self.written.decode()
        assert "Traceback" not in text, text
        return text


@pytest.fixture
def on_terminal(tmp_path: Path) -> Callable[..., Screen]:
    """Run the command line on a terminal of its own."""

    @contextmanager
    def run(*words: str | Path, size: tuple[int, int] = (24, 80), **env: str) -> Iterator[Screen]:
        master, slave = pty.openpty()
        attributes = termios.tcgetattr(master)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        process = subprocess.Popen(
            [*FLOWCTL, *map(str, words)],
            cwd=tmp_path,
            env={**os.environ, "TERM": "xterm-256color", **env},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        try:
            yield Screen(process, master, attributes)
        finally:
            process.kill()
            process.wait()
            os.close(master)

    return run
