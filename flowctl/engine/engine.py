"""The engine: one thread and one loop that claims runs, hears executors, records outcomes and answers.

    poll: wait for messages, output, deaths, or the next deadline
    tick: apply everything that came, and every timer that is due, in one transaction; commit; then answer

Many runs share a commit. An answer never leaves before the record it rests on is on disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import inf
from typing import Literal, Self

from flowctl.core import failpoint
from flowctl.core.clock import SYSTEM_CLOCK, Clock
from flowctl.core.errors import Busy, ClaimLost, DiskTrouble, FlowctlError
from flowctl.core.model import NewEngine, Run
from flowctl.engine import breakers, closing, families, offers, recovery, signals, timers, waits
from flowctl.engine.claim import EngineLock, boot_id
from flowctl.engine.claiming import ROLE, Claims, Role
from flowctl.engine.following import Following
from flowctl.engine.handlers import Senseless, deliver
from flowctl.engine.observer import Change, Observer, RunChanged, ignore, place_of
from flowctl.engine.output import RawOutput
from flowctl.engine.places import target_of
from flowctl.engine.session import PAUSED, Ending, Session
from flowctl.engine.supervisor import Event, Executor, Gone, Output, Received, Supervisor
from flowctl.store import Store

REDRAW_S = 0.1
TROUBLE_WAIT_S = 0.1  # before a commit that failed is tried again
CHECK_S = 1.0


class Engine:
    """Hosts runs. Use it as a context manager: it is registered, and holds its lock, inside."""

    def __init__(
        self,
        store: Store,
        supervisor: Supervisor,
        *,
        clock: Clock = SYSTEM_CLOCK,
        observer: Observer = ignore,
        on_idle: Callable[[], None] | None = None,
        role: Role = ROLE,
    ) -> None:
        self.store = store
        self.supervisor = supervisor
        self.changes: list[Change] = []
        self.now = clock.now()
        self.monotonic = clock.monotonic()
        self.clock = clock
        self._observer = observer
        self._on_idle = on_idle
        self._role = role
        self.sessions: dict[int, Session] = {}
        self.claims = Claims(self, role)
        self._inbox: list[Event] = []
        self._after: list[Callable[[], None]] = []
        self._output = RawOutput()
        self._stop: Literal[0, 1, 2] = 0
        self._stopping = 0
        self.unsure = False  # whether the last commit failed, as far as this process was told
        self.id = 0
        self._check_at = 0.0

    def __enter__(self) -> Self:
        token = self.supervisor.token
        self._lock = EngineLock(self.store.path, token)
        try:
            with self.store.transaction():
                role = self._role
                new = NewEngine(token, role.kind, os.getpid(), boot_id(), role.labels, role.queues)
                self.id = self.store.engines.start(new, self.clock.now())
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.supervisor.close()
        with suppress(FlowctlError):  # a dead engine is found by its free lock anyway
            recovery.retire(self.store, self.id, self.clock.now())
        self._lock.release()

    # -- for whoever hosts the engine -------------------------------------------------------------------------------

    def stop(self) -> None:
        """Let go of every run; called again: at once. Safe in a signal handler.

        The runs of a foreground engine become paused, those of a daemon are queued for the next one.
        """
        self._stop = 1 if self._stop == 0 else 2

    def follow(self, run_id: int, *, exclusive: bool = False) -> Run:
        """Work on this run and its family until it is final, paused or blocked, or waits for a child that is.

        A run that another engine has is waited for; with `exclusive` that raises Conflict, and so does its loss.
        """
        following = Following(self, run_id, exclusive=exclusive)
        while (run := following.turn()) is None:
            self.listen(self.timeout())
        return run

    def drain(self) -> None:
        """Work on every run of the file that is due, until none is; those that wait for later are left alone."""
        self.claims.look = True
        recovery.recover(self)
        self.tick()
        while self.busy or (self.claims.due(self.clock.now(), 1) and not self._stop):
            self.listen(self.timeout())
            self.tick()

    def listen(self, timeout: float) -> None:
        """Wait at most so many seconds for what executors say; the next tick applies it."""
        self._inbox += self.supervisor.poll(timeout)
        self._look_around()
        if self._on_idle is not None:
            self._on_idle()

    def _look_around(self) -> None:
        """Stop when the database was moved or deleted: writes to a file without a name succeed, and are lost.

        And free the runs of other engines that have died meanwhile: some of this family may be among them.
        """
        if self.clock.monotonic() < self._check_at:
            return
        self.store.check_moved()
        try:
            recovery.recover(self)
        except (Busy, DiskTrouble):  # that commit may have happened all the same
            self.look_for_runs()
        self._check_at = self.clock.monotonic() + CHECK_S

    @property
    def busy(self) -> bool:
        """Tell whether there are runs in work, or messages that are not applied yet."""
        return bool(self.sessions or self._inbox)

    @property
    def stopping(self) -> bool:
        """Tell whether it was asked to stop."""
        return self._stop > 0

    def timeout(self) -> float:
        """Return how many seconds may pass until the next turn, if no executor says anything."""
        if self._inbox or self.unsure:  # the last commit failed, and what was due then still is
            return TROUBLE_WAIT_S
        deadline = min((timers.next_deadline(session) for session in self.sessions.values()), default=inf)
        limit = self._role.poll_s if self._on_idle is None else REDRAW_S
        seconds = (deadline - self.clock.monotonic(), self.claims.seconds_left(self.clock.now()), limit)
        return max(0.0, min(seconds))

    # -- one tick ---------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Apply what came and what is due in one transaction, then answer."""
        self.now, self.monotonic = self.clock.now(), self.clock.monotonic()
        offers.withdraw(self)
        due = [session for session in self.sessions.values() if timers.next_deadline(session) <= self.monotonic]
        if due:  # what was said until then counts, although this process may have been stopped since it listened
            self._inbox += self.supervisor.poll(0)
        events = self._sort_events()
        look = self.claims.look = self.claims.look or self.claims.wakes(self.now)
        stop = self._stop if self._stop != self._stopping else 0
        if not (events or due or look or stop):
            if not self.store.changed():
                return
            look = self.claims.look = True
        failpoint.reach("result-read" if events else "timer")
        events = self._kill_out_of_time(due, events)
        saved = {session: session.save() for session in self.sessions.values()}
        try:
            with self.store.transaction():
                self._apply(events, due, look, stop)
        except (Busy, DiskTrouble):
            if self._stop == 2:  # at once, whatever it leaves behind
                raise
            self._take_back(events, saved)
            self.unsure = True
            return
        except Senseless as senseless:
            self._take_back(self._without(senseless, events), saved)
            return
        self.unsure = False
        self._stopping = stop or self._stopping
        self._inbox.clear()
        for change in self.changes if failpoint.ARMED else ():
            failpoint.reach(place_of(change))
        self._answer()

    def _kill_out_of_time(self, due: list[Session], events: list[Event]) -> list[Event]:
        """Kill what has run too long, whatever the disk does; that it has is recorded by `elapse`.

        Returns the events without the steps that the killed ask for: their runs ask again.
        """
        for session in due:
            if session.executor is not None and timers.out_of_time(session, events):
                self._discard(session.executor)
                events = [event for event in events if not _asks(event, session.executor)]
        return events

    def _sort_events(self) -> list[Event]:
        """Turn captured output into log messages of the steps that run now; the rest stays as it came."""
        events: list[Event] = []
        for event in self._inbox:
            if isinstance(event, Output):
                events += self._output.take(event)
            else:
                if isinstance(event, Gone) or event.message.kind in ("done", "ended", "step"):
                    events += self._output.flush(event.executor)
                events.append(event)
        self._inbox = list(events)
        return events

    def _apply(self, events: list[Event], due: list[Session], look: bool, stop: int) -> None:
        if look or self.store.changed():  # even what was asked while this transaction had to wait comes before it
            self.claims.look = True
            self._heed_requests()  # before the events: after a request to pause or cancel no further step begins
        if stop == 1:  # and none after the word to stop
            self._stop_sessions(stop)
        for event in events:
            if not isinstance(event, Gone):
                offers.claim_begun(event.executor)
            session = event.executor.session
            if isinstance(session, Session) and session.phase != "over":
                self.guarded(session, deliver, event, session)
        for session in due:
            if session.phase != "over":
                self.guarded(session, timers.elapse, session)
        if stop == 2:  # what has been said until then counts
            self._stop_sessions(stop)
        elif self.claims.look and not self._stop:
            self._claim()

    def guarded(self, session: Session, action: Callable[..., None], *arguments: object) -> None:
        """Do something for a session, which ends when another engine has its run now."""
        try:
            action(*arguments)
        except ClaimLost:
            stands = self.store.runs.get(session.run.id)
            # Ours still, maybe claimed anew: the commit whose answer was lost did happen.
            if self.unsure and (stands.epoch == session.claim.epoch or stands.engine_id == self.id):
                self.run_changed(stands, stands.state, stands.reason)
            else:
                self.run_changed(session.run, "fenced", "another engine took it")
                self.claims.lose(session.run.id)
            closing.let_go(session, keep=False)

    def _stop_sessions(self, stop: int) -> None:
        for session in list(self.sessions.values()):
            self.guarded(session, self._stop_session, session, stop)

    def _stop_session(self, session: Session, stop: int) -> None:
        if not session.has_run:
            return
        ending: Ending = "pause" if self._role.kind == "foreground" else "leave"
        if stop == 2:  # not what is pressed during this tick: that counts in the next one
            session.ending = ending
            closing.interrupt(session)
        else:
            session.drain(ending, self._role.stop_grace_s)

    def _heed_requests(self) -> None:
        for run_id, request in self.store.runs.requests(self.id):
            session = self.sessions.get(run_id)
            if session is not None and request == "cancel":
                self.guarded(session, closing.cancel, session, families.CANCEL_GRACE_S)
            elif session is not None:
                session.pause_reason = PAUSED
                self.guarded(session, session.drain, "pause", inf)
        for session in self.sessions.values():
            if session.has_run:
                self.guarded(session, self._check_session, session)

    def _check_session(self, session: Session) -> None:
        self.store.steps.require(session.claim)
        waits.check_children(session)
        signals.check(session)
        breakers.check(session)

    def _claim(self) -> None:
        for held in self.store.runs.orphans([self.id]) if self.unsure else ():
            session = self.sessions.get(held.id)
            if session is None or session.phase == "over":  # the claim whose answer was lost did happen
                self.begin(held)
        self.claims.claim_due(self.begin)
        if not self.claims.may_begin():
            offers.make(self)

    def _take_back(self, events: list[Event], saved: dict[Session, tuple[object, ...]]) -> None:
        self._inbox = events
        self._after.clear()
        self.changes.clear()
        self.claims.look = True
        for session in self.sessions.values():
            if session not in saved and session.executor is not None:
                session.executor.session = session.executor.offer = None
        self.sessions = {session.run.id: session for session in saved}
        for session, state in saved.items():
            session.restore(state)

    def _without(self, senseless: Senseless, events: list[Event]) -> list[Event]:
        """Return the events with the end of an executor in place of its message, and of what it said after that."""
        at = next(index for index, event in enumerate(events) if event is senseless.event)
        executor = senseless.event.executor
        later = [event for event in events[at + 1 :] if event.executor is not executor]
        return [*events[:at], *self.supervisor.disown(executor, str(senseless)), *later]

    def _answer(self) -> None:
        """Do what had to wait for the commit: signals and processes first, then messages, then observers."""
        while self._after:
            actions, self._after = self._after, []
            for action in actions:
                action()
        for session in self.sessions.values():
            if session.outbox and session.executor is not None:
                self.supervisor.send(session.executor, session.take_messages())
        changes, self.changes = self.changes, []
        for change in changes:
            self._observer(change)

    # -- for sessions -----------------------------------------------------------------------------------------------

    def add(self, run: Run) -> Session:
        """Return a new session for a claimed run."""
        session = self.sessions[run.id] = Session(self, run)
        self.run_changed(run, "running", None)
        return session

    def begin(self, run: Run) -> None:
        """Give a claimed run an executor, which begins it."""
        self.after(partial(self.replace, self.add(run), None))

    def after(self, action: Callable[[], None]) -> None:
        """Do something after the commit."""
        self._after.append(action)

    def when(self, instant: int) -> float:
        """Return the monotonic second of a wall-clock instant, as far as the clocks agree now."""
        return self.monotonic + (instant - self.now) / 1000

    def look_for_runs(self) -> None:
        """Look for runs to claim in the next tick."""
        self.claims.look = True

    def run_changed(self, run: Run, state: str, reason: str | None) -> None:
        """Queue what observers hear about a run after the commit."""
        self.changes.append(RunChanged(run.id, run.workflow, state, reason, run.parent_id))

    def replace(self, session: Session, executor: Executor | None) -> None:
        """Give a session an executor, after killing the one it had."""
        if executor is not None:
            self._discard(executor)
        session.outbox.clear()
        run = session.run
        fresh = run.options.get("isolation") == "process"
        try:
            target = target_of(self.store, run)
            found = self.supervisor.take(target, (run.code, run.path), fresh=fresh) or self.supervisor.start(target)
        except FlowctlError as error:
            session.refuse(str(error))
        else:
            session.attach(found)

    def close_session(self, session: Session, executor: Executor | None, keep: bool) -> None:
        """Forget a session, and keep or kill its executor."""
        if self.sessions.get(session.run.id) is session:  # the run may have been claimed anew in the same tick
            del self.sessions[session.run.id]
        if keep and executor is not None and executor.session is not session:  # it went on with another run
            return
        self.claims.look = True
        if executor is not None:
            executor.session, executor.free_since = None, self.monotonic
            if not keep:
                self._discard(executor)

    def _discard(self, executor: Executor) -> None:
        self._output.forget(executor)
        self.supervisor.kill(executor)


def _asks(event: Event, executor: Executor) -> bool:
    return isinstance(event, Received) and event.executor is executor and event.message.kind == "step"
