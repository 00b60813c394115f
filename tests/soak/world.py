"""The folder in which a soak goes on: its workflow, its database, its ledger, and who is killed there."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from flowctl.sdk.processes import children
from flowctl.store import Store
from tests.conftest import FLOWCTL, ROOT

RUNS = 8  # submitted at a time
STEPS = 5
PATIENCE_S = 60.0  # for a process that nobody kills any more
DEATH_S = 10.0  # what a process that was killed may take to be gone on a busy machine

WORKFLOW = f"""
import fcntl, os, time
from pathlib import Path
from flowctl import current_run, step, workflow

HERE = Path(__file__).resolve().parent

@step(retries=1000, backoff="1ms", max_backoff="10ms")
def append(place: int) -> str:
    me = current_run()
    lock = os.open(HERE / f"{{me.run}}.lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        alone = 1
    except BlockingIOError:
        alone = 0
    ledger = os.open(HERE / "ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    words = (me.run, place, me.step_attempt, os.getppid(), time.monotonic_ns(), alone)
    os.write(ledger, (" ".join(map(str, words)) + "\\n").encode())
    os.close(ledger)
    time.sleep(0.02)
    os.close(lock)
    return f"{{me.run}}.{{place}}.{{me.step_attempt}}"

@workflow
def soak() -> list[str]:
    return [append(place) for place in range({STEPS})]
"""


class Body(NamedTuple):
    """A line of the ledger: a body that began. `at` is in nanoseconds of the monotonic clock."""

    run: int
    place: int
    attempt: int
    engine: int
    at: int
    alone: int


@dataclass
class Figures:
    """What was done, and what came of it. Times are in seconds."""

    kills: Counter[str] = field(default_factory=Counter)
    codes: Counter[int] = field(default_factory=Counter)  # how the processes ended
    runs: int = 0
    bodies: int = 0
    restarts: list[float] = field(default_factory=list)  # from the death of an engine to the work of its successor
    replacements: list[float] = field(default_factory=list)  # from the death of executors to the next body
    found: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @property
    def clean(self) -> bool:
        """Tell whether nothing was found."""
        return not any(self.found.values())


class World:
    """The folder of one soak: its database, its ledger, and the kills that are still to be done."""

    def __init__(self, folder: Path, kills: int) -> None:
        self.folder = folder
        self.figures = Figures()
        self._wanted = kills
        self._lock = Lock()
        self._env = {
            name: value for name, value in os.environ.items() if not name.startswith(("FLOWCTL_", "COVERAGE_"))
        }
        self._env |= {f"XDG_{name}_HOME": str(folder / name.lower()) for name in ("STATE", "CONFIG", "DATA", "CACHE")}
        self._env["PYTHONPATH"] = str(ROOT)
        (folder / "soak.py").write_text(WORKFLOW)
        (folder / "each.jsonl").write_text("{}\n" * RUNS)

    def start(self, *words: object) -> subprocess.Popen[str]:
        """Start the command line."""
        with (self.folder / "stderr").open("a") as stderr:
            return subprocess.Popen(
                [*FLOWCTL, *map(str, words)],
                cwd=self.folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                start_new_session=True,
            )

    def store(self) -> Store:
        """Open the database for reading."""
        return Store.open(self.folder / "state/flowctl/flowctl.db", read_only=True)

    def submit(self) -> list[int]:
        """Submit runs, and return the numbers that were printed."""
        printed, _ = self.start("run", "soak.py", "--each", "each.jsonl", "--detach").communicate(timeout=PATIENCE_S)
        assert RUNS == len(printed.split())
        return [int(line) for line in printed.split()]

    def ledger(self, offset: int = 0) -> tuple[list[Body], int]:
        """Return the bodies that have begun since, and where to read on."""
        path = self.folder / "ledger"
        if not path.exists():
            return [], 0
        with path.open() as opened:
            opened.seek(offset)
            text = opened.read()
        whole = text[: text.rfind("\n") + 1]  # a line that is still being written is left for later
        return [Body(*map(int, line.split())) for line in whole.splitlines()], offset + len(whole)

    def more(self) -> bool:
        """Tell whether more kills are wanted."""
        return self.figures.kills.total() < self._wanted

    def enough(self) -> None:
        """Want no more kills."""
        self._wanted = 0

    def kill(self, victim: str, engine: subprocess.Popen[str]) -> set[int]:
        """Kill the engine, its executors or both, and return who is to be dead soon: nobody if it was too late."""
        with self._lock:
            executors = children(engine.pid)
            if not self.more() or engine.poll() is not None or (victim != "engine" and not executors):
                return set()
            doomed = {"engine": [engine.pid], "executor": executors, "both": [engine.pid, *executors]}
            for pid in doomed[victim]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.figures.kills[victim] += 1
        return set(executors if victim == "executor" else doomed["both"])

    def living(self) -> set[int]:
        """Return the living processes that work in this folder."""
        return {int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit() and self._works_here(each)}

    def left_over(self) -> set[int]:
        """Return the processes that still work in this folder although they have had time to end."""
        deadline = time.monotonic() + DEATH_S
        while (left := self.living()) and time.monotonic() < deadline:
            time.sleep(0.01)
        return left

    def _works_here(self, process: Path) -> bool:
        try:
            dead = (process / "stat").read_text().rpartition(")")[2].split()[0] in ("Z", "X")
            return not dead and os.readlink(process / "cwd") == str(self.folder)
        except OSError:
            return False
