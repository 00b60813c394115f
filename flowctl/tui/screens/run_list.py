"""A list of runs: live, filtered, and sorted by any of its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.timer import Timer

from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.listing import RunFilter, RunLine
from flowctl.store import Store
from flowctl.tui.columns import Column, Row
from flowctl.tui.filters import parse_filter
from flowctl.tui.run_rows import SORTS, Sort
from flowctl.tui.screens.filtered import Filtered
from flowctl.tui.screens.run_place import RunPlace
from flowctl.tui.widgets.table import Key, Table

_TAGGED = 500  # runs whose tags are offered
_KNOWN = 2_000  # runs that are kept in mind beside those in sight
_FIRST = 200  # runs that are shown before all are read
_PER_S = 100_000  # runs of a list that is read again at most once a second
_AT_ONCE = 10_000  # runs of a list that is read again at each change


class RunList(RunPlace, Filtered):
    """Runs in a table."""

    columns: ClassVar[tuple[Column, ...]] = ()
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "sort", "Sort", id="sort"),
        Binding("O", "reverse", "Sort the other way round", show=False, id="reverse"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._sort = SORTS[0]
        self._lines: dict[int, RunLine] = {}
        self._later: Timer | None = None  # reads which runs there are

    def compose_body(self) -> ComposeResult:
        """Yield the filter and the list."""
        yield from self.compose_filter()
        yield from self.compose_list()

    def compose_list(self) -> ComposeResult:
        """Yield the list."""
        yield Table(self.columns, self._fetch, id="runs")

    def on_mount(self) -> None:
        """Read, and let durations tick."""
        self._show_sort()
        self.set_interval(1.0, self._tick)

    def empty(self) -> str:
        """Return what is said of a list without a run when there is no filter."""
        return ""

    async def load(self) -> None:
        """Read which runs there are; the first of them first, for all may take a moment."""
        if not self.table.keys and self._sort.by is None and self._sort.down:
            first = await self.ask(lambda store: store.runs.numbers(self.asked()._replace(limit=_FIRST)))
            self.table.show(first)
        numbers = await self.ask(self.numbers)
        self.table.show(numbers)
        await self.table.filled()  # what can be done is known then
        count = f"{len(numbers):,} runs" if len(numbers) != 1 else "1 run"
        if numbers:
            self.tell(f"{count}{f' · {self.filter}' if self.filter else ''}")
        else:
            self.tell(f"no run fits {self.filter} · Esc shows all" if self.filter else self.empty())

    def read_again(self) -> None:
        """Read what the file says now; of a long list what is in sight, and all of it when more may have changed."""
        count = len(self.table.keys)
        if count <= _AT_ONCE:
            self.action_reload()
            return
        self.table.refetch()
        if self._later is None:
            self._later = self.set_timer(count / _PER_S, self._read_later)

    def _read_later(self) -> None:
        self._later = None
        self.action_reload()

    def asked(self) -> RunFilter:
        """Return which runs are shown."""
        return parse_filter(self.filter, self.flowctl.namespace, SYSTEM_CLOCK.now())

    def row(self, run: RunLine) -> Row:
        """Return the cells of a run."""
        raise NotImplementedError

    def numbers(self, store: Store) -> list[int]:
        """Return the numbers of the runs that are shown, in their order."""
        numbers, sort = store.runs.numbers(self.asked()), self._sort
        if sort.by is not None:
            numbers = store.lists.ordered(numbers, sort.by, SYSTEM_CLOCK.now())
            return numbers[::-1] if sort.down else numbers
        return numbers if sort.down else numbers[::-1]

    async def _fetch(self, keys: Sequence[Key]) -> Mapping[Key, Row]:
        numbers = [cast("int", key) for key in keys]

        def question(store: Store) -> dict[int, RunLine]:
            return store.runs.lines(numbers)

        found = await self.ask(question)
        if len(self._lines) > _KNOWN:
            self._lines = {number: line for number, line in self._lines.items() if number in self.table.marked}
        self._lines |= found
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
        unknown = [key for key in self.table.marked if key not in self._lines]
        if unknown:
            learn = partial(self._learn, unknown)
            self.run_worker(learn, group="marked", exclusive=True)  # type: ignore[arg-type] # an async one
        self.grey_out()

    async def _learn(self, keys: Sequence[Key]) -> None:
        await self._fetch(keys)
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
        shown = {column.title for column in self.columns}
        sorts = [sort for sort in SORTS if sort.title in shown]
        titles = [sort.title for sort in sorts]
        self._use_sort(sorts[(titles.index(self._sort.title) + 1) % len(sorts)])

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
        self._show_sort()
        self.action_reload()

    def _show_sort(self) -> None:
        self.table.sorted_by = self._sort.arrowed
        self.table.refresh()
