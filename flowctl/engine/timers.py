"""Time: what of a session is due now, and when the next thing is."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING

from flowctl.core.policy import error_text
from flowctl.engine import bodies, closing, handlers, signals, waits
from flowctl.engine.operation import Operation
from flowctl.engine.supervisor import Event, Received

if TYPE_CHECKING:
    from flowctl.engine.session import Session

HOLD_MS = 500  # a wait longer than this releases the executor
_TIMED = ("loading", "running", "draining")  # in the other phases the run is ending already
SIBLING_GRACE_S = 5.0  # what parallel steps get to finish when one of them has to be killed


def next_deadline(session: Session) -> float:
    """Return the monotonic second at which `elapse` has something to do."""
    engine = session.engine
    soonest = session.grace
    if session.ends_at is not None and session.phase in _TIMED:
        soonest = min(soonest, engine.when(session.ends_at))
    if session.phase not in ("running", "draining"):
        return soonest
    runs = False
    for operation in session.operations.values():
        if operation.phase == "body":
            runs = True
            soonest = min(soonest, operation.deadline)
        elif operation.wake_at is not None and session.ending is None:
            soonest = min(soonest, engine.when(operation.wake_at))
    if session.operations and not runs and session.phase == "running" and not _goes_on_soon(session):
        soonest = min(soonest, session.idle_since + HOLD_MS / 1000 if session.idle_since != inf else engine.monotonic)
    return soonest


def out_of_time(session: Session, events: Iterable[Event]) -> bool:
    """Tell whether what runs has to be killed now, before it can be recorded: that may have to wait for the disk.

    A body, or a run, whose end is among the events, which are not applied yet, was in time.
    """
    engine = session.engine
    if any(isinstance(event, Received) and _is_of(event, session, "ended") for event in events):
        return False
    if session.phase == "cancelling":
        return engine.monotonic >= session.grace
    if session.phase in _TIMED and session.ends_at is not None and engine.now >= session.ends_at:
        return True
    ended = {
        event.message.fields.get("key")
        for event in events
        if isinstance(event, Received) and _is_of(event, session, "done")
    }
    bodies = [each for each in session.operations.values() if each.phase == "body" and each.key not in ended]
    late = [each for each in bodies if engine.monotonic >= each.deadline]
    others = [each for each in bodies if each not in late]
    if session.astray:  # what has run too long is recorded as such already
        grace = session.grace
    elif late:
        grace = min(each.deadline for each in late) + (SIBLING_GRACE_S if others else 0)
    else:
        return False
    return engine.monotonic >= grace and not any(each.options.on_crash == "block" for each in others)


def _is_of(event: Received, session: Session, kind: str) -> bool:
    return event.executor is session.executor and event.message.kind == kind


def elapse(session: Session) -> None:
    """Do what is due now."""
    engine = session.engine
    if session.phase in _TIMED and session.ends_at is not None and engine.now >= session.ends_at:
        closing.time_out(session)
        return
    if session.phase not in ("running", "draining"):
        if engine.monotonic >= session.grace:
            closing.overdue(session)
        return
    late = [each for each in session.operations.values() if each.phase == "body" and engine.monotonic >= each.deadline]
    for operation in late:
        _attempt_timed_out(session, operation)
    if late:  # after all of them: the run may start over at once
        session.drain("restart", SIBLING_GRACE_S)
    for operation in list(session.operations.values()):
        _elapse_wait(session, operation)
    if session.phase == "draining":
        session.settle()
    else:
        _consider_suspending(session)


def _elapse_wait(session: Session, operation: Operation) -> None:
    due = operation.wake_at is not None and session.engine.now >= operation.wake_at
    if due and session.ending is None and operation.phase != "body":
        if operation.asked is not None:  # its breaker has a say in each attempt
            del session.operations[operation.key]
            handlers.on_step(session, operation.asked)
        elif operation.phase == "backoff":
            bodies.start_attempt(session, operation)
        elif operation.phase == "sleep":
            waits.end_wait(session, operation, "null")
        elif operation.phase == "signal":
            signals.look(session, operation)


def _attempt_timed_out(session: Session, operation: Operation) -> None:
    total = operation.ends_at is not None and session.engine.now >= operation.ends_at
    limit = operation.options.total_timeout_ms if total else operation.options.timeout_ms
    what = "all attempts together" if total else f"attempt {operation.attempt}"
    error = error_text("StepTimedOut", f"{what} took longer than {(limit or 0) / 1000:g} s")
    bodies.failed_attempt(session, operation, error, retryable=not total)


def _consider_suspending(session: Session) -> None:
    """Release the executor when everything waits, and not only for a moment."""
    engine = session.engine
    if not session.operations or not all(operation.waiting for operation in session.operations.values()):
        session.idle_since = inf
        return
    if session.idle_since == inf:
        session.idle_since = engine.monotonic
    if _goes_on_soon(session):
        return
    known = all(operation.wake_at is not None for operation in session.operations.values())
    if known or engine.monotonic - session.idle_since >= HOLD_MS / 1000 or waits.children_are_held_up(session):
        session.suspend()


def _goes_on_soon(session: Session) -> bool:
    """Tell whether everything waits for instants that are known, the first of them near: its executor is kept."""
    wakes = [operation.wake_at for operation in session.operations.values() if operation.wake_at is not None]
    return len(wakes) == len(session.operations) and min(wakes) - session.engine.now <= HOLD_MS
