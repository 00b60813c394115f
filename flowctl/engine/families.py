"""What the end of one run means for its parent and its children, whoever has them now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowctl.engine import closing, waits

if TYPE_CHECKING:
    from flowctl.core.model import Run
    from flowctl.engine.engine import Engine

CANCEL_GRACE_S = 5.0


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
        if session is not None and session.phase != "over":
            engine.guarded(session, closing.cancel, session, CANCEL_GRACE_S)
        elif engine.store.runs.undo_idle(child.id, engine.now, closing.UNDOING):
            engine.run_changed(child, "queued", closing.UNDOING)
            engine.look_for_runs()
            cancel_children(engine, child.id)
        elif engine.store.runs.cancel_idle(child.id, engine.now, "cancelled"):
            engine.run_changed(child, "cancelled", "cancelled")
            cancel_children(engine, child.id)
        else:
            engine.store.runs.request(child.id, "cancel", engine.now)
