"""The daemon's loop in this process: duties, and what happens when one fails."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from flowctl.core.clock import SYSTEM_CLOCK, SystemClock
from flowctl.core.errors import DiskTrouble, Moved
from flowctl.engine import commands
from flowctl.engine import daemon as module
from flowctl.engine.claiming import Role
from flowctl.engine.daemon import Daemon
from flowctl.engine.doorbell import ring
from flowctl.engine.engine import Engine
from flowctl.engine.supervisor import Supervisor
from flowctl.store import Store
from tests.faults.hosted import hosted

DAEMON = Role("daemon", poll_s=0.01)
TURNS = 50


class Duty:
    """Fails each time it is asked, and ends the daemon at the second."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.asked = 0
        self.daemon: Daemon

    def tick(self, now: int) -> int:
        self.asked += 1
        if self.asked > 1:
            self.daemon.stop()
        raise self.error


class Counting:
    """Has nothing to do, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def tick(self, now: int) -> None:
        self.asked += 1


class Watching:
    """Notes whether the engine was busy each time it is asked."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.rung = False
        self.found_busy: list[bool] = []

    def tick(self, now: int) -> None:
        self.found_busy.append(self.engine.busy)


class CountingClock(SystemClock):
    """A clock that counts how often the time since the machine's start is asked. A test lets its time pass."""

    looks = 0
    passed_s = 0.0

    def monotonic(self) -> float:
        return self.passed_s

    def uptime(self) -> float:
        self.looks += 1
        return super().uptime()


@pytest.mark.parametrize("error", [RuntimeError("boom"), OSError(11, "Resource temporarily unavailable")])
def test_a_duty_that_fails_is_told_of_and_stops_nothing(error: Exception) -> None:
    failing, other, said = Duty(error), Duty(DiskTrouble("the disk is full")), list[str]()
    with hosted() as host, host.engine(role=DAEMON) as engine, Daemon(engine, [failing, other], said.append) as daemon:
        failing.daemon = other.daemon = daemon
        daemon.serve()
    assert f"Duty failed: {type(error).__name__}: {error}" in said
    assert other.asked > 1


def test_a_run_that_somebody_rang_for_does_not_wait_for_the_duties(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DUTY_S", "POLL_S"):
        monkeypatch.setattr(module, name, 60.0)
    path = tmp_path / "quick.py"
    path.write_text("from flowctl import workflow\n\n@workflow\ndef quick() -> int:\n    return 1\n")
    with hosted() as host, host.engine(role=DAEMON) as engine:
        first = host.submit(path)
        commands.cancel(host.store, first, SYSTEM_CLOCK.now())
        duty = Watching(engine)
        with Daemon(engine, [duty], print) as daemon:
            daemon.between = partial(ask_once, duty, daemon, host.store.path, first)
            daemon.serve()
        assert "succeeded" == host.store.runs.get(first + 1).state
    assert [False, False] == duty.found_busy


def ask_once(duty: Watching, daemon: Daemon, path: str, like: int) -> None:
    """After the daemon's first turn, submit a run and ring; stop it when the duties were asked again."""
    if len(duty.found_busy) > 1:
        daemon.stop()
    elif not duty.rung:
        duty.rung = True
        with Store.open(path) as other:
            commands.rerun(other, like, SYSTEM_CLOCK.now())
        ring(path)


def test_j08_a_duty_that_finds_the_file_gone_ends_the_daemon() -> None:
    with hosted() as host, host.engine(role=DAEMON) as engine:
        with Daemon(engine, [Duty(Moved("gone"))], print) as daemon, pytest.raises(Moved):
            daemon.serve()


def test_a_busy_loop_reads_the_clocks_and_ends_idle_executors_with_its_duties_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    duty, clock, turns, retired = Counting(), CountingClock(), list[int](), list[float]()
    monkeypatch.setattr(Supervisor, "retire", lambda _, before: retired.append(before))
    with hosted() as host, host.engine(clock, role=DAEMON) as engine, Daemon(engine, [duty], print) as daemon:

        def between() -> None:
            turns.append(duty.asked)
            clock.passed_s += 0.1
            daemon.stop() if len(turns) == TURNS else daemon.wake()

        daemon.between = between
        looks = clock.looks
        daemon.serve()
    assert [duty.asked] * 2 == [clock.looks - looks, len(retired)]
    assert 0 < duty.asked < TURNS / 2
