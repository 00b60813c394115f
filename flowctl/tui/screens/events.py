"""Events: what happened, and who did it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from flowctl.cli.events import subject_of, what_of
from flowctl.cli.instants import local
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.model import Event
from flowctl.store import Store
from flowctl.tui.cells import state_cell
from flowctl.tui.columns import Column, Row
from flowctl.tui.filters import EVENT_FILTER, Syntax, parse_event_filter
from flowctl.tui.screens.filtered import Filtered
from flowctl.tui.widgets.table import Key, Table

PAGE = 500  # lines that are read at a time: more when the cursor comes to the oldest
_RUN = re.compile(r"run (\d{1,18})", re.ASCII)
COLUMNS = (
    Column("WHEN", 19),
    Column("SUBJECT", 18),
    Column("WHAT", 0),
    Column("WHO", 26, from_width=100),
)


class EventsScreen(Filtered):
    """The audit log."""

    name_of_place = "events"
    syntax: ClassVar[Syntax] = EVENT_FILTER
    BINDINGS: ClassVar[list[BindingType]] = [Binding("o", "turn_round", "Newest first or last", id="sort")]

    def __init__(self) -> None:
        super().__init__()
        self._events: dict[Key, Event] = {}
        self._limit = PAGE
        self._newest_first = True

    def compose_body(self) -> ComposeResult:
        """Yield the filter and the log."""
        yield from self.compose_filter()
        yield Table(COLUMNS, self._fetch)

    async def load(self) -> None:
        """Read the newest lines."""
        wanted = parse_event_filter(self.filter, self.flowctl.namespace, SYSTEM_CLOCK.now(), self._limit)

        def question(store: Store) -> list[Event]:
            return store.events.find(wanted)

        found = await self.ask(question)
        table = self.table
        at_end = not self._newest_first and table.cursor == len(table.keys) - 1
        self._events = {event.id: event for event in found}
        keys = list(self._events)
        table.show(keys[::-1] if self._newest_first else keys)
        if at_end:
            table.action_go_to(-1)
        table.sorted_by = f"WHEN{'▼' if self._newest_first else '▲'}"
        self._count()

    def _count(self) -> None:
        more = f"the newest {self._limit:,}, older ones follow" if len(self._events) == self._limit else ""
        count = more or (f"{len(self._events):,} events" if len(self._events) != 1 else "1 event")
        if self._events:
            self.tell(f"{count}{f' · {self.filter}' if self.filter else ''}")
        else:
            self.tell(f"no event fits {self.filter} · Esc shows all" if self.filter else "no events yet")

    async def _fetch(self, keys: Sequence[Key]) -> Mapping[Key, Row]:
        return {key: _row(self._events[key]) for key in keys if key in self._events}

    @on(Table.Moved)
    def _read_on(self) -> None:
        oldest = len(self.table.keys) - 1 if self._newest_first else 0
        if self.table.cursor == oldest and len(self.table.keys) == self._limit:
            self._limit += PAGE
            self.action_reload()

    @on(Table.Chosen)
    def _open(self, event: Table.Chosen) -> None:
        line = self._events.get(event.key)
        run = _RUN.fullmatch(subject_of(line)) if line is not None else None
        if run is None:
            self.notify("this line is not about a run", markup=False)
        else:
            self.flowctl.open_run(int(run[1]))

    def check(self, text: str) -> None:
        """Raise UsageError for a filter that means nothing."""
        parse_event_filter(text, self.flowctl.namespace, SYSTEM_CLOCK.now(), PAGE)

    async def names(self) -> dict[str, list[str]]:
        """Return the runs there are lines about."""
        return {"run": list(dict.fromkeys(str(each.run_id) for each in self._events.values() if each.run_id))}

    def use(self, text: str) -> None:
        """Show what a filter means, from its newest lines on."""
        self._limit = PAGE
        super().use(text)

    def action_turn_round(self) -> None:
        """Show the newest first, or last."""
        self._newest_first = not self._newest_first
        self.action_reload()


def _row(event: Event) -> Row:
    text = what_of(event)
    what = text if event.state is None else state_cell(event.state, text)
    return local(event.at), subject_of(event), what, event.actor or ""
