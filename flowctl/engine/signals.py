"""Steps that wait for signals, and steps and people who send them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from flowctl.core.errors import Conflict, FlowctlError, UsageError
from flowctl.core.model import FINAL_STATES, Run, Step
from flowctl.core.policy import error_text
from flowctl.core.schemas import misfit
from flowctl.engine import bodies
from flowctl.engine.operation import Operation, of_step, options_of
from flowctl.sdk.durations import short_text
from flowctl.sdk.wire import Message
from flowctl.store import Store

if TYPE_CHECKING:
    from flowctl.engine.engine import Engine
    from flowctl.engine.session import Session

LONGEST = 200_000  # bytes of a value, as JSON


def begin(session: Session, step: Step, fields: dict[str, Any]) -> None:
    """Wait for a signal, or send one to another run."""
    operation = of_step(step, options_of(None), "signal")
    session.operations[step.key] = operation
    session.tell(operation, "running")
    if fields.get("to_run") is not None:
        _send(session, operation, step)
    else:
        look(session, operation)


# -- waiting --------------------------------------------------------------------------------------------------------


def check(session: Session) -> None:
    """Look for signals that were sent meanwhile."""
    for operation in [each for each in session.operations.values() if each.phase == "signal"]:
        look(session, operation)


def look(session: Session, operation: Operation) -> None:
    """Take the oldest signal of the name that a step waits for, or end the wait when it has taken too long."""
    step = session.store.steps.get(session.run.id, operation.key)
    assert step is not None
    signal = session.store.signals.oldest(session.run.id, operation.name)
    if step.finished_at is not None:  # recorded by a commit whose answer was lost
        _answer(session, step)
    elif signal is not None:
        session.store.signals.take(session.claim, signal, step.key, session.engine.now)
        wrong = _wrong(step.input, signal.value)
        if wrong is None:
            bodies.succeed(session, operation, signal.value)
            session.outbox.append(Message("outcome", {"key": step.key, "state": "succeeded"}, signal.value))
        else:
            bodies.fail(session, operation, error_text("SignalMisfit", f"signal {step.name} does not fit: {wrong}"))
    elif step.wake_at is not None and step.wake_at <= session.engine.now:
        limit = short_text(json.loads(step.input).get("timeout_ms", 0))
        bodies.fail(session, operation, error_text("SignalTimeout", f"no signal {step.name} came within {limit}"))


def _answer(session: Session, step: Step) -> None:
    del session.operations[step.key]
    payload = step.output if step.state == "succeeded" else step.error
    session.outbox.append(Message("outcome", {"key": step.key, "state": step.state}, payload))


def _wrong(asked: str, value: str) -> str | None:
    """Return how a value does not fit what a step waits for, None when it does."""
    return misfit(json.loads(asked).get("type", {}), json.loads(value))


# -- sending --------------------------------------------------------------------------------------------------------


def _send(session: Session, operation: Operation, step: Step) -> None:
    """Send a signal in the transaction that records the step which sends it."""
    if step.finished_at is not None:  # by a commit whose answer was lost
        _answer(session, step)
        return
    asked = json.loads(step.input)
    value = json.dumps(asked["value"], ensure_ascii=False)
    try:
        target = session.store.runs.get(asked["run"], session.run.namespace)
        send(session.store, target, asked["signal"], value, sender=f"run {session.run.id}", now=session.engine.now)
    except FlowctlError as error:
        bodies.fail(session, operation, error_text(type(error).__name__, error.message))
        return
    bodies.succeed(session, operation, "null")
    session.outbox.append(Message("outcome", {"key": step.key, "state": "succeeded"}, "null"))
    _tell(session.engine, target.id)


def _tell(engine: Engine, run_id: int) -> None:
    """Let a run that this engine has look for its signal now."""
    target = engine.sessions.get(run_id)
    if target is not None and target.phase in ("running", "draining"):
        engine.guarded(target, check, target)
    engine.look_for_runs()


def send(store: Store, run: Run, name: str, value: str, *, sender: str, now: int) -> int:
    """Record a signal, and let the run go on if it waits for it. Belongs into a transaction. Returns its number.

    Raises Conflict for a run that has ended, UsageError for a value that does not fit what a step waits for.
    """
    if run.state in FINAL_STATES:
        raise Conflict(f"run {run.id} is {run.state}: it takes no signal", f"flowctl show {run.id}")
    if len(value.encode()) > LONGEST:
        raise UsageError(
            f"the value of signal {name} is longer than {LONGEST // 1000} kB", "put it into a file and send its path"
        )
    waiting = store.signals.waiting(run.id, name)
    wrong = None if waiting is None else _wrong(waiting[1], value)
    if wrong is not None:
        raise UsageError(f"run {run.id} waits for another value of signal {name}: {wrong}", f"flowctl why {run.id}")
    number = store.signals.send(run.id, name, value, sender, now)
    if waiting is not None:
        store.runs.wake(run.id, now)
    return number
