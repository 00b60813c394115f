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
from flowctl.tui import outside
from flowctl.tui.actions import WORKFLOW_ACTIONS
from flowctl.tui.code import Source, source_of
from flowctl.tui.columns import Row
from flowctl.tui.parameters import Parameter, parameters_of
from flowctl.tui.run_rows import COLUMNS, run_row
from flowctl.tui.run_words import code_lines, code_title
from flowctl.tui.screens.list_place import ListPlace
from flowctl.tui.widgets.lines import Lines
from flowctl.tui.widgets.table import Key, Table

_RUNS = 1_000  # that are listed; the list of runs has all


class WorkflowScreen(ListPlace):
    """One registered workflow."""

    name_of_place = "workflows"
    actions = WORKFLOW_ACTIONS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "app.pop_screen", "Back"),
        Binding("c", "code", "Code", tooltip="Its code, or its runs again", id="code"),
        Binding("e", "edit_file", "Edit", tooltip="Open the workflow's file in $EDITOR", id="edit-file"),
    ]

    def __init__(self, workflow: str) -> None:
        super().__init__()
        self._of = workflow
        self._workflow: Workflow | None = None
        self._source: Source | None = None

    def compose_body(self) -> ComposeResult:
        """Yield what the workflow is, and its runs or its code."""
        with VerticalScroll(classes="head"):
            yield Static(markup=False, classes="facts")
        yield Table(COLUMNS, self._fetch, id="runs")
        yield Lines(id="code")

    def on_mount(self) -> None:
        """Begin with the runs."""
        self.query_one(Lines).display = False

    async def load(self) -> None:
        """Read what the workflow is, and which runs it has."""
        before = self._workflow
        self._workflow, note, source, numbers = await self.ask(self._read)
        text = note if self._workflow is None else _facts(self._workflow, note)
        if self._workflow != before or source != self._source:
            self._show_code(source)
        self.query_one(".facts", Static).update(text)
        self.table.show(numbers)
        self.tell(
            f"the last {_RUNS} runs"
            if len(numbers) == _RUNS
            else f"{len(numbers)} {'run' if len(numbers) == 1 else 'runs'}"
            if numbers
            else "no runs yet: n starts one"
        )

    def _show_code(self, source: Source | None) -> None:
        code, self._source = self.query_one(Lines), source
        code.title = "" if source is None else code_title(source)
        code.show([] if source is None else code_lines(source), 0 if source is None else max(0, source.lines.start - 1))

    def _read(self, store: Store) -> tuple[Workflow | None, str, Source | None, list[int]]:
        namespace = self.flowctl.namespace
        workflow = store.workflows.find(namespace, self._of)
        numbers = store.runs.numbers(RunFilter(namespace=namespace, workflow=self._of, limit=_RUNS))
        if workflow is None:
            return None, f"there is no workflow {safe_line(self._of)} any more", None, numbers
        return workflow, _note(store, workflow), source_of(store.snapshots.get(workflow.code), workflow), numbers

    async def _fetch(self, keys: Sequence[Key]) -> Mapping[Key, Row]:
        numbers = [cast("int", key) for key in keys]
        found = await self.ask(lambda store: store.runs.lines(numbers))
        return {number: run_row(line) for number, line in found.items()}

    def subjects(self) -> list[Workflow]:
        """Return the workflow."""
        return [] if self._workflow is None else [self._workflow]

    def action_code(self) -> None:
        """Show the code in place of the runs, or the runs again."""
        code = self.query_one(Lines)
        code.display, self.table.display = not code.display, code.display
        (code if code.display else self.table).focus()
        if code.display:  # only now it has a size to be scrolled in
            self.call_after_refresh(self._show_code, self._source)

    def action_edit_file(self) -> None:
        """Open the file in the editor, at the function."""
        if self._source is not None and outside.edit(self.app, self._source.path, self._source.lines.start or None):
            self.tell(f"{self._source.path} was edited: flowctl workflows add takes it up, as a daemon does by itself")

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
