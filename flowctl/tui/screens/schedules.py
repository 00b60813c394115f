"""Schedules: when each is due next, and what became of its last slots."""

from __future__ import annotations

from typing import ClassVar, NamedTuple, cast

from textual import on
from textual.binding import Binding, BindingType

from flowctl.cli.render_schedules import line_of, soon, what_it_runs
from flowctl.core.listing import RunLine
from flowctl.core.model import Schedule, Slot
from flowctl.core.planning import rule_of
from flowctl.core.recurrence import describe
from flowctl.core.text import shorten
from flowctl.core.zones import in_zone, local_zone_name
from flowctl.store import Store
from flowctl.tui.actions import SCHEDULE_ACTIONS
from flowctl.tui.cells import state_cell
from flowctl.tui.columns import Cell, Column, Row
from flowctl.tui.past import LENGTH, slot_legend, slot_strip
from flowctl.tui.screens.list_place import NamedList
from flowctl.tui.widgets.table import Table

_COLUMNS = (
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


class SchedulesScreen(NamedList[Seen]):
    """The list of schedules."""

    name_of_place = "schedules"
    actions = SCHEDULE_ACTIONS
    columns = _COLUMNS
    BINDINGS: ClassVar[list[BindingType]] = [Binding("n", "add", "New", id="add")]

    def __init__(self) -> None:
        super().__init__()
        self._workflows: list[str] = []  # that a new schedule may run

    def read(self, store: Store) -> dict[str, Seen]:
        """Return the schedules, and what became of each."""
        namespace = self.flowctl.namespace
        self._workflows = [each.name for each in store.workflows.list(namespace)]
        schedules = store.schedules.all(namespace)
        slots = store.recent.slots([each.id for each in schedules], LENGTH)
        newest = store.recent.run_of_schedules(namespace, [each.name for each in schedules])
        runs = store.runs.lines(newest.values())
        return {each.name: Seen(each, slots.get(each.id, []), runs.get(newest.get(each.name, 0))) for each in schedules}

    def row(self, seen: Seen) -> Row:
        """Return the cells of a schedule."""
        schedule = seen.schedule
        return (
            schedule.name,
            "once" if schedule.kind == "once" else describe(rule_of(schedule)),
            _next(schedule),
            "never ran" if seen.run is None else state_cell(seen.run.state),
            "" if seen.run is None else str(seen.run.id),
            slot_strip(seen.slots),
            what_it_runs(schedule),
        )

    def subject(self, seen: Seen) -> Schedule:
        """Return the schedule."""
        return seen.schedule

    def standing(self, seen: Seen | None) -> str:
        """Return how a schedule stands, and what the signs of its slots mean."""
        if seen is None:
            return "no schedules yet: n makes one, or flowctl schedules add NAME --cron EXPR -- COMMAND…"
        return f"{line_of(seen.schedule)} · slots, the newest first: {slot_legend()}"

    @on(Table.Chosen)
    def _open(self, event: Table.Chosen) -> None:
        from flowctl.tui.screens.slots import SlotsScreen

        self.app.push_screen(SlotsScreen(cast("str", event.key)))

    def action_add(self) -> None:
        """Make a schedule."""
        from flowctl.tui.screens.schedule_forms import AddForm

        self.app.push_screen(AddForm(self._workflows))


def _next(schedule: Schedule) -> Cell | str:
    if schedule.paused_at is not None:
        return state_cell("paused", f"paused: {shorten(schedule.pause_reason or '', 100)}")
    if schedule.next_at is None or schedule.zone in ("", local_zone_name()):
        return soon(schedule)
    return f"{soon(schedule)} {in_zone(schedule.next_at, schedule.zone).tzname()}"
