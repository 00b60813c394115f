"""A run and those that it starts: what they have of it, and what the end of one means for the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flowctl.core.model import NewRun, Run, RunState
from flowctl.engine import closing, waits

if TYPE_CHECKING:
    from flowctl.engine.engine import Engine
    from flowctl.store import Store

CANCEL_GRACE_S = 5.0


def started_by(run: Run, called: Mapping[str, Any], text: str, text_hash: bytes) -> NewRun:
    """Return the record of a run that another one starts: with its code, place and environment, and in its queue.

    `called` names the workflow, and where its function is.
    """
    return NewRun(
        workflow=called["workflow"],
        path=called["path"],
        function=called["function"],
        code=run.code,
        directory=run.directory,
        input=text,
        input_hash=text_hash,
        namespace=run.namespace,
        python=run.python,
        env_file=run.env_file,
        queue=run.queue,
        priority=run.priority,
        root_id=run.root_id or run.id,
        environment=run.environment,
        followed_by=run.followed_by,
    )


def child_finished(engine: Engine, child: Run) -> None:
    """Wake the parent of a run that has ended."""
    assert child.parent_id is not None
    parent = engine.sessions.get(child.parent_id)
    if parent is not None and parent.phase in ("running", "draining"):
        engine.guarded(parent, waits.on_child, parent, engine.store.runs.get(child.id))
    elif parent is None or parent.phase == "over":  # let go in this very tick, before its child ended
        engine.store.runs.wake(child.parent_id, engine.now)
        engine.look_for_runs()


def cancel_children(engine: Engine, run_id: int) -> None:
    """Cancel the children of a run, and theirs, wherever they are."""
    for child in engine.store.runs.children(run_id):
        session = engine.sessions.get(child.id)
        if session is not None and session.has_run:
            engine.guarded(session, closing.cancel, session, CANCEL_GRACE_S)
            continue
        state = cancel_elsewhere(engine.store, child, engine.now)
        if state is not None:
            engine.run_changed(child, state, closing.UNDOING if state == "queued" else "cancelled")
            engine.look_for_runs()
            cancel_children(engine, child.id)


def cancel_elsewhere(store: Store, run: Run, now: int, *, undo: bool = True) -> RunState | None:
    """Cancel a run that no engine holds, or queue it to be undone first; ask the engine of another, and return None."""
    if undo and store.runs.undo_idle(run.id, now, closing.UNDOING):
        return "queued"
    if store.runs.cancel_idle(run.id, now, "cancelled"):
        return "cancelled"
    store.runs.request(run.id, "cancel", now)
    return None
