"""flowctl in this process, as its own command line hosts it: a store, a supervisor, engines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.model import NewRun, Run
from flowctl.engine import commands
from flowctl.engine.claiming import Role
from flowctl.engine.engine import Engine
from flowctl.engine.loading import BoundInput, LoadedFile, load_file
from flowctl.engine.observer import Observer, ignore
from flowctl.engine.supervisor import CodeTarget, Supervisor
from flowctl.sdk.codec import canonical_hash
from flowctl.store import Store

FLOWS = Path(__file__).resolve().parent / "flows.py"


@dataclass(frozen=True, slots=True)
class Host:
    """An open store, and an executor that has imported `flows.py`."""

    store: Store
    supervisor: Supervisor
    loaded: LoadedFile

    @property
    def executor_pid(self) -> int:
        """Return the process that executes the first run."""
        return self.loaded.executor.process.pid

    def new_run(self, function: str, **inputs: Any) -> NewRun:
        """Return the record of a run that is to be created."""
        workflow, text = self.loaded.choose(function), json.dumps(inputs)
        return self.loaded.new_run(workflow, BoundInput(text, canonical_hash(text)))

    def submit(self, new: NewRun) -> int:
        """Create a run, durably, as `flowctl run --detach` does."""
        return commands.submit(self.store, new, self.loaded.snapshot, SYSTEM_CLOCK.now())[0]

    def follow(self, number: int, observer: Observer = ignore) -> Run:
        """Work on one run to its end. Raises RuntimeError when it does not succeed."""
        with Engine(self.store, self.supervisor, observer=observer) as engine:
            run = engine.follow(number)
        if run.state != "succeeded":
            raise RuntimeError(f"run {number} is {run.state}: {run.reason}")
        return run


@contextmanager
def host(folder: Path) -> Iterator[Host]:
    """Open a store in this folder and start one executor, warm."""
    supervisor = Supervisor()
    try:
        with Store.open(folder / "flowctl.db") as store:
            yield Host(store, supervisor, load_file(supervisor, CodeTarget(str(FLOWS), str(FLOWS.parent))))
    finally:
        supervisor.close()


def drain(store: Store, supervisor: Supervisor, executors: int, observer: Observer = ignore) -> None:
    """Work on every run that is due with so many executors, until none is left; those of dead engines first."""
    with Engine(store, supervisor, role=Role(capacity=executors), observer=observer) as engine:
        engine.drain()
