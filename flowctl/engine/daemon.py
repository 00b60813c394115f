"""The daemon: one process that works on what is due, and does its duties, while nobody watches.

    serve: tick the engine; do the duties that are due; listen until the next deadline, or until somebody rings

Everything happens in this one loop. A duty (schedules, notices, retention) is asked for its next deadline, and asked
again when it has come, when somebody rang, or when something has happened here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf
from types import TracebackType
from typing import Protocol, Self

from flowctl.core.errors import Busy, DiskTrouble, Moved
from flowctl.engine.doorbell import FOREIGN, KNOCK, RING, Doorbell
from flowctl.engine.engine import Engine
from flowctl.engine.suspend import Watch

POLL_S = 1.0  # how often the file is asked for changes that nobody rang for
LONGEST_S = 15.0  # the wall clock is read again at least this often, so that a suspend shows
DUTY_S = 0.25  # while much is going on, duties are asked this often
IDLE_S = 120.0  # an executor that had no run for so long is ended
ASIDE_S = 0.01  # how long the write lock is left to others when somebody knocks
FAILED_MS = 60_000  # before a duty that has failed is asked again
GRACE_S = 10.0  # what bodies that run get to finish when the daemon is stopped


class Duty(Protocol):
    """Something that the daemon does beside working on runs, in short transactions and without waiting."""

    def tick(self, now: int) -> int | None:
        """Do what is due, and return the instant at which the next thing is; None when there is none."""


class Daemon:
    """Hosts an engine and its duties. Use it as a context manager, inside that of the engine."""

    def __init__(self, engine: Engine, duties: Sequence[Duty], say: Callable[[str], None]) -> None:
        self._engine = engine
        self._duties = duties
        self._say = say
        self._watch = Watch(engine.store, engine.clock)
        self._next_at: int | None = None
        self._asked_at = -inf  # monotonic
        self._stirred = True
        self._knocked = False
        self.between: Callable[[], None] = _nothing  # called once a turn

    def __enter__(self) -> Self:
        engine = self._engine
        self._bell = Doorbell(engine.store.path, engine.supervisor.token)
        engine.supervisor.also_hear(self._bell, self._rung)
        engine.supervisor.also_hear(self._bell.own, self._woken)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._bell.close()

    def stop(self) -> None:
        """Begin no more runs and let go of those that run; called again: at once. Safe in a signal handler."""
        self._engine.stop()
        self._bell.wake()

    def wake(self) -> None:
        """Look now. Safe in a signal handler."""
        self._bell.wake()

    def serve(self) -> None:
        """Work until it is stopped. Raises Moved when the database is moved or deleted."""
        engine = self._engine
        while True:
            engine.tick()
            if engine.stopping and not engine.busy:
                return
            if not engine.stopping:
                self._do_duties()
            engine.listen(min(engine.timeout(), self._seconds_left(), LONGEST_S))
            self._stirred = self._stirred or engine.busy
            if self._knocked:
                self._knocked = False
                self._stand_aside()
            self.between()

    def _stand_aside(self) -> None:
        """Leave the write lock to others for a moment."""
        clock = self._engine.clock
        until = clock.monotonic() + ASIDE_S
        while (left := until - clock.monotonic()) > 0:
            self._engine.listen(left)

    def _do_duties(self) -> None:
        clock = self._engine.clock
        now, monotonic = clock.now(), clock.monotonic()
        due = self._next_at is not None and self._next_at <= now
        if not (
            due or (self._stirred and monotonic >= self._asked_at + DUTY_S) or monotonic >= self._asked_at + POLL_S
        ):
            return
        self._asked_at, self._stirred = monotonic, False
        with suppress(Busy, DiskTrouble):  # what it cannot write now is written at a later look
            self._watch.look()  # before the scheduler plans: the gap is the reason of what was missed
        self._engine.supervisor.retire(monotonic - IDLE_S)
        before = self._engine.store.writes
        deadlines = [deadline for duty in self._duties if (deadline := self._done(duty, now)) is not None]
        self._next_at = min(deadlines, default=None)
        if self._engine.store.writes > before:
            self._engine.look_for_runs()

    def _done(self, duty: Duty, now: int) -> int | None:
        try:
            return duty.tick(now)
        except Moved:
            raise
        except (Busy, DiskTrouble):  # it is due still, and asked again soon
            return now + round(POLL_S * 1000)
        except Exception as error:  # noqa: BLE001 - a duty that fails stops neither runs nor the other duties
            self._say(f"{type(duty).__name__} failed: {type(error).__name__}: {error}")
            return now + FAILED_MS

    def _seconds_left(self) -> float:
        return inf if self._next_at is None else max(0.0, (self._next_at - self._engine.clock.now()) / 1000)

    def _rung(self) -> None:
        words = set(self._bell.answer())
        if FOREIGN in words:
            self._say("somebody with another user's rights rang, which was not heeded")
        self._knocked = self._knocked or KNOCK in words
        if RING in words:
            self._asked_at = -inf

    def _woken(self) -> None:
        self._bell.hush()


def _nothing() -> None:
    pass
