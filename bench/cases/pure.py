"""Steps without side effects: the next may begin before the record of the last is on disk."""

from __future__ import annotations

from pathlib import Path

from bench.hosting import host
from bench.measuring import clock
from bench.model import Case, Figures, Goal

CASE = Case(
    name="pure",
    about="sequential steps with pure=True; dura's ordinary ones beside them",
    figures={"rate": "steps/s"},
    contenders=("flowctl", "dura"),
    size=5_000,
    quick=300,
    goals=(Goal("rate", 1.5, over="dura"),),
)


def measure(_contender: str, size: int, folder: Path) -> Figures:
    """Return steps a second from the claim of the run to its end, when all are on disk."""
    with host(folder) as flowctl:
        number = flowctl.submit(flowctl.new_run("pure_steps", count=size))
        began = clock()
        flowctl.follow(number)
        return {"rate": size / (clock() - began)}
