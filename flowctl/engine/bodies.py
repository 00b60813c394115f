"""Steps that run user code: their attempts, and what becomes of each."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING

from flowctl.core import failpoint
from flowctl.core.errors import Conflict
from flowctl.core.model import Step
from flowctl.core.policy import next_delay
from flowctl.core.progress import Progress
from flowctl.engine import breakers
from flowctl.engine.observer import StepProgressed
from flowctl.engine.operation import Operation, body_deadline, runs_unasked
from flowctl.sdk.wire import Message

if TYPE_CHECKING:
    from flowctl.engine.session import Session


def begin_body(session: Session, step: Step, operation: Operation) -> None:
    """Start the body of a step that has just been asked for, or wait for the end of its backoff."""
    if runs_unasked(operation.kind, operation.options) and step.state != "interrupted":
        _run_body(session, operation._replace(failures=0, wake_at=None))  # a lost commit may have left it a backoff
    elif step.wake_at is not None and step.wake_at > session.engine.now:
        session.operations[step.key] = operation._replace(phase="backoff")
    elif session.ending is not None and step.kind != "value":
        session.operations[step.key] = operation
    elif step.state == "interrupted" or step.wake_at is not None:
        start_attempt(session, operation)
    else:
        _run_body(session, operation)


def start_attempt(session: Session, operation: Operation) -> None:
    """Begin another attempt of a step whose body ran before."""
    now = session.engine.now
    try:
        attempt = session.store.steps.start_attempt(session.claim, operation.key, now)
    except Conflict:  # it was started by a commit whose answer was lost
        attempt = operation.attempt + 1
    _run_body(session, operation._replace(attempt=attempt, started_at=now, wake_at=None))


def _run_body(session: Session, operation: Operation) -> None:
    if operation.refusal is not None:  # its breaker is open
        session.operations[operation.key] = operation
        _record_failure(session, operation._replace(refusal=None), operation.refusal, retryable=True)
        return
    deadline = body_deadline(operation, session.engine.now, session.engine.monotonic)
    session.operations[operation.key] = operation._replace(phase="body", deadline=deadline)
    if operation.failures or not runs_unasked(operation.kind, operation.options):
        fields = {"key": operation.key, "attempt": operation.attempt}
        known = {} if operation.external_id is None else {"external_id": operation.external_id}
        session.outbox.append(Message("go", fields | known))
    session.tell(operation, "running")


def on_progress(session: Session, message: Message) -> None:
    """Record how far a body is."""
    fields = message.fields
    operation = session.operations.get(fields["key"])
    if operation is None or operation.phase != "body" or operation.attempt != fields["attempt"]:
        return
    said = Progress(fields["done"], fields.get("total"), fields.get("text") or "")
    session.store.steps.set_progress(session.claim, operation.key, said.text_form, session.engine.now)
    session.engine.changes.append(StepProgressed(session.run.id, operation.key, said))


def on_external_id(session: Session, message: Message) -> None:
    """Record what a body has begun elsewhere; the body goes on once that is on disk."""
    fields = message.fields
    operation = session.operations.get(fields["key"])
    runs = operation is not None and operation.phase == "body" and operation.attempt == fields["attempt"]
    if operation is not None and runs:
        text = fields["external_id"]
        session.store.steps.set_external_id(session.claim, operation.key, text, session.engine.now)
        session.operations[operation.key] = operation._replace(external_id=text)
    session.outbox.append(Message("kept", {"name": fields["key"], "value": runs}))


def on_done(session: Session, message: Message) -> None:
    """Record how a body ended."""
    operation = session.operations.get(message.fields["key"])
    if operation is None or operation.phase != "body" or message.payload is None:
        return  # of an attempt that timed out meanwhile
    failpoint.reach(f"done-{operation.key}")
    if message.fields["state"] == "succeeded":
        succeed(session, operation, message.payload)
    elif session.phase != "cancelling":
        _attempt_failed(session, operation, message)
    if session.phase == "draining":
        session.settle()


def succeed(session: Session, operation: Operation, output: str) -> None:
    """Record the output of a step."""
    del session.operations[operation.key]
    _recorded(session, lambda: session.store.steps.succeed(session.claim, operation.key, output, session.engine.now))
    session.tell(operation, "succeeded")
    breakers.succeeded(session, operation)


def fail(session: Session, operation: Operation, error: str) -> None:
    """Record that a step has failed for good, and tell the executor."""
    del session.operations[operation.key]
    _recorded(session, lambda: session.store.steps.fail(session.claim, operation.key, error, session.engine.now))
    session.outbox.append(Message("outcome", {"key": operation.key, "state": "failed"}, error))
    session.tell(operation, "failed", error)


def _recorded(session: Session, record: Callable[[], None]) -> None:
    """Record how a body ended, or accept what stands: a commit whose answer was lost did happen."""
    with suppress(Conflict):
        record()


def _attempt_failed(session: Session, operation: Operation, message: Message) -> None:
    assert message.payload is not None
    retryable = bool(message.fields.get("retry", True))
    failed_attempt(session, operation, message.payload, retryable, message.fields.get("retry_after_ms"))


def failed_attempt(
    session: Session, operation: Operation, error: str, retryable: bool = True, retry_after_ms: int | None = None
) -> None:
    """Record a failed attempt and decide whether another follows."""
    _record_failure(session, operation, error, retryable=retryable, retry_after_ms=retry_after_ms)
    breakers.failed(session, operation)


def _record_failure(
    session: Session, operation: Operation, error: str, *, retryable: bool, retry_after_ms: int | None = None
) -> None:
    now, failures = session.engine.now, operation.failures + 1
    delay = (
        next_delay(operation.options, failures, session.engine.clock.fraction(), retry_after_ms) if retryable else None
    )
    if delay is not None and operation.ends_at is not None and now + delay >= operation.ends_at:
        delay = None
    if delay is None:
        fail(session, operation, error)
        return
    wake_at = now + delay
    _recorded(session, lambda: session.store.steps.fail_attempt(session.claim, operation.key, error, wake_at, now))
    waiting = operation._replace(phase="backoff", failures=failures, wake_at=wake_at, deadline=inf)
    session.operations[operation.key] = waiting
    session.tell(waiting, "running", error)
