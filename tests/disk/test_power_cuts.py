"""A11, A12: a power cut at any moment takes nothing that was acknowledged, and leaves nothing half."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.listing import RunFilter
from flowctl.core.model import FINAL_STATES
from flowctl.engine import recovery
from flowctl.engine.engine import Engine
from flowctl.engine.supervisor import Supervisor
from flowctl.store import Store
from tests.disk.power import RUNS, cuts, judged
from tests.disk.workload import DATABASE, Outcome, Recording, record, recorded

SEED = 20
CUTS = 2_000
CONTROL_CUTS = 60
CONTROL_RUNS = 10
RECOVERIES = 20
PARTS = 4  # of the cuts, so that workers share them


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[Path]:
    """A folder for the recording of this module, made in a world like that of a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        yield tmp_path_factory.mktemp("power")


@pytest.fixture(scope="module")
def made(folder: Path) -> Recording:
    """Real runs of a real engine, with synchronous=FULL as every store has it."""
    return record(folder, runs=RUNS)


@pytest.fixture
def rebuilt(tmp_path: Path) -> Path:
    """An empty folder of the owner's, for what is left after a cut."""
    found = tmp_path / "rebuilt"
    found.mkdir(mode=0o700)
    return found


def test_a11_the_recording_holds_checkpoints_between_commits(made: Recording) -> None:
    began, ended = made.commits[0][0], made.commits[-1][0]
    names = [op.name for op in made.log[began:ended] if op.kind == "sync"]

    assert names.count(DATABASE) > 10  # the main file was written back, so cuts fall into that as well
    assert names.count(f"{DATABASE}-wal") > RUNS
    assert {outcome.kind for _, outcome in made.told} == {"run", "end", "step", "attempt"}
    assert {outcome for _, outcome in made.told if outcome.kind == "end"} == {
        Outcome("end", number, state="succeeded") for number in range(1, RUNS + len(range(0, RUNS, 3)) + 1)
    }


@pytest.mark.parametrize("part", range(PARTS))
def test_a11_no_power_cut_damages_the_file_or_takes_what_was_acknowledged(
    made: Recording, folder: Path, rebuilt: Path, part: int
) -> None:
    numbers = range(part, CUTS, PARTS)
    verdicts = list(judged(made, SEED, numbers, rebuilt))
    wrong = [verdict for verdict in verdicts if not verdict.sound]
    if wrong:
        made.save(folder / "recording.json")  # for: python -m tests.disk.power --recording … --only …

    assert len(verdicts) == len(numbers)
    assert [] == wrong


def test_a11_after_a_power_cut_every_run_is_finished_and_no_recorded_body_runs_again(
    made: Recording, folder: Path, tmp_path: Path
) -> None:
    ledger, taken_up, done_before = folder / "ledger", 0, 0
    for cut in cuts(made, SEED, range(RECOVERIES)):
        rebuilt = tmp_path / str(cut.number)
        rebuilt.mkdir(mode=0o700)
        ledger.unlink(missing_ok=True)
        with Store.open(cut.write(rebuilt)) as store:
            done = {(outcome.run, outcome.key) for outcome in recorded(store) if outcome.kind == "step"}
            taken_up += _finish_all(store)
            assert store.check(full=True) == []
        lines = ledger.read_text().splitlines() if ledger.exists() else []
        ran = {(int(run), key) for run, key in map(str.split, lines)}
        assert (cut.number, ran & done) == (cut.number, set())
        done_before += len(done)
    assert taken_up > RECOVERIES / 2
    assert done_before > 0


def _finish_all(store: Store) -> int:
    """Do what the next flowctl does, until every run has ended; return how many had not."""
    recovery.recover_store(store, SYSTEM_CLOCK.now())
    everything = RunFilter(namespace=None, limit=1_000)
    open_runs = [run.id for run in store.runs.find(everything) if run.state not in FINAL_STATES]
    with Engine(store, Supervisor()) as engine:
        for number in sorted(open_runs):
            assert engine.follow(number).state == "succeeded"
    assert {run.state for run in store.runs.find(everything)} <= {"succeeded"}
    return len(open_runs)


def test_a12_with_synchronous_normal_acknowledged_commits_are_seen_to_be_lost(folder: Path, rebuilt: Path) -> None:
    lax = record(_below(folder, "normal"), runs=CONTROL_RUNS, synchronous="NORMAL")
    verdicts = list(judged(lax, SEED, range(CONTROL_CUTS), rebuilt))

    assert sum(bool(verdict.lost) for verdict in verdicts) > CONTROL_CUTS / 10
    assert [verdict for verdict in verdicts if verdict.damage or verdict.half] == []  # the last ones, and no more


def test_a12_with_synchronous_off_the_file_is_seen_to_be_damaged(folder: Path, rebuilt: Path) -> None:
    reckless = record(_below(folder, "off"), runs=CONTROL_RUNS, synchronous="OFF")
    verdicts = list(judged(reckless, SEED, range(CONTROL_CUTS), rebuilt))

    assert sum(bool(verdict.damage) for verdict in verdicts) > CONTROL_CUTS / 10
    assert sum(bool(verdict.lost) for verdict in verdicts) > CONTROL_CUTS / 10


def _below(folder: Path, name: str) -> Path:
    found = folder / name
    found.mkdir()
    return found
