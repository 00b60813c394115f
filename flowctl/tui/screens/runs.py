"""Runs: every run, the newest first, live."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from flowctl.cli.instants import local, short
from flowctl.cli.words import look
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import FlowctlError, UsageError
from flowctl.core.listing import RunFilter, RunLine
from flowctl.core.text import safe_line
from flowctl.store import Store
from flowctl.store.lists import Order
from flowctl.tui.actions import RUN_ACTIONS
from flowctl.tui.filters import parse_filter
from flowctl.tui.screens.filtered import Filtered
from flowctl.tui.screens.number import Number
from flowctl.tui.views import NUMBERS, load_views, save_view, views_path
from flowctl.tui.widgets.table import Cell, Column, Key, Row, Table

COLUMNS = (
    Column("RUN", 7, right=True),
    Column("STATE", 11),
    Column("WORKFLOW", 0),
    Column("STARTED", 19),
    Column("DURATION", 9, right=True),
    Column("TRIGGER", 16, from_width=86),
    Column("QUEUE", 10, from_width=104),
    Column("TAGS", 24, from_width=130),
)
_TAGGED = 500  # runs whose tags are offered


class Sort(NamedTuple):
    """By which column the list is sorted, and whether the greatest is first. None: by number."""

    title: str
    by: Order | None
    down: bool


SORTS = (
    Sort("RUN", None, True),
    Sort("STARTED", "started", True),
    Sort("DURATION", "duration", True),
    Sort("WORKFLOW", "workflow", False),
    Sort("STATE", "state", False),
)


class RunsScreen(Filtered):
    """The list of runs."""

    name_of_place = "runs"
    actions = RUN_ACTIONS
    columns: ClassVar[tuple[Column, ...]] = COLUMNS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "sort", "Sort", id="sort"),
        Binding("O", "reverse", "Sort the other way round", show=False, id="reverse"),
        *(
            Binding(number, f"view('{number}')", f"View {number}", show=False, id=f"view_{number}")
            for number in NUMBERS
        ),
        Binding("ctrl+s", "save_view", "Save this view", show=False, id="save_view"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._sort = SORTS[0]
        self._lines: dict[int, RunLine] = {}

    def compose_body(self) -> ComposeResult:
        """Yield the filter and the list."""
        yield from self.compose_filter()
        yield Table(self.columns, self._fetch, id="runs")

    def on_mount(self) -> None:
        """Read, and let durations tick."""
        super().on_mount()
        self._use_sort(self._sort)
        self.set_interval(1.0, self._tick)

    async def load(self) -> None:
        """Read which runs there are."""
        numbers = await self.ask(self._numbers)
        self.table.show(numbers)
        count = f"{len(numbers):,} runs" if len(numbers) != 1 else "1 run"
        self.tell(f"{count}{f' · {self.filter}' if self.filter else ''}" if numbers else self._empty())

    def asked(self) -> RunFilter:
        """Return which runs are shown."""
        return parse_filter(self.filter, self.flowctl.namespace, SYSTEM_CLOCK.now())

    def row(self, run: RunLine) -> Row:
        """Return the cells of a run."""
        return run_row(run)

    def _numbers(self, store: Store) -> list[int]:
        numbers, sort = store.runs.numbers(self.asked()), self._sort
        if sort.by is not None:
            numbers = store.lists.ordered(numbers, sort.by, SYSTEM_CLOCK.now())
            return numbers[::-1] if sort.down else numbers
        return numbers if sort.down else numbers[::-1]

    def _empty(self) -> str:
        return f"no run fits {self.filter} · Esc shows all" if self.filter else "no runs yet: flowctl run FILE.py"

    async def _fetch(self, keys: Sequence[Key]) -> Mapping[Key, Row]:
        numbers = [cast("int", key) for key in keys]

        def question(store: Store) -> dict[int, RunLine]:
            return store.runs.lines(numbers)

        found = await self.ask(question)
        self._lines = found if len(self._lines) > 2_000 else self._lines | found
        return {number: self.row(line) for number, line in found.items()}

    def _tick(self) -> None:
        """Let the durations of what runs go on, as long as some of it is in sight."""
        lines = [self._lines.get(cast("int", key)) for key in self.table.in_sight]
        running = {line.id: self.row(line) for line in lines if line is not None and line.state == "running"}
        if running and self.is_current:
            self.table.put(cast("Mapping[Key, Row]", running))

    def subjects(self) -> list[RunLine]:
        """Return the marked runs, or the one under the cursor."""
        keys: list[Key | None] = [*self.table.marked] or [self.table.key]
        return [self._lines[key] for key in keys if isinstance(key, int) and key in self._lines]

    @on(Table.Moved)
    def _follow(self) -> None:
        self.grey_out()

    @on(Table.Chosen)
    def _open(self, event: Table.Chosen) -> None:
        self.flowctl.open_run(cast("int", event.key))

    # -- filter

    def check(self, text: str) -> None:
        """Raise UsageError for a filter that means nothing."""
        parse_filter(text, self.flowctl.namespace, SYSTEM_CLOCK.now())

    async def names(self) -> dict[str, list[str]]:
        """Return the workflows, schedules, queues and tags there are."""
        namespace = self.flowctl.namespace

        def question(store: Store) -> dict[str, list[str]]:
            recent = store.runs.lines(store.runs.numbers(RunFilter(namespace, limit=_TAGGED))).values()
            return {
                "workflow": store.lists.workflows(namespace),
                "schedule": [schedule.name for schedule in store.schedules.all(namespace)],
                "queue": sorted({run.queue for run in recent}),
                "tag": sorted({f"{name}={value}" for run in recent for name, value in run.tags.items()}),
            }

        return await self.ask(question)

    # -- order

    def action_sort(self) -> None:
        """Sort by the next column."""
        titles = [sort.title for sort in SORTS]
        self._use_sort(SORTS[(titles.index(self._sort.title) + 1) % len(SORTS)])

    def action_reverse(self) -> None:
        """Sort the other way round."""
        self._use_sort(self._sort._replace(down=not self._sort.down))

    @on(Table.HeaderClicked)
    def _sort_by(self, event: Table.HeaderClicked) -> None:
        if event.title == self._sort.title:
            self.action_reverse()
        for sort in SORTS:
            if event.title == sort.title != self._sort.title:
                self._use_sort(sort)

    def _use_sort(self, sort: Sort) -> None:
        self._sort = sort
        self.table.sorted_by = f"{sort.title}{'▼' if sort.down else '▲'}"
        self.table.refresh()
        self.action_reload()

    # -- views

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
        self.notify(safe_line(f"{error.message}: {error.hint}"), severity="warning", markup=False)


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
