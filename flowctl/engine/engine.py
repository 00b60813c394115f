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
from flowctl.core.errors import Busy, ClaimLost, Conflict, DiskTrouble, FlowctlError
from flowctl.core.model import FINAL_STATES, Run
from flowctl.engine import closing, recovery, timers, waits
from flowctl.engine.claim import EngineLock, boot_id
from flowctl.engine.handlers import HANDLERS
from flowctl.engine.observer import Change, LogCaptured, Observer, RunChanged, StepChanged, ignore
from flowctl.engine.output import RawOutput
from flowctl.engine.session import PAUSED, STOPPED, Session
from flowctl.engine.supervisor import CodeTarget, Event, Executor, Gone, Output, Received, Supervisor
from flowctl.store import Store

LOOK_S = 0.2  # the longest wait: how often the file is asked for changes, and the wall clock read again
REDRAW_S = 0.1
TROUBLE_WAIT_S = 0.1  # before a commit that failed is tried again
STOP_GRACE_S = 2.0
CHECK_FILE_S = 1.0
CANCEL_GRACE_S = 5.0
SETTLED = FINAL_STATES | {"paused", "blocked"}


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
        capacity: int = 8,
    ) -> None:
        self.store = store
        self.supervisor = supervisor
        self.changes: list[Change] = []
        self.now = clock.now()
        self.monotonic = clock.monotonic()
        self.clock = clock
        self._observer = observer
        self._on_idle = on_idle
        self._capacity = capacity
        self._sessions: dict[int, Session] = {}
        self._claimed: set[int] = set()  # runs that this engine has had
        self._lost: set[int] = set()  # runs that another engine has taken from it
        self._inbox: list[Event] = []
        self._after: list[Callable[[], None]] = []
        self._output = RawOutput()
        self._root: int | None = None
        self._first_epoch = 0  # of the run that is followed
        self._look = True  # whether there may be something to claim
        self._wake_at: int | None = None  # when a run that waits now is due
        self._stop: Literal[0, 1, 2] = 0
        self._stopping = 0
        self._unsure = False  # whether the last commit failed, as far as this process was told
        self._id = 0
        self._check_at = 0.0

    def __enter__(self) -> Self:
        token = self.supervisor.token
        self._lock = EngineLock(self.store.path, token)
        with self.store.transaction():
            self._id = self.store.engines.start(token, "foreground", os.getpid(), boot_id(), self.clock.now())
        return self

    def __exit__(self, *exc: object) -> None:
        self.supervisor.close()
        with suppress(FlowctlError):  # a dead engine is found by its free lock anyway
            recovery.retire(self.store, self._id, self.clock.now())
        self._lock.release()

    # -- for whoever hosts the engine -------------------------------------------------------------------------------

    def stop(self) -> None:
        """Let go of every run, which becomes paused; called again: at once. Safe in a signal handler."""
        self._stop = 1 if self._stop == 0 else 2

    def follow(self, run_id: int, *, exclusive: bool = False) -> Run:
        """Work on this run and its family until it is final, paused or blocked, or waits for a child that is.

        A run that another engine has is waited for; with `exclusive` that raises Conflict, and so does its loss.
        """
        run = self.store.runs.get(run_id)
        self._root, self._first_epoch = run.root_id or run.id, run.epoch
        recovery.recover(self)
        while True:
            self.tick()
            if not self._sessions and not self._inbox:
                run = self.store.runs.get(run_id)
                self._refuse_elsewhere(run, exclusive)
                if self._stop:
                    self._pause_family()
                    return self.store.runs.get(run_id)
                if self._stands_still(run) and not self._family_waits():
                    return run
            self._inbox += self.supervisor.poll(self._timeout())
            self._check_file()
            if self._on_idle is not None:
                self._on_idle()

    def _check_file(self) -> None:
        """Stop when the database was moved or deleted: writes to a file without a name succeed, and are lost."""
        if self.clock.monotonic() >= self._check_at:
            self.store.check_moved()
            self._check_at = self.clock.monotonic() + CHECK_FILE_S

    def _refuse_elsewhere(self, run: Run, exclusive: bool) -> None:
        if run.id in self._lost:
            raise Conflict(f"run {run.id} was taken over by another process", f"flowctl show {run.id}")
        if exclusive and run.id not in self._claimed and not self._stop:
            if run.state == "running" and run.engine_id != self._id:
                raise Conflict(f"run {run.id} is being worked on by another process", f"flowctl logs {run.id} -f")
            if run.state in SETTLED and run.epoch != self._first_epoch:
                raise Conflict(f"run {run.id} went on in another process and is {run.state}", f"flowctl show {run.id}")

    def _stands_still(self, run: Run) -> bool:
        """Tell whether a run is settled, or waits for children of which each is paused, blocked or so waiting too."""
        return run.state in SETTLED or (run.state == "waiting" and not self.store.runs.family_moves(self._root or 0))

    def _family_waits(self) -> bool:
        """Tell whether a failure handler or a child of the run is still due here."""
        return bool(self.store.runs.claimable(self.clock.now(), root_id=self._root, limit=1))

    def _pause_family(self) -> None:
        with self.store.transaction():
            for run in self.store.runs.family(self._root or 0):
                self.store.runs.pause_idle(run.id, self.clock.now(), STOPPED)

    def _timeout(self) -> float:
        monotonic, now = self.clock.monotonic(), self.clock.now()
        soonest = min((timers.next_deadline(session) for session in self._sessions.values()), default=inf) - monotonic
        if self._wake_at is not None and self._may_claim():
            soonest = min(soonest, (self._wake_at - now) / 1000)
        limit = LOOK_S if self._on_idle is None else REDRAW_S
        if self._inbox:  # the last commit failed
            limit = TROUBLE_WAIT_S
        return max(0.0, min(soonest, limit))

    # -- one tick ---------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Apply what came and what is due in one transaction, then answer."""
        self.now, self.monotonic = self.clock.now(), self.clock.monotonic()
        events = self._sort_events()
        due = [session for session in self._sessions.values() if timers.next_deadline(session) <= self.monotonic]
        look = self._look = self._look or self.store.changed() or self._wakes()
        stop = self._stop if self._stop != self._stopping else 0
        if not (events or due or look or stop):
            return
        failpoint.reach("result-read" if events else "timer")
        saved = {session: session.save() for session in self._sessions.values()}
        try:
            with self.store.transaction():
                self._apply(events, due, look, stop)
        except (Busy, DiskTrouble):
            if self._stop == 2:  # at once, whatever it leaves behind
                raise
            self._take_back(events, saved)
            return
        self._unsure = False
        self._stopping = stop or self._stopping
        self._inbox.clear()
        for change in self.changes if failpoint.ARMED else ():
            failpoint.reach(_place(change))
        self._answer()

    def _may_claim(self) -> bool:
        return not self._stop and len(self._sessions) < self._capacity

    def _wakes(self) -> bool:
        return self._wake_at is not None and self._wake_at <= self.now and self._may_claim()

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
        if look:  # before the events: after a request to pause or cancel no further step begins
            self._heed_requests()
        for event in events:
            session = event.executor.session
            if isinstance(session, Session) and session.phase != "over":
                self._guarded(session, _deliver, event, session)
        for session in due:
            if session.phase != "over":
                self._guarded(session, timers.elapse, session)
        if stop:
            for session in list(self._sessions.values()):
                self._guarded(session, self._stop_session, session)
        elif self._look and not self._stop:
            self._claim()

    def _guarded(self, session: Session, action: Callable[..., None], *arguments: object) -> None:
        """Do something for a session, which ends when another engine has its run now."""
        try:
            action(*arguments)
        except ClaimLost:
            stands = self.store.runs.get(session.run.id)
            # Ours still, maybe claimed anew: the commit whose answer was lost did happen.
            if self._unsure and (stands.epoch == session.claim.epoch or stands.engine_id == self._id):
                self.run_changed(stands, stands.state, stands.reason)
            else:
                self.run_changed(session.run, "fenced", "another engine took it")
                self._lost.add(session.run.id)
            closing.let_go(session, keep=False)

    def _stop_session(self, session: Session) -> None:
        if session.phase == "over":
            return
        if self._stop >= 2:
            session.ending = "pause"
            closing.interrupt(session)
        else:
            session.drain("pause", STOP_GRACE_S)

    def _heed_requests(self) -> None:
        for run_id, request in self.store.runs.requests(self._id):
            session = self._sessions.get(run_id)
            if session is not None and request == "cancel":
                self._guarded(session, closing.cancel, session, CANCEL_GRACE_S)
            elif session is not None:
                session.pause_reason = PAUSED
                self._guarded(session, session.drain, "pause", inf)
        for session in self._sessions.values():
            if session.phase != "over":
                self._guarded(session, self._check_session, session)

    def _check_session(self, session: Session) -> None:
        self.store.steps.require(session.claim)
        waits.check_children(session)

    def _claim(self) -> None:
        free = self._capacity - len(self._sessions)
        self._look = False
        for held in self.store.runs.orphans([self._id]) if self._unsure else ():
            session = self._sessions.get(held.id)
            if session is None or session.phase == "over":  # the claim whose answer was lost did happen
                self._begin_session(held)
        if free <= 0 or self._root is None:
            return
        for run_id in self.store.runs.claimable(self.now, root_id=self._root, limit=free):
            run = None if run_id in self._lost else self.store.runs.claim(run_id, self._id, self.now)
            if run is None:
                continue
            self._begin_session(run)
        self._wake_at = self.store.runs.next_wake(self.now, root_id=self._root)

    def _begin_session(self, run: Run) -> None:
        self._claimed.add(run.id)
        session = Session(self, run)
        self._sessions[run.id] = session
        self.run_changed(run, "running", None)
        self.after(partial(self.replace, session, None))

    def _take_back(self, events: list[Event], saved: dict[Session, tuple[object, ...]]) -> None:
        self._inbox = events
        self._after.clear()
        self.changes.clear()
        self._look = self._unsure = True
        self._sessions = {session.run.id: session for session in saved}
        for session, state in saved.items():
            session.restore(state)

    def _answer(self) -> None:
        """Do what had to wait for the commit: signals and processes first, then messages, then observers."""
        while self._after:
            actions, self._after = self._after, []
            for action in actions:
                action()
        for session in self._sessions.values():
            if session.outbox and session.executor is not None:
                self.supervisor.send(session.executor, session.take_messages())
        changes, self.changes = self.changes, []
        for change in changes:
            self._observer(change)

    # -- for sessions -----------------------------------------------------------------------------------------------

    def after(self, action: Callable[[], None]) -> None:
        """Do something after the commit."""
        self._after.append(action)

    def when(self, instant: int) -> float:
        """Return the monotonic second of a wall-clock instant, as far as the clocks agree now."""
        return self.monotonic + (instant - self.now) / 1000

    def look_for_runs(self) -> None:
        """Look for runs to claim in the next tick."""
        self._look = True

    def run_changed(self, run: Run, state: str, reason: str | None) -> None:
        """Queue what observers hear about a run after the commit."""
        self.changes.append(RunChanged(run.id, run.workflow, state, reason, run.parent_id))

    def child_finished(self, child: Run) -> None:
        """Wake the parent of a run that has ended."""
        assert child.parent_id is not None
        parent = self._sessions.get(child.parent_id)
        if parent is not None and parent.phase in ("running", "draining"):
            self._guarded(parent, waits.on_child, parent, self.store.runs.get(child.id))
        elif parent is None or parent.phase == "over":  # let go in this very tick, before its child ended
            self.store.runs.wake(child.parent_id, self.now)
            self.look_for_runs()

    def cancel_children(self, run_id: int) -> None:
        """Cancel the children of a run, and theirs, wherever they are."""
        for child in self.store.runs.children(run_id):
            session = self._sessions.get(child.id)
            if session is not None and session.phase != "over":
                self._guarded(session, closing.cancel, session, CANCEL_GRACE_S)
            elif self.store.runs.cancel_idle(child.id, self.now, "cancelled"):
                self.run_changed(child, "cancelled", "cancelled")
                self.cancel_children(child.id)
            else:
                self.store.runs.request(child.id, "cancel", self.now)

    def replace(self, session: Session, executor: Executor | None) -> None:
        """Give a session an executor, after killing the one it had."""
        if executor is not None:
            self._discard(executor)
        session.outbox.clear()
        run = session.run
        target = CodeTarget(run.path, run.directory, run.python, run.env_file)
        fresh = run.options.get("isolation") == "process"
        try:
            found = self.supervisor.take(target, (run.code, run.path), fresh=fresh) or self.supervisor.start(target)
        except FlowctlError as error:
            session.refuse(str(error))
        else:
            session.attach(found)

    def close_session(self, session: Session, executor: Executor | None, keep: bool) -> None:
        """Forget a session, and keep or kill its executor."""
        if self._sessions.get(session.run.id) is session:  # the run may have been claimed anew in the same tick
            del self._sessions[session.run.id]
        self._look = True
        if executor is None:
            return
        executor.session = None
        if not keep:
            self._discard(executor)

    def _discard(self, executor: Executor) -> None:
        self._output.forget(executor)
        self.supervisor.kill(executor)


def _place(change: Change) -> str:
    """Return the failpoint after the commit of a change: run-claimed, step-running, step-succeeded, run-sleeping, …"""
    if isinstance(change, LogCaptured):
        return "log"
    return f"{'step' if isinstance(change, StepChanged) else 'run'}-{change.state}"


def _deliver(event: Event, session: Session) -> None:
    if isinstance(event, Gone):
        session.on_gone(event.reason)
    elif isinstance(event, Received):
        handler = HANDLERS.get(event.message.kind)
        if handler is not None:
            handler(session, event.message)
