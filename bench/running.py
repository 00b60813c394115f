"""Runs measurements: each in a fresh process and a fresh folder, contenders in turn, several rounds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.contenders import CONTENDERS, ROOT, missing
from bench.machine import DISTURBED_CORES, Others, wait_for_quiet
from bench.model import Case, Figures

TIMEOUT_S = 900
_LEFT_OUT = ("PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "FLOWCTL_", "COVERAGE_")  # each would change what is measured


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured, how often, and where."""

    cases: Sequence[Case]
    folder: Path  # on a real disk; files that are kept stand in it
    rounds: int = 5
    quick: bool = False
    patience_s: float = 30.0  # how long each measurement may wait for a quiet machine


@dataclass(slots=True)
class Measured:
    """What one contender has shown in one case."""

    rounds: list[Figures] = field(default_factory=list)
    disturbed: int = 0  # rounds in which others used the machine
    skipped: str | None = None  # why it was not measured
    failures: list[str] = field(default_factory=list)


Results = dict[str, dict[str, Measured]]  # by case, then contender


def run(plan: Plan, say: Callable[[str], None]) -> Results:
    """Measure everything, one round after the other, and say how it goes."""
    results: Results = {}
    for case in plan.cases:
        results[case.name] = {name: Measured(skipped=_skipped(plan, case, name)) for name in case.contenders}
        for name, measured in results[case.name].items():
            if measured.skipped:
                say(f"{case.name}: {name} is left out: {measured.skipped}")
    for number in range(1, plan.rounds + 1):
        for case in plan.cases:
            for name, measured in results[case.name].items():
                if not (measured.skipped or measured.failures or (number > 1 and name in case.once)):
                    say(f"round {number} of {plan.rounds}: {case.name}, {name}")
                    _measure(plan, case, name, measured)
    return results


def _skipped(plan: Plan, case: Case, contender: str) -> str | None:
    return "it takes too long with --quick" if plan.quick and contender in case.once else missing(contender)


def _measure(plan: Plan, case: Case, contender: str, measured: Measured) -> None:
    wait_for_quiet(plan.patience_s)
    others = Others()
    try:
        figures = measure_once(case.name, contender, case.size_for(contender, quick=plan.quick), plan.folder)
    except RuntimeError as error:
        measured.failures.append(str(error))
        return
    measured.rounds.append(figures)
    measured.disturbed += others.cores() > DISTURBED_CORES


def measure_once(case: str, contender: str, size: int, folder: Path) -> Figures:
    """Measure one contender in a process of its own. Raises RuntimeError, with what it said, when it fails."""
    found = CONTENDERS[contender]
    with _scratch(folder) as scratch:
        words = [str(found.python), "-m", found.module, case, contender, str(size), str(scratch)]
        process = subprocess.Popen(
            words,
            cwd=scratch,
            env=_environment(folder, scratch),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            said, complaint = process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            said, complaint = "", f"it took longer than {TIMEOUT_S} s"
        finally:
            _end(process)
    lines = [line for line in said.splitlines() if line.startswith("{")]
    if process.returncode or not lines:
        raise RuntimeError(f"{case}, {contender}: {complaint.strip()[-2000:] or f'exit code {process.returncode}'}")
    figures: Figures = json.loads(lines[-1])
    return figures


def _end(process: subprocess.Popen[str]) -> None:
    """End the process and everything else of its session: a peer may leave servers or workers behind."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _environment(folder: Path, scratch: Path) -> dict[str, str]:
    """Return an environment in which nothing of this person's is read, and bytecode is cached as usual."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(_LEFT_OUT)}
    homes = {f"XDG_{name}_HOME": str(scratch / name.lower()) for name in ("STATE", "CONFIG", "DATA")}
    return own | homes | {"XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": str(ROOT)}


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    scratch = Path(tempfile.mkdtemp(prefix="run-", dir=folder))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
