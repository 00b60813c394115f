"""What a person asks of the registry of workflows. The command line and the screen call these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from flowctl.core.errors import UsageError
from flowctl.core.model import NewSchedule, NewWorkflow, Snapshot, Workflow
from flowctl.core.planning import rule_of
from flowctl.core.recurrence import check
from flowctl.engine.loading import Description, LoadedFile
from flowctl.engine.schedules import apply_code
from flowctl.store import Store


class Registration(NamedTuple):
    """A workflow that is to be registered, the schedule that its code asks for, and the variables captured for it."""

    workflow: NewWorkflow
    schedule: NewSchedule | None = None
    environment: dict[str, str] | None = None


def register(
    store: Store,
    new: Sequence[Registration],
    snapshot: Snapshot,
    now: int,
    *,
    replace: bool = False,
    told: str = "registered",
) -> list[Workflow]:
    """Register workflows of one file with their schedules, all or none; the audit log tells it so.

    Raises Conflict when another file has one of the names, or a person has made a schedule of one.
    """
    with store.transaction():
        store.snapshots.put(snapshot, now)
        added = [store.workflows.add(_stored(store, each), now, replace=replace) for each in new]
        for workflow in added:
            store.events.note(f"workflow {workflow.name}", told, now)
        wanted = [each.schedule for each in new if each.schedule is not None]
        apply_code(store, wanted, [(each.namespace, each.name) for each in added], now)
        return added


def described(loaded: LoadedFile, found: Description, name: str, namespace: str) -> NewWorkflow:
    """Return the record of a workflow as its file defines it."""
    target = loaded.executor.target
    return NewWorkflow(
        name=name,
        path=loaded.path,
        function=found.function,
        parameters=found.parameters,
        options=found.options,
        doc=found.doc,
        code=loaded.snapshot.code,
        directory=target.directory,
        namespace=namespace,
        python=target.python,
    )


def _stored(store: Store, new: Registration) -> NewWorkflow:
    if new.environment is None:
        return new.workflow
    environment = store.environments.put(new.environment)
    return new.workflow._replace(environment=environment)


def code_schedule(loaded: LoadedFile, found: Description, workflow: NewWorkflow) -> NewSchedule | None:
    """Return the schedule that a workflow's code asks for, its input bound. Raises UsageError."""
    if found.schedule is None:
        return None
    fields = dict(found.schedule)
    given = fields.pop("input", None)
    try:
        bound = loaded.bind(found, {}, given)
        new = NewSchedule(
            **fields,
            name=workflow.name,
            input=bound.text,
            directory=workflow.directory,
            workflow=workflow.name,
            namespace=workflow.namespace,
            description="",
            source="code",
        )
        check(rule_of(new))
    except UsageError as error:
        raise UsageError(f"@workflow {found.name}: schedule: {error.message}", error.hint) from None
    return new


def unregister(store: Store, namespace: str, names: Sequence[str], now: int) -> None:
    """Take names out of the registry, and the schedules that their code has made. Runs that were made stay."""
    with store.transaction():
        for name in names:
            store.workflows.remove(namespace, name)
            store.events.note(f"workflow {name}", "removed", now)
        apply_code(store, [], [(namespace, name) for name in names], now)
