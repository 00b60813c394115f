"""How a session ends: the run finishes, waits, is parked for a person, or starts over in another executor."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any

from flowctl.core.errors import ClaimLost
from flowctl.core.model import FINAL_STATES, NewRun, Run, RunState
from flowctl.core.policy import RUN_BACKOFF, backoff, error_text, summary, unknown_outcome
from flowctl.engine import bodies, breakers, families, offers
from flowctl.engine.mismatches import mismatch_reason
from flowctl.sdk.codec import canonical_hash

if TYPE_CHECKING:
    from flowctl.engine.session import Session
    from flowctl.sdk.wire import Message

UNDOING = "cancelled: what it has done is being undone"


def ended(session: Session, message: Message) -> None:
    """Record what the executor says of the workflow function's end, and free or replace the executor."""
    if session.astray and session.phase != "cancelling":
        interrupt(session)
        return
    state = message.fields["state"]
    clean = state in ("succeeded", "suspended") and not message.fields.get("leftovers")
    if session.run.options.get("isolation") == "process" or session.phase == "cancelling":
        clean = False  # one that was told to end may not be given another run
    if session.phase == "suspending" and state != "suspended":
        clean = False  # the run that it may have been offered would take the word to suspend for its own
    if session.phase == "cancelling" and (session.astray or state != "succeeded"):
        state = "cancelled"
    if state == "suspended" and session.phase != "suspending":
        raise ValueError("nobody has asked it to wait")
    if state == "succeeded" and session.operations:
        raise ValueError(f"step {next(iter(session.operations))} has no outcome")
    _ENDED[state](session, message)
    let_go(session, keep=clean)


def _succeeded(session: Session, message: Message) -> None:
    finish(session, "succeeded", output=message.payload)


def _failed(session: Session, message: Message) -> None:
    assert message.payload is not None
    fail(session, session.verdict or message.payload, message.fields.get("failed_steps", []))


def _cancelled(session: Session, message: Message) -> None:
    cancelled(session)


def _suspended(session: Session, message: Message) -> None:
    """Release the run to wait without a process, unless what it waits for has come meanwhile."""
    operations = session.operations.values()
    wakes = [operation.wake_at for operation in operations if operation.wake_at is not None]
    children = [session.store.runs.get(operation.child) for operation in operations if operation.child is not None]
    awaited = [f"signal {operation.name}" for operation in operations if operation.phase == "signal"]
    if session.ending == "pause":
        _put_back(session)
    elif not operations or any(child.state in FINAL_STATES for child in children):
        release(session, "queued")
    else:
        if session.ends_at is not None:
            wakes.append(session.ends_at)
        awaited += [f"run {child.id}" for child in children]
        reasons = [f"for {', '.join(awaited)}"] if awaited else []
        reasons += breakers.leave_waiting(session)
        state: RunState = "waiting" if reasons else "sleeping"
        release(session, state, wake_at=min(wakes, default=None), reason="; ".join(reasons) or None)


def _mismatch(session: Session, message: Message) -> None:
    recorded = session.store.steps.get(session.run.id, message.fields["expected"])
    reason = mismatch_reason(message.fields, message.payload, recorded.input if recorded else None)
    session.store.runs.take_back_code(session.claim, session.engine.now)
    block(session, reason)


_ENDED: dict[str, Callable[[Session, Message], None]] = {
    "succeeded": _succeeded,
    "failed": _failed,
    "cancelled": _cancelled,
    "suspended": _suspended,
    "mismatch": _mismatch,
}


# -- final states ---------------------------------------------------------------------------------------------------


def finish(session: Session, state: RunState, **outcome: Any) -> None:
    """Record the run's final state and tell the run that waits for it."""
    engine, run = session.engine, session.run
    try:
        session.store.runs.finish(session.claim, engine.now, state, **outcome)
    except ClaimLost:  # or is it that our own commit did happen, and only its answer was lost
        stands = session.store.runs.get(run.id)
        if stands.epoch != session.claim.epoch or stands.state != state:
            raise
    engine.run_changed(run, state, outcome.get("reason"))
    if run.parent_id is not None:
        families.child_finished(engine, run)


def fail(session: Session, error: str, failed_steps: list[str]) -> None:
    """Fail the run, or begin its next attempt when it has one left; start its `on_failure` workflow when not."""
    run, now = session.run, session.engine.now
    session.store.steps.cancel(session.claim, now)
    if _is_tried_again(session, error):
        session.store.runs.finish(
            session.claim, now, "failed", error=error, failed_steps=failed_steps, reason=summary(error)
        )
        wake_at = now + backoff(RUN_BACKOFF, run.attempt, session.engine.clock.fraction())
        session.store.runs.retry(run.id, now, replay="pinned", wake_at=wake_at)
        session.engine.run_changed(run, "queued", f"attempt {run.attempt} failed: {summary(error)}")
        session.engine.look_for_runs()
        return
    families.cancel_children(session.engine, run.id)
    finish(session, "failed", error=error, failed_steps=failed_steps, reason=summary(error))
    if "on_failure" in run.options:
        session.store.runs.create(failure_handler(run, error), session.engine.now)
        session.engine.look_for_runs()


def _is_tried_again(session: Session, error: str) -> bool:
    given_up = json.loads(error).get("type") in ("RunTimedOut", "GiveUp") or session.undoing
    return not given_up and session.run.attempt < session.run.options.get("attempts", 1)


def failure_handler(run: Run, error: str) -> NewRun:
    """Return the run of the `on_failure` workflow of a run that has failed with that error."""
    handler = run.options["on_failure"]
    failure = {"run": run.id, "workflow": run.workflow, "error": json.loads(error)}
    text = json.dumps({handler["parameter"]: failure}, ensure_ascii=False)
    return families.started_by(run, handler, text, canonical_hash(text))._replace(tags=run.tags, handles=run.id)


def time_out(session: Session) -> None:
    """Fail a run that has taken longer than its timeout, and kill what it runs."""
    limit = session.run.options["timeout_ms"] / 1000
    _undo_and_fail(session, error_text("RunTimedOut", f"the run took longer than {limit:g} s"))


def judge(session: Session, error: str) -> None:
    """Keep the error with which the run fails when it is undone: another engine may have to know it."""
    session.verdict = session.verdict or error
    session.store.runs.judge(session.claim, session.engine.now, session.verdict)


def _undo_and_fail(session: Session, error: str) -> None:
    """Fail a run whose executor cannot undo what it has done: another one does so before."""
    error = session.verdict or error
    undoable = not session.undoing and session.store.steps.undoable(session.run.id)
    if undoable and not _is_tried_again(session, error):
        families.cancel_children(session.engine, session.run.id)
        session.store.steps.interrupt(session.claim, session.engine.now)
        judge(session, error)
        restart(session)
    else:
        fail(session, error, [])
        let_go(session, keep=False)


def cancel(session: Session, grace_s: float) -> None:
    """Ask the run's processes to end; kill them when the grace is over."""
    if session.phase == "cancelling" or session.undoing:
        return
    families.cancel_children(session.engine, session.run.id)
    executor = session.executor
    session.phase, session.ending = "cancelling", "cancel"
    session.grace = session.engine.monotonic + grace_s
    if executor is not None:
        session.engine.after(lambda: session.engine.supervisor.terminate(executor))


def cancelled(session: Session) -> None:
    """Record that the run was cancelled, or let it undo first what it has done."""
    if not session.undoing and session.store.steps.undoable(session.run.id):
        session.store.steps.interrupt(session.claim, session.engine.now)
        session.store.runs.request(session.run.id, "cancel", session.engine.now)
        release(session, "queued", reason=UNDOING)
        return
    if session.verdict is not None:
        fail(session, session.verdict, [])
        return
    session.store.steps.cancel(session.claim, session.engine.now)
    finish(session, "cancelled", reason="cancelled")


# -- not final ------------------------------------------------------------------------------------------------------


def release(session: Session, state: RunState, *, reason: str | None = None, wake_at: int | None = None) -> None:
    """Give the claim back."""
    engine = session.engine
    if state in ("queued", "sleeping", "waiting") and session.store.runs.get(session.run.id).request == "pause":
        state, reason, wake_at = "paused", session.pause_reason, None  # asked while the run was letting go
    session.store.runs.release(session.claim, engine.now, state, reason=reason, wake_at=wake_at)
    engine.run_changed(session.run, state, reason)
    engine.look_for_runs()


def block(session: Session, reason: str) -> None:
    """Park the run for a person, with the reason."""
    session.store.steps.interrupt(session.claim, session.engine.now)
    release(session, "blocked", reason=reason)
    let_go(session, keep=False)


def interrupt(session: Session) -> None:
    """Kill the executor with what still runs in it, then start over, pause, or ask a person about unknown outcomes."""
    unknown = _unknown_outcome(session)
    if unknown is not None:
        block(session, unknown)
        return
    session.store.steps.interrupt(session.claim, session.engine.now)
    if session.ending in ("pause", "leave"):
        _put_back(session)
        let_go(session, keep=False)
    else:
        restart(session)


def _put_back(session: Session) -> None:
    """Release a run that was stopped: to a person who paused it, or to the next engine."""
    if session.undoing:  # it is over already: nobody may resume it as if it were not
        release(session, "queued", reason=UNDOING)
    elif session.ending == "pause":
        release(session, "paused", reason=session.pause_reason)
    else:
        release(session, "queued")


def _unknown_outcome(session: Session) -> str | None:
    for operation in session.operations.values():
        if operation.phase == "body" and operation.options.on_crash == "block":
            return unknown_outcome(operation.key, "it was killed")
    return None


def restart(session: Session) -> None:
    """Go on in a fresh executor, under the same claim."""
    session.operations.clear()
    session.undoing = session.undoing or session.verdict is not None  # it may not come to another end than that
    session.ending, session.astray = None, False
    session.grace = session.idle_since = inf
    executor, session.executor = session.executor, None
    session.phase = "loading"
    session.engine.after(lambda: session.engine.replace(session, executor))


def overdue(session: Session) -> None:
    """End a phase that has taken too long."""
    if session.phase == "ahead":
        offers.take_up(session)
    elif session.phase == "loading":
        block(session, session.refusal)
    elif session.phase == "cancelling":
        cancelled(session)
        let_go(session, keep=False)
    else:
        _forced_suspension(session)


def _forced_suspension(session: Session) -> None:
    """Kill an executor that does not unwind. Nothing ran in it, so nothing is lost."""
    error = error_text(
        "SuspensionSwallowed", "the workflow did not unwind when it was suspended: a loop or a wait ignores it"
    )
    if session.ending in ("pause", "leave"):
        _put_back(session)
    else:
        fail(session, error, [])
    let_go(session, keep=False)


def let_go(session: Session, *, keep: bool) -> None:
    """Part from the executor, and end the session."""
    session.phase = "over"
    executor, session.executor = session.executor, None
    session.outbox.clear()
    if executor is not None:
        executor.quick = session.engine.monotonic - executor.began_at < offers.QUICK_S
        keep = keep and offers.accept(session.engine, executor)
    session.engine.after(lambda: session.engine.close_session(session, executor, keep))


# -- the executor died ----------------------------------------------------------------------------------------------


def gone(session: Session, reason: str) -> None:
    """Decide what the unexpected death of the executor means for the run."""
    if session.phase == "ahead":
        offers.begin_again(session)
    elif session.phase == "cancelling":
        cancelled(session)
        let_go(session, keep=False)
    elif session.phase == "loading":
        block(session, f"its code cannot be imported: the executor {reason}")
    elif session.phase in ("draining", "suspending"):
        session.ending = session.ending or "restart"
        interrupt(session)
    else:
        _died(session, reason)


def _died(session: Session, reason: str) -> None:
    running = [operation for operation in session.operations.values() if operation.phase == "body"]
    if _unknown_outcome(session):
        interrupt(session)
    elif not running or (session.serial and len(running) > 1):
        _undo_and_fail(session, error_text("ExecutorDied", f"the workflow function {reason}"))
    elif len(running) == 1:
        bodies.failed_attempt(session, running[0], error_text("ExecutorDied", f"the step {reason}"))
        restart(session)
    else:
        session.serial = True  # so that the guilty one is alone when it happens again
        interrupt(session)
