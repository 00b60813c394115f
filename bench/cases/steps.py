"""One run of steps that do nothing, one after the other: the cost of a recorded step."""

from __future__ import annotations

import os
from pathlib import Path

from bench.hosting import host
from bench.measuring import clock
from bench.model import Case, Figures, Goal

CASE = Case(
    name="steps",
    about="sequential steps of one run, 200 bytes in and out, on disk before the next begins",
    figures={"rate": "steps/s", "bytes": "bytes of file/step"},
    contenders=("flowctl", "floor", "dbos", "dbos-wal", "dura", "prefect"),
    size=5_000,
    quick=300,
    sizes={"prefect": 1_000},
    goals=(
        Goal("rate", 0.5, over="floor"),
        Goal("rate", 4, over="dbos-wal"),
        Goal("bytes", 900, at_most=True),
    ),
)


def measure(_contender: str, size: int, folder: Path) -> Figures:
    """Return steps a second from the claim of the run to its end, and what the file has grown for each."""
    with host(folder) as flowctl:
        number = flowctl.submit(flowctl.new_run("steps", count=size))
        before = flowctl.store.status()["size"]
        began = clock()
        flowctl.follow(number)
        taken = clock() - began
    return {"rate": size / taken, "bytes": (os.stat(folder / "flowctl.db").st_size - before) / size}
