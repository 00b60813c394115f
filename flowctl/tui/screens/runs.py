"""Runs: every run, the newest first, live."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar, cast

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Input

from flowctl.cli.instants import local, short
from flowctl.cli.words import look
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import FlowctlError, UsageError
from flowctl.core.listing import RunFilter, RunLine
from flowctl.store import Store
from flowctl.tui.actions import RUN_ACTIONS
from flowctl.tui.filters import parse_filter
from flowctl.tui.screens.run_place import RunPlace
from flowctl.tui.widgets.filter_line import FilterLine
from flowctl.tui.widgets.run_view import RunView
from flowctl.tui.widgets.table import Cell, Column, Key, Row, Table

COLUMNS = (
    Column("RUN", 7, right=True),
    Column("STATE", 11),
    Column("WORKFLOW", 0),
    Column("STARTED", 19),
    Column("DURATION", 8, right=True),
    Column("TRIGGER", 16, from_width=86),
    Column("QUEUE", 10, from_width=104),
    Column("TAGS", 24, from_width=130),
)


BESIDE = 140  # columns from which on the chosen run is beside the list
LINGER_S = 0.15  # so long a cursor stays on a run before that is read


class RunsScreen(RunPlace):
    """The list of runs."""

    name_of_place = "runs"
    actions = RUN_ACTIONS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", id="filter"),
        Binding("escape", "clear", "Clear", show=False),
        Binding("o", "sort", "Sort", id="sort"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._filter = ""
        self._lines: dict[int, RunLine] = {}

    def compose_body(self) -> ComposeResult:
        """Yield the filter and the list."""
        yield FilterLine()
        with Horizontal():
            yield Table(COLUMNS, self._fetch, id="runs")
            yield RunView()

    def on_mount(self) -> None:
        """Read, and let the list have the keys."""
        super().on_mount()
        self.table.focus()

    @property
    def table(self) -> Table:
        """Return the list."""
        return self.query_one(Table)

    async def load(self) -> None:
        """Read which runs there are."""
        asked = self._asked()
        numbers = await self.ask(lambda store: store.runs.numbers(asked))
        self.table.show(numbers)
        count = f"{len(numbers):,} runs" if len(numbers) != 1 else "1 run"
        self.tell(f"{count}{f' · {self._filter}' if self._filter else ''}" if numbers else self._empty())
        self._show_chosen()

    def _asked(self) -> RunFilter:
        return parse_filter(self._filter, self.flowctl.namespace, SYSTEM_CLOCK.now())

    def _empty(self) -> str:
        return f"no run fits {self._filter} · Esc shows all" if self._filter else "no runs yet: flowctl run FILE.py"

    async def _fetch(self, keys: Sequence[Key]) -> Mapping[Key, Row]:
        numbers = [cast("int", key) for key in keys]

        def question(store: Store) -> dict[int, RunLine]:
            return store.runs.lines(numbers)

        found = await self.ask(question)
        self._lines = found if len(self._lines) > 2_000 else self._lines | found
        return {number: run_row(line) for number, line in found.items()}

    def subjects(self) -> list[RunLine]:
        """Return the marked runs, or the one under the cursor."""
        keys: list[Key | None] = [*self.table.marked] or [self.table.key]
        return [self._lines[key] for key in keys if isinstance(key, int) and key in self._lines]

    @on(Table.Moved)
    def _follow(self) -> None:
        self.grey_out()
        self._show_chosen()

    @on(events.Resize)
    def _make_room(self, event: events.Resize) -> None:
        self.query_one(RunView).display = event.size.width >= BESIDE
        self._show_chosen()

    def _show_chosen(self) -> None:
        """Show the run under the cursor beside the list, if there is room."""
        view = self.query_one(RunView)
        if view.display and isinstance(self.table.key, int):
            number = self.table.key
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

    @on(Table.Chosen)
    def _open(self, event: Table.Chosen) -> None:
        self.flowctl.open_run(cast("int", event.key))

    # -- filter

    def action_filter(self) -> None:
        """Let a filter be typed."""
        self.query_one(FilterLine).open(self._filter)

    def action_clear(self) -> None:
        """Show all runs."""
        self._use("")

    @on(Input.Submitted)
    def _apply(self, event: Input.Submitted) -> None:
        self._use(event.value.strip())

    def _use(self, text: str) -> None:
        try:
            parse_filter(text, self.flowctl.namespace, SYSTEM_CLOCK.now())
        except UsageError as error:
            self.notify(f"{error.message}: {error.hint}", severity="warning", markup=False)
            return
        self._filter = text
        self.query_one(FilterLine).close()
        self.table.focus()
        self.table.show((), fresh=True)
        self.action_reload()


def run_row(run: RunLine) -> Row:
    """Return the cells of a run."""
    found = look(run.state)
    return (
        str(run.id),
        Cell(f"{found.icon} {run.state}", found.style),
        run.workflow,
        local(run.started_at or run.created_at),
        short(_duration(run)),
        trigger(run),
        run.queue,
        " ".join(f"{name}={value}" for name, value in run.tags.items()),
    )


def trigger(run: RunLine) -> str:
    """Return what made a run."""
    if run.schedule is not None:
        return run.schedule
    for number, what in ((run.parent_id, "child of"), (run.forked_from, "fork of"), (run.rerun_of, "rerun of")):
        if number is not None:
            return f"{what} {number}"
    return "person"


def _duration(run: RunLine) -> int | None:
    if run.started_at is None:
        return None
    if run.finished_at is not None:
        return run.finished_at - run.started_at
    return SYSTEM_CLOCK.now() - run.started_at if run.state == "running" else None
