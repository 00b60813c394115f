"""The world of one seed: engines and people on one machine and one file, first in trouble, then in peace."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from unittest import mock

from flowctl.core.model import FINAL_STATES
from flowctl.sdk import processes
from flowctl.store import Store
from tests.simulation.checks import Checks
from tests.simulation.clients import Client
from tests.simulation.hosts import CHECK_S, LOOK_S, Host
from tests.simulation.ledger import Broken
from tests.simulation.machine import Killed, Machine

HOSTS = 3
LAGS = (0.0, 0.0, 0.05, 0.6)  # how late an engine takes its turns: then more happens in one tick
CAPACITIES = (1, 1, 2, 8)
ROUNDS = 60  # of a person who lets what is left go on: far more than any family needs
LONGEST_S = 20 * 365 * 86_400.0  # that an engine may follow a run in peace: a family may sleep often, 90 days each
MOST_TURNS = 20_000
CHECK_TURNS = 20


@dataclass(frozen=True, slots=True)
class Report:
    """What happened under one seed."""

    seed: int
    digest: str
    events: int
    turns: int
    bodies: int
    runs: int
    virtual_s: float
    faults: dict[str, int]


class World:
    """One seed, from an empty file to the end of every run."""

    def __init__(self, machine: Machine, path: Path, template: Path) -> None:
        self.machine = machine
        self.turns = 0
        self._path = path
        shutil.copyfile(template, self._path)
        self._path.chmod(0o600)
        self._stores: list[Store] = []
        self._eyes = self.open_store()
        self.checks = Checks(self._eyes, self.machine.ledger, self.machine.programs)
        self.machine.on_body = self.checks.on_body
        self.machine.on_sent = self.checks.on_sent
        self.client = Client(self)
        self._hosts: list[Host] = []
        self._started = 0
        self._boots = 0
        self._busy = True
        self._actions = self.machine.random.randint(10, 40)
        self._pace = self.machine.random.choice((0.2, 2.0, 20.0, 600.0))

    # -- what its inhabitants need -------------------------------------------------------------------------------------

    def open_store(self) -> Store:
        """Open the file. Power cuts are not simulated here, so nothing waits for the disk."""
        store = Store.open(self._path)
        store.connection.rows("PRAGMA synchronous = OFF")
        self._stores.append(store)
        return store

    def count_runs(self) -> int:
        """Return how many runs there are; their numbers have no gaps."""
        return int(self._eyes.connection.value("SELECT coalesce(max(id), 0) FROM runs"))

    def host(
        self, run_id: int, *, exclusive: bool = False, lag: float | None = None, capacity: int | None = None
    ) -> Host | None:
        """Start an engine that follows a run, unless there are too many."""
        self._hosts = [host for host in self._hosts if host.alive]
        if len(self._hosts) >= HOSTS:
            return None
        self._started += 1
        random = self.machine.random
        lag = random.choice(LAGS) if lag is None else lag
        capacity = random.choice(CAPACITIES) if capacity is None else capacity
        host = Host(self, f"engine{self._started}", run_id, exclusive=exclusive, lag=lag, capacity=capacity)
        self._hosts.append(host)
        host.start()
        return host

    def on_commit(self, by: Host | None) -> None:
        """Have the other engines see within a look that the file has changed."""
        for host in self._hosts:
            if host is not by and host.alive:
                host.stir(self.machine.random.uniform(0.0, LOOK_S))

    def on_death(self) -> None:
        """Have the other engines notice in about a second that one is dead."""
        for host in self._hosts:
            if host.alive:
                # On the agenda: an earlier turn, in which it does not look around yet, must not stand for this one.
                later = self.machine.random.uniform(CHECK_S, CHECK_S + LOOK_S)
                self.machine.agenda.after(later, partial(host.stir, 0.0))

    def on_heard(self, host: Host) -> None:
        """Perhaps do something to a family in the moment in which one of its executors speaks."""
        if self._busy and self.machine.fault("meddle"):
            self.machine.agenda.after(0.0, lambda: self._in_a_shell(partial(self.client.meddle, host.run_id)))

    def before_turn(self, host: Host) -> None:
        """Let happen to the machine or the engine what may happen between two turns."""
        machine = self.machine
        if machine.fault("crash"):
            host.die()
        if machine.fault("pause"):
            host.pause(machine.random.choice((0.5, 60.0, 3 * 3600.0)))
            host.stir(0.0)
        if machine.fault("jump"):
            self._set_clock(machine.random.choice((-1, 1)) * machine.random.choice((1.0, 3600.0, 86_400.0)))
        if machine.fault("suspend"):
            self._set_clock(8 * 3600.0)
        if machine.fault("ctrl_c"):
            host.interrupt()
        if machine.fault("reboot"):
            self._reboot()

    def _set_clock(self, seconds: float) -> None:
        self.machine.clock.jump(seconds)
        for host in self._hosts:
            host.stir(self.machine.random.uniform(0.0, LOOK_S))

    def _reboot(self) -> None:
        for host in self._hosts:
            host.die()
        for executor in self.machine.executors:
            if executor.alive:
                executor.end()
        self._boots += 1
        os.environ["FLOWCTL_BOOT_ID"] = f"boot{self._boots}"

    def after_turn(self) -> None:
        """Look at the file now and then."""
        if self.turns % CHECK_TURNS == 0:
            self.checks.outcomes()
            self.checks.invariants()
        if self.turns > MOST_TURNS:
            raise Broken(f"{self.turns} turns, and no end")

    # -- its course ----------------------------------------------------------------------------------------------------

    def run(self) -> Report:
        """Live through the seed. Raises Broken."""
        try:
            self._trouble()
            self._peace()
            self.checks.finished()
        finally:
            self.close()
        return Report(
            seed=self.machine.seed,
            digest=self.machine.digest,
            events=self.machine.events,
            turns=self.turns,
            bodies=self.machine.ledger.count,
            runs=len(self.checks.acknowledged),
            virtual_s=self.machine.clock.seconds,
            faults=dict(self.machine.faults),
        )

    def close(self) -> None:
        """End what is left."""
        for host in self._hosts:
            host.die()
        for store in self._stores:
            store.connection.raw.close()

    def _trouble(self) -> None:
        """Have people do things at random moments while everything goes wrong."""
        for _ in range(self._actions):
            self.pass_time(self.machine.random.expovariate(1 / self._pace))
            self._in_a_shell(self.client.act)
        self.pass_time(self._pace)

    def _in_a_shell(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Killed:  # between two commands of it
            self.machine.note("the shell dies")

    def pass_time(self, seconds: float) -> None:
        """Let so many seconds pass, with all that happens in them."""
        machine, until = self.machine, self.machine.clock.seconds + seconds
        while (at := machine.agenda.next_at()) is not None and at <= until:
            machine.agenda.advance()
        machine.clock.seconds = until

    def _peace(self) -> None:
        """After the troubles, every run ends, if only somebody lets it go on."""
        self._busy = False
        self.machine.calm()
        for host in self._hosts:
            if host.alive:
                host.resume()
                self.wait_for(host)
        for _ in range(ROUNDS):
            number = self.client.attend()
            if number is None:
                return
            started = self.host(number)
            assert started is not None
            self.wait_for(started)
        left = [f"{run.id} {run.state} ({run.reason})" for run in self.checks.runs() if run.state not in FINAL_STATES]
        raise Broken(f"{ROUNDS} times resumed or retried, and still there are: {', '.join(left)}")

    def wait_for(self, host: Host) -> None:
        """Let time pass until an engine has done what it can do."""
        agenda, until = self.machine.agenda, self.machine.clock.seconds + LONGEST_S
        while host.alive:
            if (agenda.next_at() or inf) > until:
                run = self._eyes.runs.get(host.run_id)
                family = [f"{each.id} {each.state}" for each in self._eyes.runs.family(run.root_id or run.id)]
                raise Broken(f"{host.name} waits for ever for run {run.id}, its family: {', '.join(family)}")
            agenda.advance()
        self.checks.outcomes()
        self.checks.invariants()


@contextmanager
def laboratory(folder: Path) -> Iterator[Path]:
    """Take the place of what engines ask of the real machine; yield a new database to copy."""
    template = folder / "template.db"
    Store.open(template).close()
    with (
        mock.patch.object(processes, "kill_engine", lambda token: _machines[-1].kill_engine(token)),
        mock.patch.dict(os.environ, {"FLOWCTL_TESTING": "1", "FLOWCTL_BOOT_ID": "boot0"}),
    ):
        yield template


_machines: list[Machine] = []  # the one that is simulated at the moment is the last


def simulate(seed: int, folder: Path, template: Path, trace: Callable[[str], None] | None = None) -> Report:
    """Live through one seed in a laboratory. Raises Broken."""
    machine, path = Machine(seed, trace), folder / f"seed{seed}.db"
    with current(machine):
        try:
            return World(machine, path, template).run()
        finally:
            for left in folder.glob(f"{path.name}*"):
                shutil.rmtree(left) if left.is_dir() else left.unlink()


@contextmanager
def current(machine: Machine) -> Iterator[None]:
    """Have this machine be the one that engines are on."""
    os.environ["FLOWCTL_BOOT_ID"] = "boot0"
    _machines.append(machine)
    try:
        yield
    finally:
        _machines.pop()
