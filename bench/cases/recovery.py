"""After kill -9: how soon the first body starts again, and how long until every run has ended.

The measured process starts others: one that dies with runs in hand, and one that takes over.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.hosting import drain, host
from bench.measuring import PAYLOAD, clock, wait_until
from bench.model import Case, Figures, Goal
from flowctl.engine.observer import Change, StepChanged
from flowctl.engine.supervisor import Supervisor
from flowctl.store import Store

EXECUTORS = 2

CASE = Case(
    name="recovery",
    about="1,000 pending runs after kill -9, from the start of the process that takes over",
    figures={"first_body": "s", "all": "s"},
    contenders=("flowctl", "uncrashed", "dbos", "dura"),
    size=1_000,
    quick=100,
    goals=(
        Goal("first_body", 2, at_most=True),
        Goal("all", 1.3, over="uncrashed", at_most=True),
    ),
    once=frozenset({"dura"}),  # two minutes: its leases have to run out
)


def measure(contender: str, size: int, folder: Path) -> Figures:
    """Return the seconds until the first body starts, and until all runs have ended."""
    gate = folder / "gate"
    with host(folder) as flowctl:
        new = flowctl.new_run("held", path=str(gate), x=PAYLOAD)
        for _ in range(size):
            flowctl.submit(new)
    if contender == "flowctl":
        gate.touch()
        _crash(folder)
        gate.unlink()
    began = clock()
    done = subprocess.run(_host_command(folder), stdout=subprocess.PIPE, text=True, check=True)
    first_body, ended = map(float, done.stdout.split())
    with Store.open(folder / "flowctl.db", read_only=True) as store:
        if store.runs.counts("default") != {"succeeded": size}:
            raise RuntimeError(f"not all runs succeeded: {store.runs.counts('default')}")
    return {"first_body": first_body - began, "all": ended - began}


def _crash(folder: Path) -> None:
    """Start a process that takes runs, and kill it when it has as many as it can."""
    victim = subprocess.Popen(_host_command(folder), stdout=subprocess.DEVNULL)
    with Store.open(folder / "flowctl.db", read_only=True) as store:
        wait_until(lambda: store.runs.counts("default").get("running") == EXECUTORS)
    victim.kill()
    victim.wait()


def _host_command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "bench.cases.recovery", str(folder)]


def _host(folder: Path) -> None:
    """Drain the store; print when the first body started and when all was done."""
    first: list[float] = []

    def hear(change: Change) -> None:
        if not first and isinstance(change, StepChanged):
            first.append(clock())

    supervisor = Supervisor()
    try:
        with Store.open(folder / "flowctl.db") as store:
            drain(store, supervisor, EXECUTORS, hear)
            ended = clock()
    finally:
        supervisor.close()
    sys.stdout.write(f"{first[0]} {ended}\n")


if __name__ == "__main__":
    _host(Path(sys.argv[1]))
