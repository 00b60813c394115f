"""The daemon's loop in this process: duties, and what happens when one fails."""

from __future__ import annotations

import pytest

from flowctl.core.clock import SystemClock
from flowctl.core.errors import DiskTrouble, Moved
from flowctl.engine.claiming import Role
from flowctl.engine.daemon import Daemon
from flowctl.engine.supervisor import Supervisor
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


class CountingClock(SystemClock):
    """The machine's clock, which counts how often the time since its start is asked."""

    looks = 0

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
            daemon.stop() if len(turns) == TURNS else daemon.wake()

        daemon.between = between
        looks = clock.looks
        daemon.serve()
    assert [duty.asked] * 2 == [clock.looks - looks, len(retired)]
    assert 0 < duty.asked < TURNS / 2
