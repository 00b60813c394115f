"""Forks: a new run that shares the checkpoints of another before a step, and goes on from there by itself.

The source stays as it is. A fork refers to the rows of its source that hold the payloads; so a source is kept as long
as there is a fork of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flowctl.core import failpoint
from flowctl.core.errors import Conflict, UsageError
from flowctl.core.model import NewRun, Run, Said, Snapshot, Step
from flowctl.engine.commands import like
from flowctl.engine.loading import BoundInput
from flowctl.engine.recovery import recover_store
from flowctl.store import Store


@dataclass(frozen=True, slots=True)
class Fork:
    """What a fork is to be, and the person who says so."""

    by: str
    step: Step | None = None  # of the source: this one and all after it run; None: all of them do
    snapshot: Snapshot | None = None  # None: the code of the source
    input: BoundInput | None = None  # None: that of the source
    outputs: Mapping[str, str] = field(
        default_factory=dict
    )  # key of a step before that one: what it is to have returned
    output: str | None = None  # answers for the step instead of running it


def fork(store: Store, run_id: int, now: int, how: Fork, followed_by: int | None = None) -> int:
    """Create a fork of a run, all of it or nothing, and return its number. Raises UsageError, NotFound or Conflict."""
    recover_store(store, now)
    if how.outputs and how.step is None:
        raise UsageError("every step of the fork runs again", "say from which one on: --from STEP")
    with store.transaction():
        source = store.runs.get(run_id)
        store.runs.require_whole(run_id)
        if how.snapshot is not None:
            store.snapshots.put(how.snapshot, now)
        number, _ = store.runs.create(_new(source, how, followed_by), now)
        if how.step is not None:
            _take_over(store, source, number, how, now)
        failpoint.reach("run-forking")
    failpoint.reach("run-forked")
    return number


def _take_over(store: Store, source: Run, number: int, how: Fork, now: int) -> None:
    assert how.step is not None
    undone = store.steps.undone_from(source.id)
    if undone is not None and undone < how.step.seq:
        raise Conflict(
            f"run {source.id} has undone what it did from its step {undone} on", "fork it from there, or from before it"
        )
    said = {key: _editable(store, source, key, how.step) for key in how.outputs}
    store.steps.share(source.id, number, how.step.seq, said)
    for key, step in said.items():
        store.steps.say(number, step, Said(how.by, how.outputs[key]), now)
    if how.output is not None:
        store.steps.say(number, how.step, Said(how.by, how.output), now)


def _editable(store: Store, source: Run, key: str, before: Step) -> Step:
    step = store.steps.get(source.id, key)
    if step is None or step.seq >= before.seq:
        raise UsageError(f"step {key} is not before {before.key}: it runs again", "--output answers for --from itself")
    return step


def _new(run: Run, how: Fork, followed_by: int | None) -> NewRun:
    """Return the record of a fork. A fork of a child is a run of its own, without parent."""
    given = BoundInput(run.input, run.input_hash) if how.input is None else how.input
    return like(run, how.snapshot)._replace(
        input=given.text,
        input_hash=given.hash,
        followed_by=followed_by,
        forked_from=run.id,
        forked_step=how.step.key if how.step else None,
        replay="newest" if how.snapshot else "pinned",
    )
