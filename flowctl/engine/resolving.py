"""What a person says about a step that a run is blocked by: its outcome, or that it is to run again.

A recorded outcome is never changed: one that a person replaces is set aside, and theirs is added with their name.
"""

from __future__ import annotations

from typing import NamedTuple

from flowctl.core import failpoint
from flowctl.core.errors import Conflict
from flowctl.core.model import Replay, Run, Said, Snapshot, Step
from flowctl.core.policy import unknown_outcome
from flowctl.engine.recovery import recover_store
from flowctl.store import Store


class Resolution(NamedTuple):
    """What a person decides about a step, and with which code its run goes on (none: the code it has)."""

    by: str
    said: Said | None  # None: the step runs again
    replay: Replay
    snapshot: Snapshot | None = None

    def told(self, key: str) -> str:
        """Return the line of the audit log."""
        what = "runs again" if self.said is None else "failed" if self.said.output is None else "is done"
        return f"step {key} {what}, says {self.by}"


def resolve(store: Store, run_id: int, step: Step, resolution: Resolution, now: int) -> Run:
    """Record what a person decides about a step of a blocked run, and let the run go on.

    It stays blocked while there is another step whose outcome nobody knows. Raises Conflict for a run that is not
    blocked, or a step that no person can answer for.
    """
    recover_store(store, now)
    with store.transaction():
        run = store.runs.get(run_id)
        require_blocked(run)
        store.runs.require_whole(run_id)
        from_step = _decide(store, run, step, resolution, now)
        in_doubt = [each for each in store.steps.unfinished(run_id) if _is_in_doubt(each)]
        if in_doubt:
            store.runs.block_again(run_id, unknown_outcome(in_doubt[0].key, "it was cut short"))
        else:
            _go_on(store, run_id, from_step, resolution, step.key, now)
        failpoint.reach("run-resolving")
    return store.runs.get(run_id)


def require_blocked(run: Run) -> None:
    """Raise Conflict for a run that is not blocked."""
    if run.state != "blocked":
        hint = f"flowctl fork {run.id} --from STEP --output JSON makes a run in which the step has another outcome"
        raise Conflict(f"run {run.id} is {run.state}, and only a blocked run needs a decision", hint)


def _decide(store: Store, run: Run, step: Step, resolution: Resolution, now: int) -> str | None:
    """Record the decision; return the step from which on the run is to start over, None for none."""
    current = store.steps.get(run.id, step.key)
    unfinished = current is not None and current.finished_at is None
    if resolution.said is None:
        if not unfinished:
            return step.key
        store.steps.set_aside(run.id, step.key, now)
    elif current is not None and unfinished:
        if current.kind == "child":
            raise Conflict(f"step {step.key} waits for a run of its own", "flowctl ls shows it; decide about that one")
        store.steps.conclude(run.id, step.key, resolution.said, now)
    else:
        store.steps.say(run.id, current or step, resolution.said, now)
    return None


def _is_in_doubt(step: Step) -> bool:
    return step.on_crash == "block" and step.state == "interrupted"


def _go_on(store: Store, run_id: int, from_step: str | None, resolution: Resolution, key: str, now: int) -> None:
    snapshot, reason = resolution.snapshot, resolution.told(key)
    if snapshot is not None:
        store.snapshots.put(snapshot, now)
    code = snapshot.code if snapshot else None
    store.runs.retry(run_id, now, replay=resolution.replay, code=code, from_step=from_step, reason=reason)
