"""What the view of a run asks of the file."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from flowctl.cli.references import find_step, set_aside
from flowctl.cli.words import Reasons
from flowctl.core.errors import NotFound
from flowctl.core.listing import RunLine, StepLine
from flowctl.core.model import Attempt, Event, Run, Snapshot, Step
from flowctl.store import Store
from flowctl.tui.run_tree import RunSteps

_SETTLED = frozenset({"succeeded", "cancelled"})  # nothing of them changes, unless a retry changes their state


class SeenRun(NamedTuple):
    """A run, why it is in its state, and the steps of it and of those child runs that are unfolded."""

    line: RunLine
    run: Run
    reason: str | None
    gone: bool  # its engine is dead
    awaited: Sequence[str]  # signals that it waits for
    known: Mapping[int, RunSteps]


class Detail(NamedTuple):
    """A step, or a run where there is none, with what its tabs tell."""

    run: Run
    step: Step | None
    attempts: Sequence[Attempt]
    events: Sequence[Event]
    snapshot: Snapshot | None


def read_run(store: Store, number: int, wanted: Collection[int], before: SeenRun | None) -> SeenRun:
    """Return what there is to see of a run; what cannot have changed since `before` is not read again.

    Raises NotFound when it is not there, or not any more.
    """
    line = store.runs.lines([number]).get(number)
    if line is None:
        raise NotFound(f"run {number} is not there, or not any more: it was pruned", "flowctl ls")
    if before is not None and line == before.line and line.state in _SETTLED and before.known.keys() >= set(wanted):
        return before
    run = store.runs.get(number)
    reasons = Reasons(store)
    gone = run.engine_id is not None and reasons.gone(run.engine_id) is not None
    same = before is not None and run.state == "running" and before.run.epoch == run.epoch
    known = {each: _steps_of(store, each) for each in wanted if each != number}
    known[number] = _steps_of(store, number, before.known[number].steps if before is not None and same else ())
    if run.state == "blocked":
        known[number] = _with_set_aside(store, run, known[number])
    return SeenRun(line, run, reasons.of(run), gone, store.signals.awaited(number), known)


def read_detail(store: Store, number: int, key: str, *, code: bool) -> Detail:
    """Return a step of a run, or the run itself for no key; with its code if asked. Raises NotFound."""
    run = store.runs.get(number)
    step = find_step(store, run, key) if key else None
    attempts = store.steps.attempts(number, step.key) if step is not None else []
    events = store.events.of_run(number) if step is None else []
    return Detail(run, step, attempts, events, store.snapshots.get(run.code) if code else None)


def _steps_of(store: Store, number: int, before: Sequence[StepLine] = ()) -> RunSteps:
    """Return the steps of a run; those of before up to the first that had no outcome stay as they were."""
    kept = next((at for at, step in enumerate(before) if step.finished_at is None), len(before))
    steps = [*before[:kept], *store.steps.lines(number, after_seq=before[kept - 1].seq if kept else 0)]
    attempts = store.steps.attempt_lines(number)
    by_key = {key: list(found) for key, found in groupby(attempts, key=lambda each: each.key)}
    return RunSteps(steps, by_key, store.steps.children(number))


def _with_set_aside(store: Store, run: Run, known: RunSteps) -> RunSteps:
    aside = [
        StepLine(
            each.seq, each.key, each.name, each.kind, each.state, each.attempt, each.wake_at, each.begun_at,
            each.started_at, each.finished_at, each.shared_id is not None, each.said_by, each.progress,
        )
        for each in set_aside(store, run)
    ]  # fmt: skip
    return known._replace(steps=sorted([*known.steps, *aside], key=lambda each: each.seq))
