"""Engines as processes of a simulated machine: each follows one run, and takes its turns until it leaves or dies."""

from __future__ import annotations

import os
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from flowctl.core.errors import Conflict, FlowctlError
from flowctl.core.model import Run
from flowctl.engine.claim import lock_path
from flowctl.engine.claiming import Role
from flowctl.engine.engine import Engine
from flowctl.engine.following import Following
from tests.simulation.ledger import Broken
from tests.simulation.machine import Killed, watch
from tests.simulation.supervision import ScriptedSupervisor

if TYPE_CHECKING:
    from tests.simulation.world import World

LOOK_S = 0.2  # what Role.poll_s is where nobody simulates
CHECK_S = 1.0  # and CHECK_S: how often it looks for engines that have died
TURN_S = 0.0005  # what a turn takes at least
IDLE_TURNS = 40  # at most in a second in which nobody says anything
_ELSEWHERE = ("was taken over by", "is being worked on by", "went on in another process")


class Host:
    """A process that does what `flowctl run` does once the run is there.

    The engine's own look at the file, five times a second, is not simulated: a look at what has not changed does
    nothing. Instead the host is stirred after every commit and every jump of the clock.
    """

    def __init__(self, world: World, name: str, run_id: int, *, exclusive: bool, lag: float, capacity: int) -> None:
        self.alive = True
        self.run_id = run_id
        self.name = name
        self.ended_with: Run | None = None
        self.engine_id = 0
        self._world = world
        self._machine = machine = world.machine
        self._exclusive = exclusive
        self._lag = lag
        self._paused_until = 0.0
        self._wake_at = inf
        self._idle: list[float] = []
        self._committed = False
        self._events_wait = False
        self._entered = False
        self.store = world.open_store()
        watch(machine, self.store, self._reach, self._on_commit)
        self.supervisor = ScriptedSupervisor(machine, self.name, self._reach, self._on_heard)
        self.engine = Engine(self.store, self.supervisor, clock=machine.clock, role=Role(capacity=capacity, poll_s=inf))
        machine.note(f"{self.name} follows run {run_id}{' alone' if exclusive else ''}")

    # -- its life ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Register, recover, and be ready for the first turn."""
        self._guarded(self._enter)

    def _enter(self) -> None:
        self.engine.__enter__()
        self._entered = True
        self._following = Following(self.engine, self.run_id, exclusive=self._exclusive)
        self.stir(0.0)

    def _turn(self) -> None:
        machine = self._machine
        machine.note(f"{self.name} turns")
        heard = self._events_wait
        self._events_wait = False
        self._committed = False
        self.engine.listen(0.0)
        ended = self._following.turn()
        self._world.turns += 1
        if not heard:
            self._refuse_to_spin()
        if ended is not None:
            machine.note(f"{self.name} leaves run {ended.id} {ended.state}")
            self.ended_with = ended
            self._exit()
            return
        self.stir(self.engine.timeout())
        if self._committed:
            self.stir(LOOK_S)

    def _refuse_to_spin(self) -> None:
        now = self._machine.clock.seconds
        self._idle = [*[at for at in self._idle if at > now - 1.0], now]
        if len(self._idle) > IDLE_TURNS:
            raise Broken(f"{self.name} takes {len(self._idle)} turns in a second in which nobody says anything")

    def _exit(self) -> None:
        self.engine.__exit__(None, None, None)
        self._gone()

    def _gone(self) -> None:
        self.alive = False
        self.store.connection.raw.close()

    def _guarded(self, action: Callable[[], None]) -> None:
        """Do something in this process, and let it end as a process would."""
        try:
            action()
        except Killed:
            self.die()
        except FlowctlError as error:
            expected = not isinstance(error, Conflict) or any(text in error.message for text in _ELSEWHERE)
            if not expected:
                raise Broken(f"{self.name} ends by {error!r}") from error
            self._machine.note(f"{self.name} ends: {type(error).__name__}")
            if self._entered:
                self._guarded(self._exit)
            else:
                self.die()

    def die(self) -> None:
        """Be killed: the kernel frees the lock, executors see the end of their channel, nothing else happens."""
        if not self.alive:
            return
        self._machine.note(f"{self.name} dies")
        lock = getattr(self.engine, "_lock", None)
        if lock is not None and lock_path(self.store.path, self.name).exists():  # else it has let go of it itself
            os.close(lock._fd)
        self._machine.leave(self.supervisor.abandon())
        self._gone()
        self._world.on_death()

    def interrupt(self) -> None:
        """Get ctrl-C."""
        self._machine.note(f"{self.name} is interrupted")
        self.engine.stop()
        self.stir(0.0)

    def pause(self, seconds: float) -> None:
        """Be stopped by SIGSTOP for so long."""
        self._paused_until = self._machine.clock.seconds + seconds

    def resume(self) -> None:
        """Get SIGCONT."""
        self._paused_until = 0.0
        self.stir(0.0)

    # -- its turns -----------------------------------------------------------------------------------------------------

    def stir(self, seconds: float) -> None:
        """Take a turn in so many seconds, or earlier."""
        machine = self._machine
        at = machine.clock.seconds + max(seconds, self._lag, TURN_S)
        if at < self._wake_at:
            self._wake_at = at
            machine.agenda.after(at - machine.clock.seconds, lambda: self._ring(at))

    def _ring(self, at: float) -> None:
        if not self.alive or self._wake_at != at:
            return
        self._wake_at = inf
        left = self._paused_until - self._machine.clock.seconds
        if left > 0:
            self.stir(left)
            return
        self._world.before_turn(self)
        if self.alive:
            self._guarded(self._turn)
            self._world.after_turn()

    def _on_heard(self) -> None:
        self._events_wait = True
        self.stir(0.0)
        self._world.on_heard(self)

    def _on_commit(self) -> None:
        self._committed = True
        self._world.on_commit(self)

    def _reach(self, place: str) -> None:
        if self.alive and self._machine.fault("kill"):
            raise Killed(place)
