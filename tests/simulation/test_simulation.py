"""Engines, people and executors under a virtual clock, with everything going wrong that a seed says.

A failure is lived through again by the command that stands in it. `make simulate` lives through a thousand seeds.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulation.ledger import Broken, Execution, Ledger
from tests.simulation.world import Report, laboratory, simulate

ROOT = Path(__file__).resolve().parents[2]
SEEDS = range(50)
IDLE = {1}  # the only workflow fails before its first step

# Seeds that have found a defect once. What they do changes with the engine, so each defect has a test of its own too.
CORPUS = {
    41: "an engine waited for ever for a run whose engine had died",
    51: "a run that ended while it was cancelled was recorded as succeeded without its pure steps",
    72: "turns without end while the next thing to wait for was near and known",
    161: "turns without end while the disk was full and a deadline had passed",
    190: "a step that began while another one timed out was never told to begin",
    233: "what a pure step returned was dropped while its run was being paused",
    262: "an engine waited for ever for a run that had been taken from it and was left alone",
    329: "a run that was paused while a step that had timed out ran on was recorded as succeeded without it",
    463: "a pure step whose failure was recorded by a commit without an answer ran on beside its next attempt",
    652: "a failed child was tried again and again because the clock had been set back",
    671: "a pure step that was not to begin was taken for one that had run",
    676: "an engine waited for ever for a run that it had freed in a commit without an answer",
    948: "a run that was to be paused while its code was imported started anew without end",
}  # fmt: skip


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the database that every seed begins with."""
    folder = tmp_path_factory.mktemp("simulation")
    folder.chmod(0o700)
    with laboratory(folder) as path:
        yield path


def lived_through(seed: int, template: Path) -> Report:
    try:
        return simulate(seed, template.parent, template)
    except Exception as error:
        raise AssertionError(f"{error}\nsee it again: python -m tests.simulation --seed {seed} --trace") from error


@pytest.mark.parametrize("first", SEEDS[::10])
def test_every_promise_is_kept_under_the_seeds(first: int, template: Path) -> None:
    faults: Counter[str] = Counter()
    for seed in range(first, first + 10):
        report = lived_through(seed, template)
        faults.update(report.faults)
        assert (seed, report.bodies > 0) == (seed, seed not in IDLE)
    assert len(faults) > 5


@pytest.mark.parametrize("seed", CORPUS)
def test_every_promise_is_kept_where_it_was_broken_once(seed: int, template: Path) -> None:
    lived_through(seed, template)


def test_the_same_seed_is_the_same_course_of_events_in_every_process(template: Path) -> None:
    for seed in (3, 72):
        report = lived_through(seed, template)
        assert report == lived_through(seed, template)
        done = subprocess.run(
            [sys.executable, "-m", "tests.simulation", "--seed", str(seed)],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert f"digest: {report.digest}\n" in done.stdout, done.stdout + done.stderr


def test_a_failure_says_how_to_see_it_again(template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.simulation.checks.Checks.invariants", _broken)
    with pytest.raises(AssertionError, match="--seed 3 --trace"):
        lived_through(3, template)


def _broken(*_: object, **__: object) -> None:
    raise Broken("something")


def test_two_bodies_of_a_step_at_the_same_time_are_noticed() -> None:
    ledger = Ledger()
    first = Execution(1, "fetch", 1, "engine1.1")
    ledger.begin(first)
    ledger.begin(Execution(1, "fetch#2", 1, "engine1.1"))
    with pytest.raises(Broken, match="while attempt 1 still runs"):
        ledger.begin(Execution(1, "fetch", 2, "engine2.1"))
    ledger.killed("engine1.1")
    ledger.begin(Execution(1, "fetch", 2, "engine2.1"))
    assert ["killed", None] == [each.ending for each in ledger.of(1, "fetch")]


# -- what a simulation needs of the code ------------------------------------------------------------------------------

# Beside core/clock.py, which test_architecture.py knows as the only reader of the clock.
BEYOND_THE_CLOCK = {
    ("store/files.py", "time.sleep"),  # another process is creating the file at this moment
    ("engine/engine.py", "SYSTEM_CLOCK"),  # what an engine has when it is given none
    ("engine/loading.py", "SYSTEM_CLOCK"),  # waits for an import before there is an engine
    ("store/connection.py", "time.sleep"),  # another process holds the lock at this moment
    ("store/connection.py", "SYSTEM_CLOCK"),  # how long it is waited for
    ("store/views.py", "SYSTEM_CLOCK"),  # how long a person's query may take
    ("engine/checking.py", "SYSTEM_CLOCK"),  # how long a replay may take, outside of any engine
    ("engine/indexing.py", "SYSTEM_CLOCK"),  # what a command has that is given none
    ("engine/reloading.py", "SYSTEM_CLOCK"),  # a process of its own
    ("engine/probing.py", "SYSTEM_CLOCK"),  # likewise
    ("engine/daemon_lock.py", "time.sleep"),  # another process asks at this moment whether a daemon runs
    ("store/migrate.py", "SYSTEM_CLOCK"),  # when the file was created, and the name of a backup
}
_NAMES = re.compile(r"^(secrets|random|time\.sleep|SYSTEM_CLOCK)\b")


def _reads(path: Path) -> set[str]:
    """Return what a file uses of modules that give something else each time, and of the system's clock."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        f"{node.module}.{alias.name}" if node.module != "flowctl.core.clock" else alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    } | {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    used = {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    return {found[1] for name in imported | used if (found := _NAMES.match(name))}


def test_core_store_and_engine_ask_nobody_but_the_clock_for_time_and_chance() -> None:
    found = {
        (path.relative_to(ROOT / "flowctl").as_posix(), name)
        for band in ("core", "store", "engine")
        for path in (ROOT / "flowctl" / band).glob("*.py")
        for name in _reads(path)
    }
    assert found - BEYOND_THE_CLOCK == {("core/clock.py", "random")}
    assert BEYOND_THE_CLOCK - found == set()


def test_sql_asks_nobody_for_time_and_chance() -> None:
    asks = re.compile(r"\b(random|randomblob|strftime|datetime|julianday|unixepoch|current_timestamp)\b", re.IGNORECASE)
    for path in [ROOT / "schema.sql", *(ROOT / "flowctl" / "store").rglob("*.sql")]:
        text = re.sub(r"--[^\n]*", "", path.read_text(encoding="utf-8"))
        if path.name == "views.sql":  # only writes instants of the file as text
            assert "'now'" not in text
            text = re.sub(r"strftime\([^()]*'unixepoch'\)", "", text)
        assert asks.findall(text) == [], path
