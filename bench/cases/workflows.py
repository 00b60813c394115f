"""Durable workflows of one step: enqueued one by one, each durably, then all executed."""

from __future__ import annotations

from pathlib import Path

from bench.hosting import drain, host
from bench.measuring import PAYLOAD, clock
from bench.model import Case, Figures, Goal

EXECUTORS = 2

CASE = Case(
    name="workflows",
    about="1-step workflows, enqueued then drained, 2 executors",
    figures={"rate": "runs/s", "enqueue": "µs/run", "drain": "µs/run"},
    contenders=("flowctl", "floor", "floor-merged", "dbos", "dbos-wal", "dura", "huey", "prefect"),
    size=2_000,
    quick=200,
    sizes={"prefect": 20},
    goals=(
        Goal("rate", 12, over="dbos"),
        Goal("rate", 8, over="dbos-wal"),
        Goal("rate", 2, over="dura"),
        Goal("rate", 1.3, over="huey"),
        Goal("rate", 1.5, over="floor"),
    ),
)


def measure(_contender: str, size: int, folder: Path) -> Figures:
    """Return runs a second over both parts, and what each part takes for one run."""
    with host(folder) as flowctl:
        new = flowctl.new_run("one", x=PAYLOAD)
        began = clock()
        for _ in range(size):
            flowctl.submit(new)
        enqueued = clock()
        drain(flowctl.store, flowctl.supervisor, EXECUTORS)
        ended = clock()
        if flowctl.store.runs.counts("default") != {"succeeded": size}:
            raise RuntimeError(f"not all runs succeeded: {flowctl.store.runs.counts('default')}")
    return {
        "rate": size / (ended - began),
        "enqueue": (enqueued - began) / size * 1e6,
        "drain": (ended - enqueued) / size * 1e6,
    }
