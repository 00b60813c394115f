"""From a schedule to its runs: what they execute is the registered version of a workflow.

The daemon brings that up to date when the file is edited, once it has seen that the new version can be imported: so
an edit that does not hold breaks no schedule.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from flowctl.core.model import NewRun, Schedule, Snapshot, code_of
from flowctl.core.policy import error_text
from flowctl.engine.conditions import hold
from flowctl.sdk.codec import canonical_hash
from flowctl.store import Store

MISSING = "WorkflowMissing"


class Source(NamedTuple):
    """What the runs of a schedule execute. `missing` says why they cannot."""

    name: str
    path: str
    function: str
    snapshot: Snapshot
    options: dict[str, Any]
    python: str | None = None
    environment: str | None = None
    missing: str | None = None


def source_of(store: Store, schedule: Schedule) -> Source:
    """Return what a schedule runs now: a command, or the registered version of its workflow."""
    nothing = Snapshot(code_of("", {}), "", {})
    if schedule.workflow is None:
        return Source(schedule.name, "", "", nothing, {})
    workflow = store.workflows.find(schedule.namespace, schedule.workflow)
    if workflow is None:
        what = f"the workflow {schedule.workflow} is not registered: flowctl workflows add FILE.py"
        return Source(
            schedule.workflow,
            os.path.join(schedule.directory, f"{schedule.workflow} (not registered)"),
            "",
            nothing,
            {},
            missing=what,
        )
    missing = None
    if not os.path.isfile(workflow.path):
        missing = (
            f"the file of the workflow {workflow.name} is gone: {workflow.path}; put it back, or register another: "
            "flowctl workflows add FILE.py --replace"
        )
    return Source(
        workflow.name,
        workflow.path,
        workflow.function,
        store.snapshots.get(workflow.code),
        workflow.options,
        workflow.python,
        workflow.environment,
        missing,
    )


class Moment(NamedTuple):
    """When a run of a schedule is to begin: not before an instant, or when another run has ended."""

    due_at: int | None = None  # the slot it is for
    wake_at: int | None = None
    after: int | None = None
    heeds: bool = False  # whether its conditions count: what a person asks for begins without


def create_run(store: Store, schedule: Schedule, source: Source, now: int, moment: Moment) -> int:
    """Create a run of a schedule and return its number. One whose workflow is missing has failed at once.

    Belongs inside `store.transaction()`.
    """
    store.snapshots.put(source.snapshot, now)
    if source.missing is not None:
        number, _ = store.runs.create(_run(schedule, source, Moment(moment.due_at)), now)
        store.runs.fail_idle(number, now, error_text(MISSING, source.missing))
        return number
    number, _ = store.runs.create(_run(schedule, source, moment), now)
    return number


def _run(schedule: Schedule, source: Source, moment: Moment) -> NewRun:
    options = source.options | schedule.options
    options["when"] = [*source.options.get("when", ()), *schedule.options.get("when", ())]
    if not (moment.heeds and options["when"]):
        del options["when"]
    held_at = hold(options, schedule.window_ms)
    return NewRun(
        workflow=source.name,
        path=source.path,
        function=source.function,
        code=source.snapshot.code,
        directory=schedule.directory,
        input=schedule.input,
        input_hash=canonical_hash(schedule.input),
        namespace=schedule.namespace,
        python=schedule.python or source.python,
        env_file=schedule.env_file,
        environment=schedule.environment or source.environment,
        schedule=schedule.name,
        due_at=moment.due_at,
        wake_at=(held_at or moment.wake_at) if moment.after is None else None,  # after a run it waits for no instant
        after_id=moment.after,
    ).with_options(options)
