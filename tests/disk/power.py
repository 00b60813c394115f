"""Power cuts over real runs: after any of them the file is sound, and holds all that was acknowledged and nothing half.

python -m tests.disk.power --cuts 50000 --seed 7
python -m tests.disk.power --recording FILE --seed 7 --only 4711       one cut again, of a recording that was kept
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from unittest.mock import patch

from flowctl.core.errors import FlowctlError
from flowctl.store import Store, migrate
from tests.disk.platter import Platter
from tests.disk.workload import DATABASE, Outcome, Recording, digest, record, recorded

FULL_CHECK_EVERY = 20  # cuts: the full check reads every index as well
RUNS = 50
MOST_CONTROL_CUTS = 1000


@dataclass(frozen=True, slots=True)
class Cut:
    """A moment of a recording, and what a power cut then left of the disk. Its number and a seed determine it."""

    number: int
    moment: int  # length of the log
    files: Mapping[str, bytearray] = field(repr=False)

    def write(self, folder: Path) -> Path:
        """Put the files into a folder, in place of what is there, and return the database."""
        for old in folder.iterdir():
            old.unlink()
        for name, content in self.files.items():
            (folder / name).touch(0o600)
            (folder / name).write_bytes(content)
        return folder / DATABASE


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong after a cut: damage in words, acknowledged outcomes that are gone, a state that never was."""

    cut: Cut
    damage: str = ""
    lost: frozenset[Outcome] = frozenset()
    behind: int = 0  # acknowledged commits that are gone
    half: bool = False

    @property
    def sound(self) -> bool:
        """Tell whether nothing is wrong."""
        return not (self.damage or self.lost or self.behind or self.half)


def cuts(made: Recording, seed: int, numbers: Iterable[int]) -> Iterator[Cut]:
    """Yield cuts in the order of their moments: which they are depends on the seed and their numbers alone."""
    dice = {number: Random(f"{seed} {number}") for number in numbers}
    moments = {number: each.randint(0, len(made.log)) for number, each in dice.items()}
    platter, played = Platter(), 0
    for number in sorted(moments, key=lambda number: moments[number]):
        for op in made.log[played : moments[number]]:
            platter.play(op)
        played = moments[number]
        yield Cut(number, played, platter.after_cut(dice[number]))


def judge(made: Recording, cut: Cut, folder: Path) -> Verdict:
    """Open what a cut left, as the next command would, and look at it."""
    path = cut.write(folder)
    try:
        with Store.open(path) as store:
            store.connection.rows("PRAGMA synchronous = OFF")  # the cut is over, and there are thousands
            if findings := store.check(full=cut.number % FULL_CHECK_EVERY == 0):
                return Verdict(cut, damage="; ".join(f"{each.subject}: {each.message}" for each in findings))
            held, state = recorded(store), digest(store)
    except FlowctlError as error:
        return Verdict(cut, damage=error.message)
    lost = made.told_by(cut.moment) - held
    if DATABASE not in cut.files:  # there was none yet, and a new one was made
        return Verdict(cut, lost=lost)
    acknowledged = made.commits_by(cut.moment)
    found = made.commit_of(state)
    # The commit under way may have come through, none after it.
    half = found is None or found > acknowledged + 1
    return Verdict(cut, lost=lost, behind=0 if found is None else max(0, acknowledged - found), half=half)


@contextmanager
def quickly() -> Iterator[None]:
    """Read the text of the schema once, not again for each of thousands of files."""
    with (
        patch.object(migrate, "normalised", cache(migrate.normalised)),
        patch.object(migrate, "objects_of", cache(migrate.objects_of)),
    ):
        yield


def judged(made: Recording, seed: int, numbers: Iterable[int], folder: Path) -> Iterator[Verdict]:
    """Cut a recording at many moments and yield what is found; the files are built in that folder."""
    with quickly():
        for cut in cuts(made, seed, numbers):
            yield judge(made, cut, folder)


# -- the command ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Figures:
    """Counts over many cuts."""

    cuts: int = 0
    damaged: int = 0
    losing: int = 0  # cuts that lost an acknowledged outcome or commit
    most_lost: int = 0  # commits, by one cut
    half: int = 0

    def add(self, verdict: Verdict) -> None:
        """Count a verdict."""
        self.cuts += 1
        self.damaged += bool(verdict.damage)
        self.losing += bool(verdict.lost or verdict.behind)
        self.most_lost = max(self.most_lost, verdict.behind)
        self.half += verdict.half


_HEAD = ("synchronous", "cuts", "damaged", "losing", "most lost", "half", "seconds")
_LINE = "{:<12}{:>8}{:>9}{:>8}{:>11}{:>6}{:>9}"


def main() -> int:
    """Cut the power as often as asked, print figures, and return 1 when a promise was broken or a control was not."""
    parser = argparse.ArgumentParser(prog="python -m tests.disk.power", description=__doc__.partition("\n")[0])
    parser.add_argument("--cuts", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--recording", type=Path, metavar="FILE", help="one that an earlier call has kept")
    parser.add_argument("--only", type=int, metavar="CUT", help="only this cut; its files are kept")
    asked = parser.parse_args()
    if asked.only is not None:
        return _again(Recording.load(asked.recording), asked.seed, asked.only)
    print(_LINE.format(*_HEAD))
    full = _row("FULL", asked.seed, asked.cuts)
    normal = _row("NORMAL", asked.seed, min(asked.cuts, MOST_CONTROL_CUTS))
    off = _row("OFF", asked.seed, min(asked.cuts, MOST_CONTROL_CUTS))
    kept = not (full.damaged or full.losing or full.half)
    bites = normal.losing and off.damaged
    return 0 if kept and bites else 1


def _row(synchronous: str, seed: int, count: int) -> Figures:
    figures, wrong = Figures(), []
    with tempfile.TemporaryDirectory() as scratch:
        made = record(Path(scratch), runs=RUNS, synchronous=synchronous)
        rebuilt = Path(scratch) / "rebuilt"
        rebuilt.mkdir(mode=0o700)
        began = time.monotonic()
        for verdict in judged(made, seed, range(count), rebuilt):
            figures.add(verdict)
            wrong += [] if verdict.sound else [verdict.cut.number]
        seconds = f"{time.monotonic() - began:.1f}"
    print(
        _LINE.format(
            synchronous, figures.cuts, figures.damaged, figures.losing, figures.most_lost, figures.half, seconds
        )
    )
    if wrong and synchronous == "FULL":
        made.save(kept := Path(f"power-{seed}.json"))
        print(f"python -m tests.disk.power --recording {kept} --seed {seed} --only {wrong[0]}   # of {len(wrong)}")
    return figures


def _again(made: Recording, seed: int, number: int) -> int:
    folder = Path(f"power-cut-{number}")
    folder.mkdir(mode=0o700, exist_ok=True)
    (verdict,) = judged(made, seed, [number], folder)
    verdict.cut.write(folder)
    print(f"cut {number} after {verdict.cut.moment} of {len(made.log)} operations; its files are in {folder}/")
    print(f"damage: {verdict.damage or 'none'}; commits lost: {verdict.behind}; half: {verdict.half}")
    for outcome in sorted(verdict.lost):
        print(f"lost: {outcome}")
    return 0 if verdict.sound else 1


if __name__ == "__main__":
    sys.exit(main())
