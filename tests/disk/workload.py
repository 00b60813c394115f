"""Real runs on a disk that is recorded: what was written, and what was acknowledged when."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.model import NewRun, Snapshot
from flowctl.engine import commands
from flowctl.engine.engine import Engine
from flowctl.engine.loading import load_file
from flowctl.engine.observer import Change, LogCaptured, RunChanged
from flowctl.engine.supervisor import CodeTarget, Supervisor
from flowctl.store import Store
from tests.disk.platter import Log, Op, recording

WORKFLOW = '''
import os
from pathlib import Path
from flowctl import current_run, gather, step, workflow

LEDGER = Path(__file__).resolve().parent / "ledger"

def note():
    me = current_run()
    fd = os.open(LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{me.run} {me.step}\\n".encode())
    os.close(fd)

@step
def plain(n: int) -> str:
    note()
    return str(n) * 300

@step(retries=1, backoff=0)
def flaky(n: int) -> int:
    note()
    if current_run().step_attempt == 1:
        raise OSError("the first time")
    return n

@workflow
def inner(n: int) -> int:
    return flaky(n)

@workflow
def work(n: int) -> int:
    """A step, two at once, a step that fails first, and in every third run a child."""
    print("begins")
    plain(n)
    texts = gather(plain.bind(n), plain.bind(n))
    return flaky(n) + len(texts) + (inner(n) if n % 3 == 0 else 0)
'''
DATABASE = "flow.db"
BATCH = 5  # runs that are submitted before the first of them is worked on
CHECKPOINT_PAGES = 40  # so that the WAL is written back and begun anew many times


class Outcome(NamedTuple):
    """Something that a person or an executor was told: that a run exists, or how a run, step or attempt ended."""

    kind: str  # run, step or attempt
    run: int
    key: str = ""
    state: str = ""
    attempt: int = 0


@dataclass
class Recording:
    """A log of the disk, and what was true at which length of it."""

    log: Log
    told: list[tuple[int, Outcome]] = field(default_factory=list)  # after its commit
    commits: list[tuple[int, bytes]] = field(default_factory=list)  # and what the file held then, as a digest

    def heard(self, change: Change) -> None:
        """Take in what the engine says after a commit."""
        if isinstance(change, LogCaptured):
            return
        if isinstance(change, RunChanged):
            self.tell(Outcome("run", change.run_id))
            if change.state in ("succeeded", "failed"):
                self.tell(Outcome("end", change.run_id, state=change.state))
        elif change.state in ("succeeded", "failed"):
            self.tell(Outcome("step", change.run_id, change.key, change.state, change.attempt))
        elif change.error is not None:
            self.tell(Outcome("attempt", change.run_id, change.key, "failed", change.attempt))

    def tell(self, outcome: Outcome) -> None:
        """Note that this is acknowledged now."""
        self.told.append((len(self.log), outcome))

    def committed(self, store: Store) -> None:
        """Note that a commit has been acknowledged now. One that changed nothing cannot be missed."""
        state = digest(store)
        if not self.commits or self.commits[-1][1] != state:
            self.commits.append((len(self.log), state))

    def told_by(self, moment: int) -> frozenset[Outcome]:
        """Return what was acknowledged when the log had that length."""
        return frozenset(outcome for when, outcome in self.told if when <= moment)

    def commits_by(self, moment: int) -> int:
        """Return the index of the last commit that was acknowledged when the log had that length, or -1."""
        return sum(when <= moment for when, _ in self.commits) - 1

    def commit_of(self, state: bytes) -> int | None:
        """Return the index of the commit after which the file held just this, or None."""
        return next((index for index, (_, each) in enumerate(self.commits) if each == state), None)

    def save(self, path: Path) -> None:
        """Write this to a file, so that a cut of it can be made again."""
        log = [(kind, name, offset, data.hex()) for kind, name, offset, data in self.log]
        commits = [(moment, state.hex()) for moment, state in self.commits]
        path.write_text(json.dumps([log, self.told, commits]))

    @classmethod
    def load(cls, path: Path) -> Recording:
        """Read what `save` wrote."""
        log, told, commits = json.loads(path.read_text())
        made = cls(Log(""))
        made.log += [Op(kind, name, offset, bytes.fromhex(data)) for kind, name, offset, data in log]
        made.told = [(moment, Outcome(*outcome)) for moment, outcome in told]
        made.commits = [(moment, bytes.fromhex(state)) for moment, state in commits]
        return made


_RECORDED = """
SELECT 'run', id, '', '', 0 FROM runs
UNION ALL SELECT 'end', id, '', state, 0 FROM runs WHERE finished_at IS NOT NULL
UNION ALL SELECT 'step', run_id, key, state, attempt FROM steps WHERE finished_at IS NOT NULL
UNION ALL SELECT 'attempt', run_id, key, state, attempt FROM attempts
"""


def recorded(store: Store) -> set[Outcome]:
    """Return the outcomes that a file holds."""
    return {Outcome(*row) for row in store.connection.rows(_RECORDED)}


def digest(store: Store) -> bytes:
    """Return what stands for every row of every table."""
    content = blake2b(digest_size=16)
    tables = store.connection.rows("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    for (table,) in tables:
        content.update(repr((table, store.connection.rows(f"SELECT * FROM {table}"))).encode())
    return content.digest()


def record(folder: Path, *, runs: int, synchronous: str = "FULL") -> Recording:
    """Work on so many runs in a new database below that folder, with the disk recorded."""
    workflow, database = folder / "work.py", folder / "data" / DATABASE
    workflow.write_text(WORKFLOW)
    database.parent.mkdir(mode=0o700)
    supervisor = Supervisor()
    submissions = _submissions(supervisor, workflow, runs)
    with recording(str(database.parent)) as log:
        made = Recording(log)
        with Store.open(database) as store, _states_noted(store, made):
            if synchronous != "FULL":  # which a store chooses by itself
                store.connection.rows(f"PRAGMA synchronous = {synchronous}")
            store.connection.rows(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            with Engine(store, supervisor, observer=made.heard) as engine:
                for first in range(0, runs, BATCH):
                    batch = submissions[first : first + BATCH]
                    for number in [_submitted(store, made, *each) for each in batch]:
                        engine.follow(number)
    return made


def _submissions(supervisor: Supervisor, path: Path, runs: int) -> list[tuple[NewRun, Snapshot]]:
    """Return what creates the runs. Their executor stays, for the engine to take."""
    loaded = load_file(supervisor, CodeTarget(str(path), str(path.parent)))
    workflow = loaded.choose("work")
    submissions = []
    for n in range(runs):
        bound = loaded.bind(workflow, {"n": str(n)})
        submissions.append((loaded.new_run(workflow, bound), loaded.snapshot))
    return submissions


def _submitted(store: Store, made: Recording, new: NewRun, snapshot: Snapshot) -> int:
    number, _ = commands.submit(store, new, snapshot, SYSTEM_CLOCK.now())
    made.tell(Outcome("run", number))
    return number


@contextmanager
def _states_noted(store: Store, made: Recording) -> Iterator[None]:
    """Note what the file holds after each commit."""
    rows = store.connection.rows

    def noted(sql: str, *arguments: Any) -> Any:
        found = rows(sql, *arguments)
        if sql == "COMMIT":
            made.committed(store)
        return found

    made.committed(store)
    with patch.object(store.connection, "rows", noted):
        yield
