"""The memory of an executor that waits for its next run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.hosting import host
from bench.measuring import PAYLOAD, resident_mib
from bench.model import Case, Figures, Goal
from flowctl.engine.observer import Change, RunChanged

CASE = Case(
    name="idle",
    about="resident memory of a worker that has done a run and waits for the next",
    figures={"rss": "MiB"},
    contenders=("flowctl", "python", "dbos", "dura", "huey"),
    size=1,
    quick=1,
    goals=(Goal("rss", 14, at_most=True),),
)


def measure(contender: str, _size: int, folder: Path) -> Figures:
    """Return the resident memory of an executor, or of an interpreter that has imported nothing."""
    return {"rss": _interpreter() if contender == "python" else _executor(folder)}


def _executor(folder: Path) -> float:
    found: list[float] = []

    def hear(change: Change) -> None:
        if isinstance(change, RunChanged) and change.state == "succeeded":
            found.append(resident_mib(flowctl.executor_pid))

    with host(folder) as flowctl:
        flowctl.follow(flowctl.submit(flowctl.new_run("one", x=PAYLOAD)), hear)
    return found[0]


def _interpreter() -> float:
    words = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = resident_mib(process.pid)
        process.kill()
    return found
