"""What a person asks of runs. The command line and the screen call these, and nothing else writes for them.

Each opens its own transaction and does what is right for the run's state: an idle run changes at once, a run of a
live engine is asked to, and a run whose engine is dead is freed first.
"""

from __future__ import annotations

from flowctl.core import failpoint
from flowctl.core.errors import Conflict
from flowctl.core.model import FINAL_STATES, NewRun, Replay, Request, Run, Snapshot
from flowctl.engine import recovery, signals
from flowctl.engine.recovery import cancel_all, recover_store, with_children
from flowctl.engine.session import PAUSED
from flowctl.store import Store


def submit(store: Store, new: NewRun, snapshot: Snapshot, now: int) -> tuple[int, bool]:
    """Create a run, durably, and return its number and whether it is new: a key may name one that exists."""
    with store.transaction():
        store.snapshots.put(snapshot, now)
        number = store.runs.create(new, now)
    failpoint.reach("run-created")
    return number


def reserve(store: Store, run_id: int, engine_id: int, now: int) -> None:
    """Take a run and its family for the engine in which a person watches it. Raises Conflict when another has them."""
    recover_store(store, now)
    with store.transaction():
        run = store.runs.get(run_id)
        store.runs.follow(run.root_id or run.id, engine_id, now)
        holder = store.runs.get(run_id).followed_by
        if holder != engine_id:
            engine = store.engines.get(holder or 0)
            by = f" by process {engine.pid}" if engine is not None else ""
            hint = f"flowctl logs {run_id} -f; if it is stuck: flowctl resume {run_id} --steal"
            raise Conflict(f"run {run_id} is being worked on already{by}", hint)


def cancel(store: Store, run_id: int, now: int) -> Run:
    """Cancel a run and its children. A finished run stays as it is."""
    recover_store(store, now)
    with store.transaction():
        cancel_all(store, with_children(store, run_id), now)
        _note_request(store, run_id, "cancel", now)
    return store.runs.get(run_id)


def pause(store: Store, run_id: int, now: int, reason: str | None = None) -> Run:
    """Pause a run and its children: steps that run are finished, nothing new begins."""
    recover_store(store, now)
    with store.transaction():
        for run in with_children(store, run_id):
            if run.id == run_id and run.state in FINAL_STATES | {"blocked"}:
                raise Conflict(f"run {run_id} is {run.state} and cannot be paused", f"flowctl show {run_id}")
            if not store.runs.pause_idle(run.id, now, reason or PAUSED):
                store.runs.request(run.id, "pause", now)
        _note_request(store, run_id, "pause", now)
    return store.runs.get(run_id)


def _note_request(store: Store, run_id: int, request: Request, now: int) -> None:
    """Write down who has asked, where the run changes its state only later, and by its engine."""
    if store.runs.get(run_id).request == request:
        store.events.note(f"run {run_id}", f"asked to {request}", now)


def resume(store: Store, run_id: int, now: int) -> Run:
    """Let a paused run and its children go on, or one that is held; free a run whose engine is dead.

    A run that goes on by itself stays.
    """
    recover_store(store, now)
    with store.transaction():
        family = with_children(store, run_id)
        if family[0].state in FINAL_STATES | {"blocked"}:
            state = family[0].state
            hint = f"flowctl retry {run_id}" if state != "succeeded" else f"flowctl rerun {run_id}"
            raise Conflict(f"run {run_id} is {state} and cannot be resumed", hint)
        for run in family:
            store.runs.resume(run.id, now)
            store.holds.release(run.id)
    return store.runs.get(run_id)


def steal(store: Store, run_id: int, now: int) -> Run:
    """Take a run and its children from engines that are alive but stuck, so that they can go on elsewhere."""
    recover_store(store, now)
    for run in with_children(store, run_id):
        recovery.steal(store, run, now)
    return store.runs.get(run_id)


def signal(store: Store, run_id: int, now: int, *, name: str, value: str, sender: str) -> int:
    """Send a signal to a run and return its number. Raises Conflict and UsageError."""
    with store.transaction():
        return signals.send(store, store.runs.get(run_id), name, value, sender=sender, now=now)


def retry(
    store: Store,
    run_id: int,
    now: int,
    *,
    replay: Replay,
    snapshot: Snapshot | None = None,
    from_step: str | None = None,
) -> Run:
    """Let a failed, cancelled or blocked run go on, with that code (none: the code it has), reusing its checkpoints."""
    recover_store(store, now)
    with store.transaction():
        if snapshot is not None:
            store.snapshots.put(snapshot, now)
        store.runs.retry(run_id, now, replay=replay, code=snapshot.code if snapshot else None, from_step=from_step)
    return store.runs.get(run_id)


def drop(store: Store, run_id: int, now: int) -> Run:
    """Mark a failure as dealt with: nobody is told of it any more. Raises Conflict for a run that has not failed."""
    with store.transaction():
        run = store.runs.get(run_id)
        if run.state != "failed":
            raise Conflict(f"run {run_id} is {run.state}: only a failed run can be dropped", f"flowctl show {run_id}")
        if store.runs.drop(run_id, now):
            store.events.note(f"run {run_id}", "dropped", now)
    return store.runs.get(run_id)


def rerun(store: Store, run_id: int, now: int, snapshot: Snapshot | None = None, followed_by: int | None = None) -> int:
    """Create a run of the same workflow with the same input, with that code (none: the code of the old one)."""
    run = store.runs.get(run_id)
    new = like(run, snapshot)._replace(rerun_of=run.id, followed_by=followed_by)
    with store.transaction():
        if snapshot is not None:
            store.snapshots.put(snapshot, now)
        number, _ = store.runs.create(new, now)
    return number


def like(run: Run, snapshot: Snapshot | None = None) -> NewRun:
    """Return the record of a run of the same workflow with the same input, with that code (none: the code it has)."""
    return NewRun(
        workflow=run.workflow,
        path=run.path,
        function=run.function,
        code=snapshot.code if snapshot else run.code,
        directory=run.directory,
        input=run.input,
        input_hash=run.input_hash,
        due_at=run.due_at,
        namespace=run.namespace,
        options=run.options,
        python=run.python,
        env_file=run.env_file,
        queue=run.queue,
        priority=run.priority,
        tags=run.tags,
        environment=run.environment,
    )
