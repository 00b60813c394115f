"""`python -m tests.mutation`: change flowctl in small ways, and report the changes that no test notices.

With --guards only what fences an epoch, a state or an outcome in the SQL: none of that may survive. With --promises the
named breaks of `promises.py`, each of which has to make the tests named there fail.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from queue import SimpleQueue

from tests.conftest import ROOT
from tests.mutation import promises, python_mutants, sql_mutants
from tests.mutation.laboratory import Laboratory
from tests.mutation.mutant import Mutant
from tests.mutation.schema import with_its_fingerprint
from tests.mutation.targets import FILES, NOT, stages_of


@dataclass(frozen=True, slots=True)
class Judged:
    """A mutant and what became of it."""

    mutant: Mutant
    killer: str  # the test that noticed it, '' if none did


def main() -> int:
    """Return 1 when a mutant of a guard survives, or a broken promise goes unnoticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--file", metavar="PATTERN", help="only these files, such as flowctl/store/steps.*")
    parser.add_argument("--guards", action="store_true", help="only guards of epochs, states and outcomes in SQL")
    parser.add_argument("--sample", type=int, metavar="N", help="only so many, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: 0)")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once (default: 2)")
    parser.add_argument("--list", action="store_true", help="print the mutants and try none")
    parser.add_argument("--promises", action="store_true", help="break the promises of promises.py instead")
    given = parser.parse_args()
    if given.promises:
        return promises.main()
    mutants = [mutant for mutant in all_mutants(given.file or "*") if mutant.guard or not given.guards]
    if given.sample is not None and given.sample < len(mutants):
        mutants = random.Random(given.seed).sample(mutants, given.sample)
    if given.list:
        print(*(mutant.describe() for mutant in mutants), sep="\n")
        return 0
    return report(list(judge(mutants, given.jobs)))


def all_mutants(pattern: str) -> Iterator[Mutant]:
    """Yield every mutant of the files that match."""
    paths = sorted({str(found.relative_to(ROOT)) for each in FILES for found in ROOT.glob(each)} - set(NOT))
    for path in paths:
        if fnmatch(path, pattern):
            source = (ROOT / path).read_text()
            if path == "schema.sql":
                yield from sql_mutants.mutants_of_schema(path, source)
            elif path.endswith(".sql"):
                yield from sql_mutants.mutants_of(path, source)
            else:
                yield from python_mutants.mutants_of(path, source)


def judge(mutants: list[Mutant], jobs: int) -> Iterator[Judged]:
    """Yield what becomes of each mutant, and say so."""
    folder = Path(tempfile.mkdtemp(prefix="flowctl-mutation-"))
    laboratories: SimpleQueue[Laboratory] = SimpleQueue()
    try:
        for number in range(jobs):
            laboratories.put(Laboratory(folder / str(number)))
        _require_sound(laboratories, mutants)

        def one(mutant: Mutant) -> Judged:
            laboratory = laboratories.get()
            try:
                return Judged(mutant, laboratory.judge(_changes(mutant), stages_of(mutant.path)))
            finally:
                laboratories.put(laboratory)

        with ThreadPoolExecutor(jobs) as pool:
            for number, judged in enumerate(pool.map(one, mutants), 1):
                _say(judged, f"{number}/{len(mutants)}")
                yield judged
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _require_sound(laboratories: SimpleQueue[Laboratory], mutants: list[Mutant]) -> None:
    """Raise RuntimeError when a test that is tried first fails with nothing changed."""
    laboratory = laboratories.get()
    for stage in dict.fromkeys(stages_of(mutant.path)[0] for mutant in mutants):
        if failing := laboratory.failing(stage):
            raise RuntimeError(f"{failing} fails with nothing changed")
    laboratories.put(laboratory)


def _changes(mutant: Mutant) -> dict[str, str]:
    """Return the files that change: a schema takes its migration and its fingerprint along."""
    return with_its_fingerprint(mutant.text) if mutant.path == "schema.sql" else {mutant.path: mutant.text}


def _say(judged: Judged, place: str) -> None:
    if not judged.killer:
        print(f"{place} survived: {judged.mutant.describe()}", flush=True)
    else:
        print(f"{place} killed by {judged.killer}: {judged.mutant.path}:{judged.mutant.line}", flush=True)


def report(all_judged: list[Judged]) -> int:
    """Print the survivors and a table of the files."""
    survivors = [judged.mutant for judged in all_judged if not judged.killer]
    tried = Counter(judged.mutant.path for judged in all_judged)
    left = Counter(mutant.path for mutant in survivors)
    print("\nsurvivors:" if survivors else "\nno survivors")
    for mutant in survivors:
        print(mutant.describe() + ("  (a guard)" if mutant.guard else ""))
    print(f"\n{'file':<34}{'mutants':>8}{'killed':>8}{'':>8}")
    for path, count in [*sorted(tried.items()), ("all", tried.total())]:
        killed = count - (left.total() if path == "all" else left[path])
        print(f"{path:<34}{count:>8}{killed:>8}{killed / max(1, count):>8.1%}")
    return 1 if any(mutant.guard for mutant in survivors) else 0


if __name__ == "__main__":
    sys.exit(main())
