"""A fork of a long run from its last step: the whole command, and how much the file grows by what is shared."""

from __future__ import annotations

import os
from pathlib import Path

from bench.cases.cold import flowctl_command
from bench.hosting import host
from bench.measuring import REPEATS, median_time
from bench.model import Case, Figures, Goal
from flowctl.store import Store

CASE = Case(
    name="fork",
    about="flowctl fork --detach from the last of 20,000 steps: with the newest code, with the code the run has",
    figures={"fork": "ms", "same_code": "ms", "bytes": "bytes/step"},
    contenders=("flowctl",),
    size=20_000,
    quick=500,
    goals=(Goal("fork", 300, at_most=True), Goal("same_code", 300, at_most=True), Goal("bytes", 400, at_most=True)),
)


def measure(_contender: str, size: int, folder: Path) -> Figures:
    """Return what a fork takes at the median, and what each step that it shares adds to the file."""
    with host(folder) as flowctl:
        number = flowctl.submit(flowctl.new_run("pure_steps", count=size))
        flowctl.follow(number)
        file = Path(flowctl.store.path)
    before = _size(file)
    words = [*flowctl_command(), "--db", str(file), "fork", str(number), "--from", f"pure#{size}", "--detach"]
    taken = {"fork": median_time(words, folder), "same_code": median_time([*words, "--same-code"], folder)}
    forks = 2 * (REPEATS + 1)
    return {**taken, "bytes": (_size(file) - before) / (forks * size)}


def _size(file: Path) -> int:
    with Store.open(file) as store:
        store.connection.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    return os.path.getsize(file)
