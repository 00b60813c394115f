"""What every measurement stands on, a peer's included. The standard library of Python 3.11 only."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

PAYLOAD = "x" * 200  # a step's input and its output
WINDOW = 1_000  # steps that are timed together
REPEATS = 15  # of a whole command

Figures = dict[str, float]
Measure = Callable[[str, int, Path], Figures]


def report(measure: Measure, arguments: Sequence[str]) -> None:
    """Measure what `CONTENDER SIZE FOLDER` say and print the figures as one line of JSON."""
    contender, size, folder = arguments
    figures = measure(contender, int(size), Path(folder))
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()
    os._exit(0)  # some peers leave threads behind that would never end


def clock() -> float:
    """Return seconds of a clock that all processes of this machine share."""
    return time.perf_counter()


def wait_until(done: Callable[[], bool], timeout_s: float = 900.0) -> None:
    """Wait until something is true. Raises TimeoutError."""
    deadline = clock() + timeout_s
    while not done():
        if clock() > deadline:
            raise TimeoutError(f"waited {timeout_s:g} s in vain")
        time.sleep(0.002)


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile of at least two values."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process in MiB, the unit of the goals."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "Rss":
            return int(value.split()[0]) / 1024
    raise ValueError(f"no Rss of {pid}")


def time_command(command: Sequence[str], repeats: int, cwd: Path) -> list[float]:
    """Return the wall time of each repeat of a command in milliseconds, after one that does not count."""
    taken = []
    for _ in range(repeats + 1):
        began = clock()
        done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        taken.append((clock() - began) * 1e3)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-500:]}")
    return taken[1:]


def median_time(command: Sequence[str], cwd: Path) -> float:
    """Return the median wall time of a command in milliseconds."""
    return statistics.median(time_command(command, REPEATS, cwd))


def start_beside(module: str, folder: Path, what: str, size: int) -> subprocess.Popen[str]:
    """Start a module as another process, and wait until it says that it is where it should be."""
    words = [sys.executable, "-m", module, what, str(size), str(folder)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def growth(seconds: Sequence[float]) -> float:
    """Return how much the last window of steps cost over the first; one alone did not grow."""
    return seconds[-1] / seconds[0]
