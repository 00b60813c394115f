"""The screen beside a run that records much: the log that SQLite writes ahead is emptied all the same."""

from __future__ import annotations

import os
import pty
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fcntl import ioctl
from pathlib import Path
from typing import Any

import pytest

from flowctl.core.config import default_database
from flowctl.core.errors import FlowctlError
from flowctl.store import Store
from tests.conftest import FLOWCTL

STEPS = int(os.environ.get("WAL_STEPS", "1200"))  # of 2 KB: few for every day
MOST = 16_000_000  # bytes
FLOW = f"""
    @step
    def page(number: int) -> str:
        return str(number).ljust(2_000, "x")

    @workflow
    def pages():
        for number in range({STEPS}):
            page(number)
"""


class Screen:
    """A screen in a terminal of its own, and what it has drawn."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int) -> None:
        self.process = process
        self.drawn = b""
        self._terminal = terminal
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        try:
            while found := os.read(self._terminal, 1 << 16):
                self.drawn += found
        except OSError:  # its end is closed
            pass


@contextmanager
def screen(*words: str) -> Iterator[Screen]:
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 48, 160, 0, 0))
    env = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    process = subprocess.Popen(
        [*FLOWCTL, "tui", *words], stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True
    )
    os.close(theirs)
    found = Screen(process, ours)
    try:
        yield found
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        found.reader.join()
        os.close(ours)


@pytest.mark.slow
def test_j13_the_wal_stays_small_while_screens_look_at_a_run_that_records(
    write: Callable[[str, str], Path],
    spawn: Callable[..., subprocess.Popen[str]],
    wait_for: Callable[..., Any],
) -> None:
    db = default_database(os.environ)
    running = spawn("run", write("pages.py", FLOW), "-q")
    wait_for(lambda: db.exists() and b"running" in _states(db))
    sizes = []
    with screen() as runs, screen("1") as run:
        while running.poll() is None:
            with suppress(FileNotFoundError):  # the last who closes it takes it away
                sizes.append(db.with_name(f"{db.name}-wal").stat().st_size)
            try:
                running.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
        ended = "✓ succeeded".encode()  # so it is said of a run; steps have sign and word apart
        wait_for(lambda: ended in runs.drawn and ended in run.drawn)
    assert 0 == running.returncode
    assert max(sizes) < MOST
    assert db.stat().st_size > MOST // 4, "there is more than a reader that stays would have held back"


def _states(db: Path) -> bytes:
    with suppress(FlowctlError), Store.open(db, read_only=True) as store:  # it may be half made yet
        return " ".join(store.runs.counts("default")).encode()
    return b""
