"""What a person asks of the registry of workflows. The command line and the screen call these."""

from __future__ import annotations

from collections.abc import Sequence

from flowctl.core.model import NewWorkflow, Snapshot, Workflow
from flowctl.store import Store


def register(
    store: Store, new: Sequence[NewWorkflow], snapshot: Snapshot, now: int, *, replace: bool = False
) -> list[Workflow]:
    """Register workflows of one file, all or none. Raises Conflict when another file has one of the names."""
    with store.transaction():
        store.snapshots.put(snapshot, now)
        return [store.workflows.add(each, now, replace=replace) for each in new]


def unregister(store: Store, namespace: str, names: Sequence[str]) -> None:
    """Take names out of the registry. Runs that were made stay."""
    with store.transaction():
        for name in names:
            store.workflows.remove(namespace, name)
