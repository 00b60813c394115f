"""Workflows: what can be run, and how the last runs of each went."""

from __future__ import annotations

from typing import NamedTuple, cast

from textual import on

from flowctl.cli.instants import short
from flowctl.cli.render import first_line, parameters_text
from flowctl.core.listing import RunLine
from flowctl.core.model import Workflow
from flowctl.store import Store
from flowctl.tui.actions import WORKFLOW_ACTIONS
from flowctl.tui.cells import state_cell
from flowctl.tui.columns import Column, Row
from flowctl.tui.past import LENGTH, run_strip, success_text, typical_ms
from flowctl.tui.screens.list_place import NamedList
from flowctl.tui.widgets.table import Table

_COLUMNS = (
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


class WorkflowsScreen(NamedList[Seen]):
    """The list of registered workflows."""

    name_of_place = "workflows"
    actions = WORKFLOW_ACTIONS
    columns = _COLUMNS

    def read(self, store: Store) -> dict[str, Seen]:
        """Return the workflows, and how their last runs went."""
        namespace = self.flowctl.namespace
        workflows = store.workflows.list(namespace)
        newest = store.recent.runs_of_workflows(namespace, [each.name for each in workflows], LENGTH)
        runs = store.runs.lines(number for numbers in newest.values() for number in numbers)
        return {
            each.name: Seen(each, [runs[number] for number in newest.get(each.name, ()) if number in runs])
            for each in workflows
        }

    def row(self, seen: Seen) -> Row:
        """Return the cells of a workflow."""
        workflow, runs = seen
        return (
            workflow.name,
            state_cell(runs[0].state) if runs else "never ran",
            str(runs[0].id) if runs else "",
            success_text(runs),
            short(typical_ms(runs)),
            run_strip(runs),
            parameters_text(workflow.parameters),
            f"{workflow.path}:{workflow.function}",
        )

    def subject(self, seen: Seen) -> Workflow:
        """Return the workflow."""
        return seen.workflow

    def standing(self, seen: Seen | None) -> str:
        """Return what a workflow does."""
        if seen is None:
            return "no workflows yet: flowctl workflows add FILE.py"
        does = first_line(seen.workflow.doc) or seen.workflow.path
        return f"{seen.workflow.name}: {does} · last runs, the newest first: as high as they took long"

    @on(Table.Chosen)
    def _open(self, event: Table.Chosen) -> None:
        from flowctl.tui.screens.workflow import WorkflowScreen

        self.app.push_screen(WorkflowScreen(cast("str", event.key)))
