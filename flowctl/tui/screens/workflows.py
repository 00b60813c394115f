"""Workflows: what can be run, and how the last runs of each went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

from textual import on
from textual.app import ComposeResult

from flowctl.cli.instants import short
from flowctl.cli.render import first_line, parameters_text
from flowctl.cli.words import look
from flowctl.core.listing import RunLine
from flowctl.core.model import Workflow
from flowctl.store import Store
from flowctl.tui.actions import WORKFLOW_ACTIONS
from flowctl.tui.past import LENGTH, run_strip, success_text, typical_ms
from flowctl.tui.screens.place import Place
from flowctl.tui.widgets.table import Cell, Column, Key, Row, Table

COLUMNS = (
    Column("WORKFLOW", 0),
    Column("LAST RUN", 11),
    Column("RUN", 6, right=True, from_width=90),
    Column("SUCCEEDED", 10, right=True),
    Column("TAKES", 7, right=True),
    Column("LAST RUNS", 0),
    Column("PARAMETERS", 0, from_width=96),
    Column("FILE", 0, from_width=130),
)


class Seen(NamedTuple):
    """A workflow and its newest runs, the newest first."""

    workflow: Workflow
    runs: list[RunLine]


class WorkflowsScreen(Place):
    """The list of registered workflows."""

    name_of_place = "workflows"
    actions = WORKFLOW_ACTIONS

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[str, Seen] = {}

    def compose_body(self) -> ComposeResult:
        """Yield the list."""
        yield Table(COLUMNS, self._fetch, id="workflows")

    def on_mount(self) -> None:
        """Read, and let the list have the keys."""
        self.table.focus()

    @property
    def table(self) -> Table:
        """Return the list."""
        return self.query_one(Table)

    async def load(self) -> None:
        """Read which workflows there are, and how their runs went."""
        namespace = self.flowctl.namespace
        self._seen = await self.ask(lambda store: _seen(store, namespace))
        self.table.show([*self._seen])
        self._tell_of_cursor()

    async def _fetch(self, keys: Sequence[Key]) -> Mapping[Key, Row]:
        return {key: workflow_row(self._seen[str(key)]) for key in keys if key in self._seen}

    def subjects(self) -> list[Workflow]:
        """Return the marked workflows, or the one under the cursor."""
        keys: list[Key | None] = [*self.table.marked] or [self.table.key]
        return [self._seen[key].workflow for key in keys if isinstance(key, str) and key in self._seen]

    @on(Table.Moved)
    def _follow(self) -> None:
        self._tell_of_cursor()
        self.grey_out()

    def _tell_of_cursor(self) -> None:
        """Say what the workflow under the cursor does."""
        found = self._seen.get(str(self.table.key))
        if found is None:
            self.tell("no workflows yet: flowctl workflows add FILE.py")
        else:
            does = first_line(found.workflow.doc) or found.workflow.path
            self.tell(f"{found.workflow.name}: {does} · last runs, the newest first: as high as they took long")

    @on(Table.Chosen)
    def _open(self, event: Table.Chosen) -> None:
        from flowctl.tui.screens.workflow import WorkflowScreen

        self.app.push_screen(WorkflowScreen(cast("str", event.key)))


def _seen(store: Store, namespace: str) -> dict[str, Seen]:
    workflows = store.workflows.list(namespace)
    newest = store.recent.runs_of_workflows(namespace, [each.name for each in workflows], LENGTH)
    runs = store.runs.lines(number for numbers in newest.values() for number in numbers)
    return {
        each.name: Seen(each, [runs[number] for number in newest.get(each.name, ()) if number in runs])
        for each in workflows
    }


def workflow_row(seen: Seen) -> Row:
    """Return the cells of a workflow."""
    workflow, runs = seen
    found = look(runs[0].state) if runs else None
    return (
        workflow.name,
        "never ran" if found is None else Cell(f"{found.icon} {runs[0].state}", found.style),
        str(runs[0].id) if runs else "",
        success_text(runs),
        short(typical_ms(runs)),
        run_strip(runs),
        parameters_text(workflow.parameters),
        f"{workflow.path}:{workflow.function}",
    )
