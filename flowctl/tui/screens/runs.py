"""Runs: every run, the newest first, live."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal

from flowctl.core.errors import FlowctlError, UsageError
from flowctl.core.listing import RunLine
from flowctl.core.text import safe_line
from flowctl.tui.actions import RUN_ACTIONS
from flowctl.tui.columns import Column, Row
from flowctl.tui.run_rows import COLUMNS, run_row
from flowctl.tui.screens.number import Number
from flowctl.tui.screens.run_list import RunList
from flowctl.tui.trouble import told
from flowctl.tui.views import NUMBERS, load_views, save_view, views_path
from flowctl.tui.widgets.run_view import RunView
from flowctl.tui.widgets.table import Table

BESIDE = 140  # columns from which on the chosen run is beside the list
LINGER_S = 0.15  # so long a cursor stays on a run before that is read


class RunsScreen(RunList):
    """The list of all runs, with saved views, and the chosen one beside it where there is room."""

    name_of_place = "runs"
    actions = RUN_ACTIONS
    columns: ClassVar[tuple[Column, ...]] = COLUMNS
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(number, f"view('{number}')", f"Show view {number}", show=False, id=f"view_{number}")
            for number in NUMBERS
        ),
        Binding("ctrl+s", "save_view", "Save this view", show=False, id="save_view"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._view: RunView | None = None  # there once there was room for it

    def row(self, run: RunLine) -> Row:
        """Return the cells of a run."""
        return run_row(run)

    def compose_list(self) -> ComposeResult:
        """Yield the list, with room for the chosen run."""
        with Horizontal(id="beside"):
            yield from super().compose_list()

    async def load(self) -> None:
        """Read which runs there are."""
        await super().load()
        self._show_chosen()

    @on(Table.Moved, "#runs")
    def _beside(self) -> None:
        self._show_chosen()

    @on(events.Resize)
    def _make_room(self, event: events.Resize) -> None:
        if self._view is not None:
            self._show_chosen()
        elif event.size.width >= BESIDE:
            self.set_timer(LINGER_S, self._open_beside)  # the list comes first: this takes as long

    async def _open_beside(self) -> None:
        if self._view is None:
            view = RunView()
            await self.query_one("#beside").mount(view)
            self._view = view
        self._show_chosen()

    def _show_chosen(self) -> None:
        """Show the run under the cursor beside the list, if there is room and a run."""
        view, number = self._view, self.table.key
        if view is None:
            return
        view.display = self.size.width >= BESIDE and number is not None
        if view.display and isinstance(number, int):
            shows = partial(self._show, view, number)
            self.run_worker(shows, group="beside", exclusive=True)  # type: ignore[arg-type] # an async one

    async def _show(self, view: RunView, number: int) -> None:
        await asyncio.sleep(LINGER_S if number != view.number else 0)
        try:
            await view.open(number)
        except FlowctlError as error:
            self.flowctl.say_trouble(error)

    @on(RunView.Left)
    def _back_to_list(self) -> None:
        self.table.focus()

    def empty(self) -> str:
        """Return what is said when there is no run."""
        return "no runs yet: flowctl run FILE.py"

    def action_view(self, number: str) -> None:
        """Show a saved view."""
        try:
            text = load_views(views_path(os.environ)).get(number)
        except UsageError as error:
            self._refused(error)
            return
        if text is None:
            self.notify(f"no view is saved on {number}: filter, then ctrl+s {number}", markup=False)
        else:
            self.use(text)

    def action_save_view(self) -> None:
        """Keep the filter on a number key."""
        try:
            views = load_views(views_path(os.environ))
        except UsageError as error:
            self._refused(error)
            return
        self.app.push_screen(Number(f"Keep {self.filter or 'all runs'} on which number?", views), self._save_view)

    def _save_view(self, number: str | None) -> None:
        if not number:
            return
        try:
            save_view(views_path(os.environ), number, self.filter)
        except UsageError as error:
            self._refused(error)
        else:
            self.notify(safe_line(f"{number} shows {self.filter or 'all runs'}"), title="Saved", markup=False)

    def _refused(self, error: FlowctlError) -> None:
        self.notify(safe_line(told(error, ": ")), severity="warning", markup=False)
