"""An engine in the test's own process, on a store whose writes can be made to fail and a clock that can be moved."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from flowctl.core.clock import SYSTEM_CLOCK, Clock, SystemClock
from flowctl.core.config import default_database
from flowctl.core.errors import DiskTrouble
from flowctl.core.model import Run
from flowctl.engine import commands
from flowctl.engine.engine import Engine
from flowctl.engine.loading import load_file
from flowctl.engine.supervisor import CodeTarget, Supervisor
from flowctl.store import Store

LONGEST_S = 110  # what a test may take that hosts engines


@dataclass
class MovedClock(SystemClock):
    """The machine's clock, whose wall time a test moves and speeds up, and whose other time it lets pass."""

    offset: int = 0
    passed_s: float = 0
    speed: int = 1
    start: int = field(default_factory=SYSTEM_CLOCK.now)

    def monotonic(self) -> float:
        return super().monotonic() + self.passed_s

    def now(self) -> int:
        return self.start + (super().now() - self.start) * self.speed + self.offset


class Hosted:
    """A store, a supervisor, and engines one after the other."""

    def __init__(self, store: Store, supervisor: Supervisor) -> None:
        self.store = store
        self.supervisor = supervisor

    def submit(self, path: Path, **inputs: str) -> int:
        """Create a run of the workflow in a file."""
        loaded = load_file(self.supervisor, CodeTarget(str(path), str(path.parent)))
        try:
            workflow = loaded.choose(path.stem)
            bound = loaded.bind(workflow, inputs)
        finally:
            loaded.close()
        return commands.submit(self.store, loaded.new_run(workflow, bound), loaded.snapshot, SYSTEM_CLOCK.now())[0]

    def again(self, number: int) -> int:
        """Create a run like another."""
        return commands.rerun(self.store, number, SYSTEM_CLOCK.now())

    def engine(self, clock: Clock = SYSTEM_CLOCK, **options: Any) -> Engine:
        """Return an engine, to be entered."""
        return Engine(self.store, self.supervisor, clock=clock, **options)


@contextmanager
def hosted() -> Iterator[Hosted]:
    """Host engines in this process, on the test's file; no executor is left at the end."""
    supervisor = Supervisor()
    path = default_database(os.environ)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(LONGEST_S)
    try:
        with Store.open(path) as store:
            yield Hosted(store, supervisor)
    finally:
        signal.alarm(0)
        supervisor.close()


def _too_long(_number: int, _frame: object) -> NoReturn:
    raise AssertionError(f"an engine was still busy after {LONGEST_S} s")


def turn_until(engine: Engine, true: Callable[[], object], seconds: float = 100) -> None:
    """Have the engine work until something is true."""
    deadline = SYSTEM_CLOCK.monotonic() + seconds
    while not true():
        assert SYSTEM_CLOCK.monotonic() < deadline
        engine.tick()
        engine.listen(min(engine.timeout(), 0.02))


@contextmanager
def trouble(store: Store, fails: Callable[[int], bool], *, after_commit: bool = False) -> Iterator[list[int]]:
    """Make those writes fail whose number (1, 2, …) is chosen; or with `after_commit` the answers of commits.

    Yields a list that holds how many there have been so far.
    """
    connection, count = store.connection, [0]
    rows, write = connection.rows, connection.write

    def counted() -> None:
        count[0] += 1
        if fails(count[0]):
            raise DiskTrouble("the disk failed")

    def troubled_write(*arguments: Any) -> Any:
        if not after_commit:
            counted()
        return write(*arguments)

    def troubled_rows(sql: str, *arguments: Any) -> Any:
        if sql != "COMMIT":
            return rows(sql, *arguments)
        if after_commit:
            rows(sql)
            counted()
            return []
        counted()
        return rows(sql)

    connection.write, connection.rows = troubled_write, troubled_rows  # type: ignore[method-assign]
    try:
        yield count
    finally:
        del connection.write, connection.rows  # type: ignore[method-assign]


def summary(store: Store, run: Run) -> tuple[str, dict[str, str], dict[str, list[str]]]:
    """Return a run's state, the states of its steps, and its attempts that did not succeed."""
    steps = {step.key: step.state for step in store.steps.of_run(run.id)}
    attempts: dict[str, list[str]] = {}
    for attempt in store.steps.attempts(run.id):
        attempts.setdefault(attempt.key, []).append(attempt.state)
    return run.state, steps, attempts
