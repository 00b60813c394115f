"""A workflow: what it does and takes, where its code is, and its runs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from flowctl.cli.instants import local
from flowctl.core.errors import FlowctlError
from flowctl.core.listing import RunFilter
from flowctl.core.model import Workflow
from flowctl.core.text import safe, safe_line
from flowctl.engine.watching import differs
from flowctl.store import Store
from flowctl.tui.actions import WORKFLOW_ACTIONS
from flowctl.tui.parameters import Parameter, parameters_of
from flowctl.tui.screens.place import Place
from flowctl.tui.screens.runs import COLUMNS, run_row
from flowctl.tui.widgets.table import Key, Row, Table

_RUNS = 1_000  # that are listed; the list of runs has all


class WorkflowScreen(Place):
    """One registered workflow."""

    name_of_place = "workflows"
    actions = WORKFLOW_ACTIONS
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "app.pop_screen", "Back")]

    def __init__(self, workflow: str) -> None:
        super().__init__()
        self._of = workflow
        self._workflow: Workflow | None = None

    def compose_body(self) -> ComposeResult:
        """Yield what the workflow is, and its runs."""
        with VerticalScroll(classes="head"):
            yield Static(markup=False, classes="facts")
        yield Table(COLUMNS, self._fetch, id="runs")

    def on_mount(self) -> None:
        """Read, and let the runs have the keys."""
        self.table.focus()

    @property
    def table(self) -> Table:
        """Return the runs."""
        return self.query_one(Table)

    async def load(self) -> None:
        """Read what the workflow is, and which runs it has."""
        self._workflow, note, numbers = await self.ask(self._read)
        text = note if self._workflow is None else _facts(self._workflow, note)
        self.query_one(".facts", Static).update(text)
        self.table.show(numbers)
        self.tell(
            f"the last {_RUNS} runs"
            if len(numbers) == _RUNS
            else f"{len(numbers)} runs"
            if numbers
            else "no runs yet: n starts one"
        )

    def _read(self, store: Store) -> tuple[Workflow | None, str, list[int]]:
        namespace = self.flowctl.namespace
        workflow = store.workflows.find(namespace, self._of)
        numbers = store.runs.numbers(RunFilter(namespace=namespace, workflow=self._of, limit=_RUNS))
        note = f"there is no workflow {safe_line(self._of)} any more" if workflow is None else _note(store, workflow)
        return workflow, note, numbers

    async def _fetch(self, keys: Sequence[Key]) -> Mapping[Key, Row]:
        numbers = [cast("int", key) for key in keys]
        found = await self.ask(lambda store: store.runs.lines(numbers))
        return {number: run_row(line) for number, line in found.items()}

    def subjects(self) -> list[Workflow]:
        """Return the workflow."""
        return [] if self._workflow is None else [self._workflow]

    @on(Table.Chosen)
    def _open(self, event: Table.Chosen) -> None:
        self.flowctl.open_run(cast("int", event.key))


def _note(store: Store, workflow: Workflow) -> str:
    """Return how the code that is registered differs from the file, '' when it does not."""
    if workflow.kept_because is not None:
        return f"keeps its last good version: {workflow.kept_because}"
    if not os.path.isfile(workflow.path):
        return f"the file is gone: flowctl workflows remove {workflow.name}"
    try:
        other = differs(store.snapshots.get(workflow.code).files)
    except FlowctlError as error:
        return error.message
    return f"the file differs from what is registered: flowctl workflows add {workflow.path}" if other else ""


def _facts(workflow: Workflow, note: str) -> str:
    parameters = [_parameter_text(each) for each in parameters_of(workflow.parameters)]
    facts = {
        "workflow": workflow.name,
        "note": note,
        "does": workflow.doc.strip(),
        "options": json.dumps(workflow.options, ensure_ascii=False) if workflow.options else "",
        "code": f"{workflow.path}:{workflow.function}",
        "version": f"{workflow.code[:12]}, registered {local(workflow.added_at)}",
        "python": workflow.python or "",
        "takes": "\n".join(parameters) or "no parameters",
    }
    return "\n".join(f"{name:<9} {safe(value)}".replace("\n", f"\n{'':<10}") for name, value in facts.items() if value)


def _parameter_text(parameter: Parameter) -> str:
    default = (
        ""
        if parameter.required
        else f" = {parameter.default or 'empty'}"
        if parameter.default is not None
        else "  (may be left out)"
    )
    return f"{safe_line(parameter.name)}: {safe_line(parameter.kind)}{safe_line(default)}"
