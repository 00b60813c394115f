"""A machine on which nothing happens by chance: a test says what bodies do, and what goes wrong at which moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from flowctl.core.model import NewRun, Run, Step
from flowctl.engine import commands
from flowctl.sdk.codec import canonical_hash
from tests.simulation.hosts import Host
from tests.simulation.imitation import Fate
from tests.simulation.machine import Machine
from tests.simulation.programs import PATH, Operation, Program
from tests.simulation.rates import Rates
from tests.simulation.world import World, current, laboratory

START_S = 0.01  # of an executor, and of an import


class StillMachine(Machine):
    """A machine without chance. Bodies do what `fates` says of them, one after the other, then return at once."""

    def __init__(self, programs: Sequence[Program], fates: dict[str, list[Fate]]) -> None:
        super().__init__(0)
        self.rates = Rates()
        self.programs = {program.name: program for program in programs}
        self._fates = {name: list(each) for name, each in fates.items()}

    def latency(self) -> float:
        return 0.0

    def start_seconds(self) -> float:
        return START_S

    def load_seconds(self) -> float:
        return START_S

    def fate(self, operation: Operation, n: int) -> Fate:
        fates = self._fates.get(operation.name)
        return fates.pop(0) if fates else Fate(0.0, "returns", 1)


class Stage(World):
    """A still machine, its file, and the engines that a test starts."""

    def submit(self, workflow: str) -> int:
        """Create a run."""
        program, client = self.machine.programs[workflow], self.client
        text = '{"n":0}'
        new = NewRun(
            workflow,
            PATH,
            workflow,
            client.snapshot.code,
            "/flows",
            text,
            canonical_hash(text),
            options=program.options,
        )
        return commands.submit(client.store, new, client.snapshot, self.machine.clock.now())[0]

    def follow(self, run_id: int, *, lag: float = 0.0, capacity: int = 8) -> Host:
        """Start an engine that follows a run; it hears and acts so many seconds late."""
        host = self.host(run_id, lag=lag, capacity=capacity)
        assert host is not None
        return host

    def run_of(self, run_id: int) -> Run:
        """Return a run as it is recorded."""
        return self.client.store.runs.get(run_id)

    def step_of(self, run_id: int, key: str) -> Step:
        """Return a step as it is recorded."""
        step = self.client.store.steps.get(run_id, key)
        assert step is not None
        return step

    def bodies(self, run_id: int, key: str) -> list[str | None]:
        """Return how the bodies of a step ended, None for one that runs."""
        return [each.ending for each in self.machine.ledger.of(run_id, key)]


@contextmanager
def stage(folder: Path, programs: Sequence[Program], fates: dict[str, list[Fate]] | None = None) -> Iterator[Stage]:
    """Set a stage with these workflows, and check at its end that every promise was kept."""
    folder.chmod(0o700)
    machine = StillMachine(programs, fates or {})
    with laboratory(folder) as template, current(machine):
        set_up = Stage(machine, folder / "stage.db", template)
        try:
            yield set_up
            set_up.checks.finished()
        finally:
            set_up.close()
