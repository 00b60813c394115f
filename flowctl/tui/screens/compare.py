"""Compare: where two runs differ, the first divergence under the cursor."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import ClassVar, cast

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.widgets import Static

from flowctl.cli.instants import short
from flowctl.cli.render_diff import Entry, facts, listed
from flowctl.core.model import FINAL_STATES, Run, Step
from flowctl.core.text import safe, safe_line, shorten
from flowctl.engine.diffs import RunDiff, diff_runs
from flowctl.store import Store
from flowctl.tui.actions import Command
from flowctl.tui.columns import Cell, Column, Row
from flowctl.tui.screens.list_place import ListPlace
from flowctl.tui.widgets.table import Key, Table

LISTED = 500  # differences of one payload
SHOWN = 20_000  # characters of one value
WIDE = 120  # columns from which on both values stand side by side
BEFORE, AFTER = "red", "green"


class CompareScreen(ListPlace):
    """How two runs differ."""

    name_of_place = "runs"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "app.pop_screen", "Back"),
        Binding("n", "go(1)", "Next"),
        Binding("p", "go(-1)", "Previous"),
        Binding("s", "swap", "Swap"),
        Binding("y", "copy", "Copy command"),
    ]

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self._numbers = (before, after)
        self._found: RunDiff | None = None
        self._entries: list[Entry] = []

    def compose_body(self) -> ComposeResult:
        """Yield what is other of the runs themselves, the differences, and both sides of the one under the cursor."""
        yield Static(markup=False, id="facts")
        yield Table(_columns(self._numbers, wide=False), self._fetch, id="differences")
        yield Static(markup=False, id="difference", classes="title")
        with Container(id="sides"):
            for side in ("before", "after"):
                with VerticalScroll(id=side):
                    yield Static(markup=False)

    @on(events.Resize)
    def _fit(self, event: events.Resize) -> None:
        wide = event.size.width >= WIDE
        if wide != self.has_class("wide"):
            self.set_class(wide, "wide")
            self.table.columns = _columns(self._numbers, wide=wide)
            self.table.refetch()

    # -- what it shows

    async def load(self) -> None:
        """Compare the runs, unless both have ended as they were."""
        known = self._found

        def question(store: Store) -> RunDiff | None:
            before, after = (store.runs.get(number) for number in self._numbers)
            if known is not None and (before, after) == (known.before, known.after) and _ended(before, after):
                return None
            return diff_runs(store, before, after)

        found = await self.ask(question)
        if found is None:
            return
        self._found = found
        self._entries = listed(found, LISTED)
        self.table.columns = _columns(self._numbers, wide=self.has_class("wide"))
        self.table.show(range(len(self._entries)))
        if known is None:
            self.table.cursor = self._first()
        told = facts(found, drawn=True)
        self.query_one("#facts", Static).update(
            "\n".join([self._headline(found), *(f"  {name:<11} {safe_line(value)}" for name, value in told.items())])
        )
        count = len(self._entries)
        differ = f"{count:,} differences" if count != 1 else "1 difference"
        self.tell(f"{differ if found.differ else 'they do not differ'} · {self._command()}")

    def _headline(self, found: RunDiff) -> str:
        before, after = found.before, found.after
        head = f"run {before.id} → run {after.id}  {safe_line(after.workflow)}"
        return head if found.first is None else f"{head}   first divergence: {safe_line(found.first.key)}"

    def _first(self) -> int:
        first = None if self._found is None else self._found.first
        keys = [entry.key for entry in self._entries]
        return keys.index(first.key) if first is not None and first.key in keys else 0

    async def _fetch(self, keys: Sequence[Key]) -> Mapping[Key, Row]:
        room = None if self.has_class("wide") else max(8, self.size.width // 5)
        numbers = [cast("int", key) for key in keys]
        return {number: _row(self._entries[number], room) for number in numbers if number < len(self._entries)}

    @property
    def entry(self) -> Entry | None:
        """Return the difference under the cursor."""
        key = self.table.key
        return self._entries[key] if isinstance(key, int) and key < len(self._entries) else None

    @on(Table.Moved)
    def _show_sides(self) -> None:
        entry = self.entry
        title = "" if entry is None else f"{entry.subject}, {entry.place}{self._durations(entry.key)}"
        self.query_one("#difference", Static).update(safe_line(title))
        for side, mark, number in (("before", "-", self._numbers[0]), ("after", "+", self._numbers[1])):
            pane = self.query_one(f"#{side}", VerticalScroll)
            pane.border_title = f"{mark} run {number}"
            text = "" if entry is None else _laid_out(getattr(entry, side))
            pane.query_one(Static).update(text)

    def _durations(self, key: str | None) -> str:
        """Return how long a step took in both runs."""
        steps = [] if self._found is None else [step for step in self._found.steps if step.key == key]
        if not steps:
            return ""
        return f"   ({short(_duration(steps[0].before)) or '-'} → {short(_duration(steps[0].after)) or '-'})"

    # -- keys

    def action_go(self, by: int) -> None:
        """Go to the next difference, or the one before."""
        self.table.action_move(by)

    def action_swap(self) -> None:
        """Take the one for the other."""
        self._numbers = (self._numbers[1], self._numbers[0])
        self._found = None
        self.action_reload()

    @on(Table.Chosen)
    def _open(self) -> None:
        """Open the step in its run, the later one if both have it."""
        entry = self.entry
        if entry is None:
            return
        steps = [] if self._found is None else [step for step in self._found.steps if step.key == entry.key]
        gone = bool(steps) and steps[0].after is None
        self.flowctl.open_run(self._numbers[0 if gone else 1], entry.key)

    def _command(self) -> str:
        return self.flowctl.shown(Command(("diff", *map(str, self._numbers))))

    def action_copy(self) -> None:
        """Copy the command that says the same."""
        self.flowctl.copy(self._command())


def _columns(numbers: tuple[int, int], *, wide: bool) -> tuple[Column, ...]:
    subject = (Column("", 24 if wide else 16), Column("PLACE", 30 if wide else 0))
    if wide:
        return (*subject, *(Column(f"RUN {number}", 0) for number in numbers))
    return (*subject, Column(f"RUN {numbers[0]} → RUN {numbers[1]}", 0))


def _row(entry: Entry, room: int | None) -> Row:
    """Return the cells of a difference: both values in cells of their own, or in one with so much room for each."""
    if room is None:
        return (entry.subject, entry.place, Cell(entry.before, BEFORE), Cell(entry.after, AFTER))
    return (entry.subject, entry.place, f"{shorten(entry.before, room)} → {shorten(entry.after, room)}")


def _laid_out(text: str) -> str:
    """Return a value for people: JSON indented, and not more of it than one reads."""
    if len(text) > SHOWN:
        return f"{safe(text[:SHOWN])}\n… {len(text) - SHOWN:,} more characters"
    try:
        return safe(json.dumps(json.loads(text), indent=2, ensure_ascii=False))
    except (ValueError, RecursionError):
        return safe(text)


def _ended(*runs: Run) -> bool:
    return all(run.state in FINAL_STATES for run in runs)


def _duration(step: Step | None) -> int | None:
    return None if step is None or step.finished_at is None else step.finished_at - step.begun_at
