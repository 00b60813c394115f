"""The ledger of a schedule: what is due next, and what became of each slot before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from flowctl.cli.render_schedules import SLOT_LOOKS, catch_up_text, local_text, what_it_runs
from flowctl.cli.words import look
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import NotFound, UsageError
from flowctl.core.listing import RunLine
from flowctl.core.model import Schedule, Slot
from flowctl.core.planning import rule_of
from flowctl.core.recurrence import describe, slots
from flowctl.core.text import plural, safe, safe_line
from flowctl.core.zones import LAST_MS
from flowctl.engine.why_schedule import why_schedule
from flowctl.store import Store
from flowctl.tui.actions import SCHEDULE_ACTIONS
from flowctl.tui.cells import state_cell
from flowctl.tui.columns import Cell, Column, Row
from flowctl.tui.screens.list_place import ListPlace
from flowctl.tui.widgets.table import Key, Table

COLUMNS = (
    Column("DUE", 28),
    Column("OUTCOME", 11),
    Column("RUN", 6, right=True),
    Column("STATE", 11, from_width=92),
    Column("REASON", 0),
)
_COMING = 3  # slots that are due next
_KEPT = 2_000  # slots that were fetched


class SlotsScreen(ListPlace):
    """The slots of one schedule."""

    name_of_place = "schedules"
    actions = SCHEDULE_ACTIONS
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "app.pop_screen", "Back")]

    def __init__(self, schedule: str) -> None:
        super().__init__()
        self._of = schedule
        self._schedule: Schedule | None = None
        self._coming: list[int] = []
        self._slots: dict[Key, Slot] = {}
        self._count = ""

    def compose_body(self) -> ComposeResult:
        """Yield how the schedule stands, and the ledger."""
        yield Static(markup=False, classes="head")
        yield Table(COLUMNS, self._fetch, id="slots")

    async def load(self) -> None:
        """Read how the schedule stands, and which slots it has had."""
        try:
            self._schedule, why, past = await self.ask(self._read)
        except NotFound as error:
            self._schedule, why, past = None, error.message, []
        self._coming = [] if self._schedule is None else _coming(self._schedule)
        self.query_one(".head", Static).update(safe(_head(self._schedule, why)))
        first = not self.table.keys
        self.table.show([*reversed(self._coming), *past])
        if first and past:
            self.table.cursor = len(self._coming)  # the newest of the past: its run is what one looks for
        self._count = plural(len(past), "slot") if past else "no slot was due yet"
        self._tell_of_cursor()

    def _read(self, store: Store) -> tuple[Schedule, str, list[int]]:
        schedule = store.schedules.get(self.flowctl.namespace, self._of)
        answer = why_schedule(store, schedule, SYSTEM_CLOCK.now())
        why = " · ".join([answer.sentence, *answer.commands])
        return schedule, why, store.schedules.slot_times(schedule.id)

    async def _fetch(self, keys: Sequence[Key]) -> Mapping[Key, Row]:
        schedule = self._schedule
        if schedule is None or not keys:
            return {}
        due = [cast("int", key) for key in keys]

        def question(store: Store) -> tuple[list[Slot], dict[int, RunLine]]:
            found = store.schedules.slots(schedule.id, limit=len(due), since=min(due), before=max(due) + 1)
            return found, store.runs.lines(slot.run_id for slot in found if slot.run_id is not None)

        found, runs = await self.ask(question)
        fetched: dict[Key, Slot] = {slot.due_at: slot for slot in found}
        self._slots = fetched if len(self._slots) > _KEPT else self._slots | fetched
        rows: dict[Key, Row] = {at: self._coming_row(schedule, at) for at in due if at in self._coming}
        return rows | {slot.due_at: slot_row(schedule, slot, runs.get(slot.run_id or 0)) for slot in found}

    def _coming_row(self, schedule: Schedule, at: int) -> Row:
        held = f"paused: {schedule.pause_reason}" if schedule.paused_at is not None else ""
        what = "○ due next" if at == self._coming[0] else "○ due"
        return (local_text(at, schedule.zone), Cell(what, look("queued").style), "", "", held)

    def subjects(self) -> list[Schedule]:
        """Return the schedule."""
        return [] if self._schedule is None else [self._schedule]

    @on(Table.Moved)
    def _tell_of_cursor(self) -> None:
        """Say why the slot under the cursor became what it did: in the list the reason may have no room."""
        slot = None if self.table.key is None else self._slots.get(self.table.key)
        self.tell(" · ".join(filter(None, [self._count, slot and slot.reason])))

    @on(Table.Chosen)
    def _open(self, event: Table.Chosen) -> None:
        slot = self._slots.get(event.key)
        if slot is not None and slot.run_id is not None:
            self.flowctl.open_run(slot.run_id)
        else:
            self.notify("this slot has no run", severity="warning")


def slot_row(schedule: Schedule, slot: Slot, run: RunLine | None) -> Row:
    """Return the cells of a slot."""
    icon, _, style = SLOT_LOOKS[slot.outcome]
    gone = "" if slot.run_id is None else "pruned"
    return (
        local_text(slot.due_at, schedule.zone),
        Cell(f"{icon} {slot.outcome}", style),
        "" if slot.run_id is None else str(slot.run_id),
        gone if run is None else state_cell(run.state),
        slot.reason or "",
    )


def _coming(schedule: Schedule) -> list[int]:
    """Return the slots that are due next; none of a zone that this machine does not know any more."""
    after = max(SYSTEM_CLOCK.now(), schedule.planned_to)
    try:
        return list(islice(slots(rule_of(schedule), after, LAST_MS), _COMING))
    except UsageError:
        return []


def _head(schedule: Schedule | None, why: str) -> str:
    if schedule is None:
        return why
    facts = [
        describe(rule_of(schedule)),
        f"runs {safe_line(what_it_runs(schedule))}",
        f"overlap {schedule.overlap}",
        f"catch-up {catch_up_text(schedule)}",
    ]
    return f"{safe_line(why)}\n{' · '.join(facts)}"
