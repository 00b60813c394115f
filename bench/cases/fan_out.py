"""Many steps at once: they share commits and frames."""

from __future__ import annotations

from pathlib import Path

from bench.hosting import host
from bench.measuring import clock
from bench.model import Case, Figures, Goal

CONCURRENCY = 50

CASE = Case(
    name="fan_out",
    about="1,000 mapped steps, concurrency 50, against the same one after the other",
    figures={"rate": "steps/s"},
    contenders=("flowctl", "sequential"),
    size=1_000,
    quick=300,
    goals=(Goal("rate", 1.5, over="sequential"),),
)


def measure(contender: str, size: int, folder: Path) -> Figures:
    """Return steps a second from the claim of the run to its end."""
    with host(folder) as flowctl:
        if contender == "sequential":
            new = flowctl.new_run("steps", count=size)
        else:
            new = flowctl.new_run("fan_out", count=size, concurrency=CONCURRENCY)
        number = flowctl.submit(new)
        began = clock()
        flowctl.follow(number)
        return {"rate": size / (clock() - began)}
