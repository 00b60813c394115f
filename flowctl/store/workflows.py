"""Workflows: the registry of names that runs can be started by."""

from __future__ import annotations

import json

from flowctl.core.errors import Conflict
from flowctl.core.model import NewWorkflow, Workflow
from flowctl.store.connection import Connection, Row
from flowctl.store.queries import load

SQL = load("workflows")
_Workflows = list[Workflow]  # within the class `list` is the method


class Workflows:
    """The registered workflows of one file. Writes belong inside `store.transaction()`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, new: NewWorkflow, now: int, *, replace: bool = False) -> Workflow:
        """Register a workflow, or bring it up to date when the same file defines it.

        Raises Conflict when another file has the name, unless it is to be replaced.
        """
        found = self.find(new.namespace, new.name)
        if found is not None and found.path != new.path and not replace:
            raise Conflict(
                f"the workflow {new.name} is defined in {found.path} and in {new.path}",
                f"Give one another name, or first run: flowctl workflows remove {new.name}",
            )
        fields = {name: getattr(new, name) for name in NewWorkflow.__slots__}
        fields |= {"parameters": json.dumps(new.parameters), "options": json.dumps(new.options), "now": now}
        return _workflow(self._connection.write(SQL["add"], fields)[0])

    def find(self, namespace: str, name: str) -> Workflow | None:
        """Return the workflow with that name, or None."""
        row = self._connection.row(SQL["find"], {"namespace": namespace, "name": name})
        return None if row is None else _workflow(row)

    def list(self, namespace: str) -> _Workflows:
        """Return the workflows of a namespace by name."""
        return [_workflow(row) for row in self._connection.rows(SQL["list"], {"namespace": namespace})]

    def remove(self, namespace: str, name: str) -> bool:
        """Take a name out of the registry; its runs stay. Returns False when it was not there."""
        return bool(self._connection.change(SQL["remove"], {"namespace": namespace, "name": name}))


def _workflow(row: Row) -> Workflow:
    fields = list(row)
    fields[5] = json.loads(row[5])  # parameters
    fields[6] = json.loads(row[6])  # options
    return Workflow(*fields)
