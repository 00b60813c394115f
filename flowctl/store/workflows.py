"""Workflows: the registry of names that runs can be started by."""

from __future__ import annotations

import json
from typing import Any

from flowctl.core.errors import Conflict
from flowctl.core.model import NewWorkflow, Workflow
from flowctl.store.connection import Connection, Row
from flowctl.store.payloads import read_column
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
        fields: dict[str, Any] = new._asdict()
        fields |= {"parameters": json.dumps(new.parameters), "options": json.dumps(new.options), "now": now}
        return _workflow(self._connection.write(SQL["add"], fields)[0])

    def find(self, namespace: str, name: str) -> Workflow | None:
        """Return the workflow with that name, or None."""
        row = self._connection.row(SQL["find"], {"namespace": namespace, "name": name})
        return None if row is None else _workflow(row)

    def list(self, namespace: str) -> _Workflows:
        """Return the workflows of a namespace by name."""
        return [_workflow(row) for row in self._connection.rows(SQL["list"], {"namespace": namespace})]

    def all(self) -> _Workflows:
        """Return the workflows of every namespace."""
        return [_workflow(row) for row in self._connection.rows(SQL["all"])]

    def keep(self, workflow: Workflow, reason: str | None) -> bool:
        """Record why this version of a workflow counts although its file holds another; None: it holds this one."""
        return bool(self._connection.change(SQL["keep"], {"id": workflow.id, "code": workflow.code, "reason": reason}))

    def remove(self, namespace: str, name: str) -> bool:
        """Take a name out of the registry; its runs stay. Returns False when it was not there."""
        return bool(self._connection.change(SQL["remove"], {"namespace": namespace, "name": name}))


def _workflow(row: Row) -> Workflow:
    fields = list(row)
    fields[5] = read_column(row[5], dict, f"parameters of workflow {row[2]}")
    fields[6] = read_column(row[6], dict, f"options of workflow {row[2]}")
    return Workflow(*fields)
