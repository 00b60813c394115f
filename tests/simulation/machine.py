"""The machine of one seed: its clock, its dice, its processes, its disk, and a record of all that happens."""

from __future__ import annotations

from _blake2 import blake2b
from collections import Counter
from collections.abc import Callable
from math import inf
from random import Random

from flowctl.core.errors import Busy, DiskTrouble
from flowctl.sdk.wire import Message
from flowctl.store import Store
from tests.simulation.clock import Agenda, VirtualClock
from tests.simulation.executors import ScriptedExecutor
from tests.simulation.imitation import Fate
from tests.simulation.ledger import Execution, Ledger
from tests.simulation.programs import Author, Call, Operation, Program
from tests.simulation.rates import Rates, swarm

HANG_S = 8 * 3600.0


class Killed(BaseException):
    """The process that this is raised in is dead: nothing of it runs any more."""


class Machine:
    """What the processes of one seed share. Nothing in it depends on real time, or on the order of a set."""

    def __init__(self, seed: int, trace: Callable[[str], None] | None = None) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.clock = VirtualClock(Random(seed + 1))
        self.agenda = Agenda(self.clock)
        self.rates = swarm(self.random)
        self.ledger = Ledger()
        self.executors: list[ScriptedExecutor] = []
        programs = Author(self.random).programs(self.random.randint(2, 5))
        self.programs: dict[str, Program] = {program.name: program for program in programs}
        self.faults: Counter[str] = Counter()
        self.events = 0
        self.on_body: Callable[[Execution, Operation], None] = _ignore
        self.on_sent: Callable[[ScriptedExecutor, Message], None] = _ignore
        self._digest = blake2b(digest_size=16)
        self._trace = trace
        self._latency = self.random.choice((0.0, 0.001, 0.02))
        self.disk_fails_until = 0.0

    # -- the record ----------------------------------------------------------------------------------------------------

    def note(self, what: str) -> None:
        """Record an event."""
        line = f"{self.clock.seconds:.4f} {what}"
        self.events += 1
        self._digest.update(line.encode())
        if self._trace is not None:
            self._trace(line)

    @property
    def digest(self) -> str:
        """Return a hash of everything that was recorded."""
        return self._digest.hexdigest()

    def sent(self, executor: ScriptedExecutor, message: Message) -> None:
        """Check what an engine says."""
        self.on_sent(executor, message)

    def begin_body(self, execution: Execution, operation: Operation) -> Execution:
        """Check and note the start of a body."""
        self.note(f"run {execution.run} {execution.key} attempt {execution.attempt} runs in {execution.marker}")
        self.on_body(execution, operation)
        self.ledger.begin(execution)
        return execution

    # -- dice ----------------------------------------------------------------------------------------------------------

    def chance(self, rate: float) -> bool:
        """Tell whether something happens that has this chance."""
        return rate > 0 and self.random.random() < rate

    def fault(self, kind: str) -> bool:
        """Tell whether a fault happens now, and count it."""
        happens = self.chance(getattr(self.rates, kind))
        if happens:
            self.faults[kind] += 1
            self.note(f"FAULT {kind}")
        return happens

    def span(self, rate: float, shortest: float, longest: float) -> float:
        """Return some seconds with that chance, else none."""
        return self.random.uniform(shortest, longest) if self.chance(rate) else 0.0

    def latency(self) -> float:
        """Return how long a message travels."""
        return self.random.uniform(0.0, self._latency)

    def start_seconds(self) -> float:
        """Return how long an executor takes to start."""
        return self.random.uniform(0.01, 0.2)

    def load_seconds(self) -> float:
        """Return how long an import takes."""
        return HANG_S if self.chance(self.rates.load_hangs) else self.random.uniform(0.0, 0.3)

    def fate(self, operation: Operation, n: int) -> Fate:
        """Decide how a body goes."""
        output = self.random.randrange(1000)
        if not isinstance(operation, Call):
            return Fate(0.0, "returns", output)
        conduct = operation.conduct
        seconds = self.random.uniform(conduct.shortest, conduct.longest)
        if self.chance(conduct.hangs * self.rates.body_trouble):
            return Fate(HANG_S, "returns", output)
        if self.chance(conduct.dies * self.rates.body_trouble):
            return Fate(seconds, "dies")
        if not self.chance(conduct.fails):
            return Fate(seconds, "returns", output)
        endings = ("gives_up", "asks_delay", "fails")
        rest = 1 - conduct.gives_up - conduct.asks_delay
        return Fate(seconds, self.random.choices(endings, (conduct.gives_up, conduct.asks_delay, rest))[0])

    # -- processes -----------------------------------------------------------------------------------------------------

    def kill_engine(self, token: str) -> list[int]:
        """Kill every executor of the engine with that token, as flowctl.sdk.processes.kill_engine does."""
        for executor in self.executors:
            if executor.alive and executor.marker.startswith(f"{token}."):
                self.note(f"kill {executor.marker} by its mark")
                executor.die("was killed by SIGKILL (out of memory?)")
        self.executors = [executor for executor in self.executors if executor.alive]
        return []

    def leave(self, executors: list[ScriptedExecutor]) -> None:
        """Let executors notice that their engine is gone, soon or never."""
        for executor in executors:
            soon = inf if self.chance(self.rates.lingers) else self.random.uniform(0.0, 0.05)
            if soon != inf:
                self.agenda.after(soon, lambda executor=executor: executor.end() if executor.alive else None)  # type: ignore[misc]

    def calm(self) -> None:
        """Be well from now on."""
        self.rates = Rates()
        self.disk_fails_until = 0.0
        self.note("calm")

    # -- the disk ------------------------------------------------------------------------------------------------------

    def disk(self) -> None:
        """Raise what a write may raise at this moment."""
        if self.clock.seconds < self.disk_fails_until or self.fault("disk_fails"):
            raise DiskTrouble("the disk failed")
        if self.fault("disk_fills"):
            self.disk_fails_until = self.clock.seconds + self.random.choice((0.3, 5.0, 600.0))
            raise DiskTrouble("the disk is full")


def watch(machine: Machine, store: Store, reach: Callable[[str], None], committed: Callable[[], None]) -> None:
    """Put the machine's disk between a store and its file.

    `reach` is called at each place where the process may die, `committed` after each commit.
    """
    connection = store.connection
    rows, write = connection.rows, connection.write

    def troubled_write(*arguments: object) -> object:
        reach("write")
        machine.disk()
        return write(*arguments)  # type: ignore[arg-type]

    def troubled_rows(sql: str, *arguments: object) -> object:
        if sql == "BEGIN IMMEDIATE" and machine.fault("busy"):
            raise Busy("the database is locked by another process")
        if sql != "COMMIT":
            return rows(sql, *arguments)  # type: ignore[arg-type]
        reach("commit")
        machine.disk()
        done = rows(sql)
        committed()
        reach("committed")
        if machine.fault("answer_lost"):
            raise DiskTrouble("the disk failed")
        return done

    connection.write, connection.rows = troubled_write, troubled_rows  # type: ignore[method-assign, assignment]


def _ignore(*_: object) -> None:
    pass
