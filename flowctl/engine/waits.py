"""Steps that wait without running anything: sleeps and child runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowctl.core.model import FINAL_STATES, Run, Step
from flowctl.core.policy import error_text
from flowctl.engine import bodies, families
from flowctl.engine.operation import Operation, of_step, options_of
from flowctl.sdk.wire import Message

if TYPE_CHECKING:
    from flowctl.engine.session import Session


def begin_sleep(session: Session, step: Step) -> None:
    """Wait until the recorded instant."""
    operation = of_step(step, options_of(None), "sleep")
    session.operations[step.key] = operation
    session.tell(operation, "running")
    if (step.wake_at or 0) <= session.engine.now:
        end_wait(session, operation, "null")


def end_wait(session: Session, operation: Operation, output: str) -> None:
    """Record the end of a wait and let the executor go on."""
    bodies.succeed(session, operation, output)
    session.outbox.append(Message("outcome", {"key": operation.key, "state": "succeeded"}, output))


def begin_child(session: Session, step: Step, fields: dict[str, Any]) -> None:
    """Create the child run of a step, or find it again, and wait for its end."""
    child = session.store.runs.child_of(session.run.id, step.key)
    if child is None:
        child = _create_child(session, step, fields)
    elif child.state in ("failed", "cancelled") and step.begun_at == session.engine.now:
        # The step is new, so a retry of this run asks for it. Whether the child ended before cannot be told by
        # instants: the clock may have been set back.
        session.store.runs.retry(child.id, session.engine.now, replay=session.run.replay, code=session.run.code)
        child = session.store.runs.get(child.id)
    operation = of_step(step, options_of(None), "child")._replace(child=child.id)
    session.operations[step.key] = operation
    session.tell(operation, "running")
    session.engine.look_for_runs()
    on_child(session, child)


def _create_child(session: Session, step: Step, fields: dict[str, Any]) -> Run:
    run, options = session.run, dict(fields.get("workflow_options") or {})
    new = families.started_by(run, fields, step.input, step.input_hash)._replace(
        queue=options.pop("queue", run.queue),
        priority=options.pop("priority", run.priority),
        tags=options.pop("tags", {}),
        options=options,
        parent_id=run.id,
        parent_step=step.key,
    )
    number, _ = session.store.runs.create(new, session.engine.now)
    return session.store.runs.get(number)


def on_child(session: Session, child: Run) -> None:
    """Answer the step that waits for this child, when the child has ended."""
    operation = session.operations.get(child.parent_step or "")
    if operation is None or operation.child != child.id or child.state not in FINAL_STATES:
        return
    if child.state == "succeeded":
        end_wait(session, operation, child.output or "null")
    else:
        bodies.fail(session, operation, child.error or error_text("ChildCancelled", f"run {child.id} was cancelled"))


def check_children(session: Session) -> None:
    """Look for children that ended in another engine."""
    for operation in [operation for operation in session.operations.values() if operation.child is not None]:
        assert operation.child is not None
        on_child(session, session.store.runs.get(operation.child))


def children_are_held_up(session: Session) -> bool:
    """Tell whether a run waits for children of which none has begun: they may need the place that it takes up."""
    children = [operation.child for operation in session.operations.values() if operation.child is not None]
    begun = session.engine.sessions  # one that is begun ahead of its claim is still queued
    return bool(children) and all(
        child not in begun and session.store.runs.get(child).state == "queued" for child in children
    )
