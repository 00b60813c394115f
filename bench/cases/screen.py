"""The screen in a terminal, on a file with 100,000 runs: the first list, each key, at rest, and while runs come in."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path

from bench.cases.cold import flowctl_command
from bench.large_file import STEPS_PER_RUN, large_file
from bench.measuring import clock, percentile, resident_mib
from bench.model import Case, Figures, Goal
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.listing import RunFilter
from flowctl.engine import commands
from flowctl.store import Store

ROWS, COLUMNS = 48, 160
KEYS = 100  # of each kind
QUIET_S = 0.03  # without output: what a key has caused is drawn
SETTLE_S = 2.0  # after the last key: what that has caused is no rest
REST_S = 10.0
PER_S = 50  # runs that come in while it is busy
_DOWN, _PAGES, _END = b"j", (b"\x1b[6~", b"\x1b[5~"), b"\x1b[F"
_DRAWN = re.compile(rb"\xe2\x9c\x93 succeeded")  # a row of the list

CASE = Case(
    name="screen",
    about="the terminal screen on 100,000 runs: first list, a key that is pressed at the start until it "
    "is obeyed, a key until it is drawn (p95), also while 50 runs a second come in, memory, and cost at rest",
    figures={
        "first": "ms",
        "obeys": "ms",
        "key": "ms",
        "page": "ms",
        "end": "ms",
        "busy": "ms",
        "rss": "MiB",
        "start": "ms of CPU",
        "press": "ms of CPU",
        "rest": "% of a core",
    },
    contenders=("flowctl",),
    size=100_000,
    quick=2_000,
    goals=(
        Goal("first", 400, at_most=True),
        Goal("key", 100, at_most=True),
        Goal("busy", 100, at_most=True),
        Goal("rest", 1, at_most=True),
    ),
)


def measure(_contender: str, size: int, folder: Path) -> Figures:
    """Return what a person at the screen waits for, and what it costs while nobody does anything."""
    file = large_file(folder.parent, size * STEPS_PER_RUN)
    with _screen(file) as (process, terminal, began):
        first, obeys = _until_obeyed(terminal, size)
        start = _processor_s(process.pid)
        _until_quiet(terminal)
        before = _processor_s(process.pid)
        keys = [_key(terminal, _DOWN) for _ in range(KEYS)]
        press = (_processor_s(process.pid) - before) / KEYS
        pages = [_key(terminal, _PAGES[number % 2]) for number in range(KEYS)]
        end = _key(terminal, _END)
        time.sleep(SETTLE_S)
        before = _processor_s(process.pid)
        time.sleep(REST_S)
        rest = (_processor_s(process.pid) - before) / REST_S
        found = {
            "first": (first - began) * 1e3,
            "obeys": (obeys - began) * 1e3,
            "key": percentile(keys, 95) * 1e3,
            "page": percentile(pages, 95) * 1e3,
            "end": end * 1e3,
            "rss": resident_mib(process.pid),
            "start": start * 1e3,
            "press": press * 1e3,
            "rest": rest * 100,
        }
    return found | {"busy": percentile(_busy(file, folder, size), 95) * 1e3}


def _busy(file: Path, folder: Path, size: int) -> list[float]:
    """Return the seconds until each key had drawn something, on a copy of the file to which runs are added."""
    copy = folder / "busy.db"
    shutil.copy(file, copy)
    with _screen(copy) as (_, terminal, _):
        _until_obeyed(terminal, size)
        words = [sys.executable, "-m", "bench.cases.screen", str(copy)]
        with subprocess.Popen(words) as adding:
            try:
                time.sleep(1.0)
                return [_first_answer(terminal) for _ in range(KEYS)]
            finally:
                adding.terminate()


def _first_answer(terminal: int) -> float:
    """Return the seconds from a key to the next thing that is drawn: while rows change it is never quiet."""
    while select.select([terminal], [], [], 0)[0]:
        os.read(terminal, 1 << 16)
    began = clock()
    os.write(terminal, _DOWN)
    if not select.select([terminal], [], [], 60)[0]:
        raise TimeoutError("a key has drawn nothing")
    taken = clock() - began
    time.sleep(0.05)
    return taken


def _add_runs(path: str) -> None:
    """Add runs like the last one until we are ended."""
    with Store.open(path) as store:
        last = store.runs.numbers(RunFilter(limit=1))[0]
        while True:
            commands.rerun(store, last, SYSTEM_CLOCK.now())
            time.sleep(1 / PER_S)


@contextmanager
def _screen(file: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, float]]:
    """Start the screen in a terminal of its own; yield its process, our end of the terminal, and when that was."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    env = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    began = clock()
    words = [*flowctl_command(), "--db", str(file), "tui"]
    with subprocess.Popen(
        words, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True
    ) as process:
        os.close(theirs)
        try:
            yield process, ours, began
        finally:
            process.send_signal(signal.SIGKILL)
            os.close(ours)


def _until_obeyed(terminal: int, size: int) -> tuple[float, float]:
    """Press a key at once; return when the first row was there, and when the cursor had moved. Raises TimeoutError.

    The list stands there before the screen is loaded, which then obeys the key. Where the cursor is, is told by the
    background of that row: the second one, and the newest run has the number `size`.
    """
    os.write(terminal, _DOWN)
    seen = bytearray()
    drawn = _until(terminal, _DRAWN, seen)
    return drawn, _until(terminal, re.compile(rb"47m +%d " % (size - 1)), seen)


def _until(terminal: int, sign: re.Pattern[bytes], seen: bytearray) -> float:
    """Read until a sign is among what was seen; return when. Raises TimeoutError."""
    while not sign.search(seen):
        if not select.select([terminal], [], [], 60)[0]:
            raise TimeoutError("the screen has drawn nothing for a minute")
        seen += os.read(terminal, 1 << 16)
    return clock()


def _until_quiet(terminal: int) -> float:
    """Read until nothing more is drawn; return when the last of it came."""
    last = clock()
    while select.select([terminal], [], [], QUIET_S)[0]:
        os.read(terminal, 1 << 16)
        last = clock()
    return last


def _key(terminal: int, key: bytes) -> float:
    """Return the seconds from a key to the last of what it has drawn."""
    began = clock()
    os.write(terminal, key)
    if not select.select([terminal], [], [], 60)[0]:
        raise TimeoutError("a key has drawn nothing")
    return _until_quiet(terminal) - began


def _processor_s(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    _add_runs(sys.argv[1])
