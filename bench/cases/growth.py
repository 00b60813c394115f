"""A long run: whether a step late in it costs more than an early one, in time or in memory."""

from __future__ import annotations

import os
from pathlib import Path

from bench.hosting import host
from bench.measuring import WINDOW, clock, growth, resident_mib
from bench.model import Case, Figures, Goal
from flowctl.engine.observer import Change, StepChanged

CASE = Case(
    name="growth",
    about="cost of a step at the end of a run of 20,000 over its cost at 1,000",
    figures={"cost": "x", "engine": "x", "executor": "x", "engine_mib": "MiB", "executor_mib": "MiB"},
    contenders=("flowctl", "dura"),
    size=20_000,
    quick=3_000,
    goals=(
        Goal("cost", 1.1, at_most=True),
        Goal("engine", 1.1, at_most=True),
        Goal("executor", 1.1, at_most=True),
    ),
)


class _Windows:
    """Takes the time and the memory of both processes after each window of steps."""

    def __init__(self, executor_pid: int) -> None:
        self._pids = {"engine": os.getpid(), "executor": executor_pid}
        self._steps = 0
        self._began = clock()
        self.seconds: list[float] = []
        self.memory: dict[str, list[float]] = {"engine": [], "executor": []}

    def hear(self, change: Change) -> None:
        if not isinstance(change, StepChanged) or change.state != "succeeded":
            return
        self._steps += 1
        if self._steps % WINDOW == 0:
            self.seconds.append(clock() - self._began)
            for name, pid in self._pids.items():
                self.memory[name].append(resident_mib(pid))
            self._began = clock()


def measure(_contender: str, size: int, folder: Path) -> Figures:
    """Return what the last 1,000 steps take over the first 1,000, and the memory then over the memory at 1,000."""
    with host(folder) as flowctl:
        number = flowctl.submit(flowctl.new_run("steps", count=size))
        windows = _Windows(flowctl.executor_pid)
        flowctl.follow(number, windows.hear)
    memory = {name: growth(values) for name, values in windows.memory.items()}
    last = {f"{name}_mib": values[-1] for name, values in windows.memory.items()}
    return {"cost": growth(windows.seconds), **memory, **last}
