"""Looking at a file with a million steps: whole commands, and their questions to the file alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.cases.cold import flowctl_command
from bench.large_file import large_file
from bench.measuring import clock, percentile, time_command
from bench.model import Case, Figures, Goal
from flowctl.core.listing import RunFilter
from flowctl.store import Store

COMMANDS = 40  # repeats of each whole command
QUERIES = 200  # repeats of each question
SLOWEST = 95  # percentile

WORDS = {
    "ls": ["ls"],
    "ls_failed": ["ls", "--state", "failed"],
    "ls_workflow": ["ls", "--workflow", "flow_7"],
    "ls_tag": ["ls", "--tag", "env=prod"],
    "show": ["show"],
}

CASE = Case(
    name="large",
    about="p95 of ls, show and filtered lists on a file with 1,000,000 steps: the command, and its question alone",
    figures={**dict.fromkeys(WORDS, "ms"), **{f"{name}_query": "ms" for name in WORDS}},
    contenders=("flowctl",),
    size=1_000_000,
    quick=20_000,
    goals=tuple(Goal(name, 100, at_most=True) for name in WORDS),
)


def measure(_contender: str, size: int, folder: Path) -> Figures:
    """Return the 95th percentile of each command, and of what it asks the file."""
    file = large_file(folder.parent, size)
    flowctl = [*flowctl_command(), "--db", str(file)]
    figures: Figures = {}
    with Store.open(file, read_only=True) as store:
        runs = store.runs.last("default").id
        for name, ask in _questions(store, runs).items():
            figures[f"{name}_query"] = percentile([_timed(ask, repeat) for repeat in range(QUERIES)], SLOWEST)
    for name, words in WORDS.items():
        which = [str(runs // 2)] if name == "show" else []
        figures[name] = percentile(time_command([*flowctl, *words, *which], COMMANDS, folder), SLOWEST)
    return figures


def _questions(store: Store, runs: int) -> dict[str, Callable[[int], object]]:
    """Return what the commands ask the file; `show` looks at another run each time."""

    def show(repeat: int) -> object:
        number = 1 + (repeat * 7919) % runs
        return store.runs.get(number), list(store.steps.of_run(number)), store.steps.attempts(number)

    return {
        "ls": lambda _: store.runs.find(RunFilter(namespace="default")),
        "ls_failed": lambda _: store.runs.find(RunFilter(namespace="default", states=("failed",))),
        "ls_workflow": lambda _: store.runs.find(RunFilter(namespace="default", workflow="flow_7")),
        "ls_tag": lambda _: store.runs.find(RunFilter(namespace="default", tags={"env": "prod"})),
        "show": show,
    }


def _timed(ask: Callable[[int], object], repeat: int) -> float:
    began = clock()
    ask(repeat)
    return (clock() - began) * 1e3
