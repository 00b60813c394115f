"""Schedules: when each is due next, and what became of its last slots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from flowctl.cli.render_schedules import line_of, soon, what_it_runs
from flowctl.cli.words import look
from flowctl.core.listing import RunLine
from flowctl.core.model import Schedule, Slot
from flowctl.core.planning import rule_of
from flowctl.core.recurrence import describe
from flowctl.core.text import shorten
from flowctl.core.zones import in_zone, local_zone_name
from flowctl.store import Store
from flowctl.tui.actions import SCHEDULE_ACTIONS
from flowctl.tui.past import LENGTH, slot_legend, slot_strip
from flowctl.tui.screens.place import Place
from flowctl.tui.widgets.table import Cell, Column, Key, Row, Table

COLUMNS = (
    Column("SCHEDULE", 0),
    Column("DUE", 16, from_width=72),
    Column("NEXT", 21),
    Column("LAST RUN", 11),
    Column("RUN", 6, right=True, from_width=90),
    Column("LAST SLOTS", 0),
    Column("RUNS", 24, from_width=110),
)


class Seen(NamedTuple):
    """A schedule, its newest slots, and its newest run."""

    schedule: Schedule
    slots: list[Slot]
    run: RunLine | None


class SchedulesScreen(Place):
    """The list of schedules."""

    name_of_place = "schedules"
    actions = SCHEDULE_ACTIONS
    BINDINGS: ClassVar[list[BindingType]] = [Binding("n", "add", "New", id="add")]

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[str, Seen] = {}
        self._workflows: list[str] = []  # that a new schedule may run

    def compose_body(self) -> ComposeResult:
        """Yield the list."""
        yield Table(COLUMNS, self._fetch, id="schedules")

    def on_mount(self) -> None:
        """Read, and let the list have the keys."""
        self.table.focus()

    @property
    def table(self) -> Table:
        """Return the list."""
        return self.query_one(Table)

    async def load(self) -> None:
        """Read which schedules there are, and what became of each."""
        namespace = self.flowctl.namespace
        self._seen = await self.ask(lambda store: _seen(store, namespace))
        self._workflows = await self.ask(lambda store: [each.name for each in store.workflows.list(namespace)])
        self.table.show([*self._seen])
        self._tell_of_cursor()

    async def _fetch(self, keys: Sequence[Key]) -> Mapping[Key, Row]:
        return {key: schedule_row(self._seen[str(key)]) for key in keys if key in self._seen}

    def subjects(self) -> list[Schedule]:
        """Return the marked schedules, or the one under the cursor."""
        keys: list[Key | None] = [*self.table.marked] or [self.table.key]
        return [self._seen[key].schedule for key in keys if isinstance(key, str) and key in self._seen]

    @on(Table.Moved)
    def _follow(self) -> None:
        self._tell_of_cursor()
        self.grey_out()

    def _tell_of_cursor(self) -> None:
        """Say how the schedule under the cursor stands."""
        found = self._seen.get(str(self.table.key))
        if found is None:
            self.tell("no schedules yet: n makes one, or flowctl schedules add NAME --cron EXPR -- COMMAND…")
        else:
            self.tell(f"{line_of(found.schedule)} · slots, the newest first: {slot_legend()}")

    @on(Table.Chosen)
    def _open(self, event: Table.Chosen) -> None:
        from flowctl.tui.screens.slots import SlotsScreen

        self.app.push_screen(SlotsScreen(cast("str", event.key)))

    def action_add(self) -> None:
        """Make a schedule."""
        from flowctl.tui.screens.schedule_forms import AddForm

        self.app.push_screen(AddForm(self._workflows))


def _seen(store: Store, namespace: str) -> dict[str, Seen]:
    schedules = store.schedules.all(namespace)
    slots = store.recent.slots([each.id for each in schedules], LENGTH)
    newest = store.recent.run_of_schedules(namespace, [each.name for each in schedules])
    runs = store.runs.lines(newest.values())
    return {each.name: Seen(each, slots.get(each.id, []), runs.get(newest.get(each.name, 0))) for each in schedules}


def schedule_row(seen: Seen) -> Row:
    """Return the cells of a schedule."""
    schedule = seen.schedule
    return (
        schedule.name,
        "once" if schedule.kind == "once" else describe(rule_of(schedule)),
        _next(schedule),
        "never ran" if seen.run is None else _state(seen.run),
        "" if seen.run is None else str(seen.run.id),
        slot_strip(seen.slots),
        what_it_runs(schedule),
    )


def _next(schedule: Schedule) -> Cell | str:
    if schedule.paused_at is not None:
        return Cell(f"{look('paused').icon} paused: {shorten(schedule.pause_reason or '', 100)}", look("paused").style)
    if schedule.next_at is None or schedule.zone in ("", local_zone_name()):
        return soon(schedule)
    return f"{soon(schedule)} {in_zone(schedule.next_at, schedule.zone).tzname()}"


def _state(run: RunLine) -> Cell:
    found = look(run.state)
    return Cell(f"{found.icon} {run.state}", found.style)
