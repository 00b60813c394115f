"""Queues and their limits; what works on the file; circuit breakers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import DescendantFocus
from textual.widgets import Static

from flowctl.cli.breakers import breaker_row
from flowctl.cli.instants import short
from flowctl.cli.render import limits_text
from flowctl.core.breakers import Breaker
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.model import Queue
from flowctl.engine.daemon_lock import DaemonFacts, running_daemon
from flowctl.engine.queues import QueueView, list_queues
from flowctl.engine.status import EngineFacts, live_engines
from flowctl.store import Store
from flowctl.tui.columns import Cell, Column, Row
from flowctl.tui.screens.limits import Limits
from flowctl.tui.screens.place import Place
from flowctl.tui.screens.queue_actions import QUEUE_ACTIONS, Chosen
from flowctl.tui.widgets.table import Key, Table

_LOOK_S = 2.0  # an engine that dies writes nothing into the file
_QUEUES = (
    Column("QUEUE", 0),
    Column("RUNNING", 7, right=True),
    Column("QUEUED", 7, right=True),
    Column("OLDEST", 8, right=True, from_width=70),
    Column("LIMITS", 0),
)
_ENGINES = (
    Column("ENGINE", 12),
    Column("PID", 8, right=True),
    Column("RUNNING", 7, right=True),
    Column("QUEUES", 0),
    Column("LABELS", 16, from_width=76),
)
_BREAKERS = (
    Column("BREAKER", 0),
    Column("STATE", 11),
    Column("FAILURES", 16),
    Column("SINCE", 19, from_width=76),
    Column("UNTIL", 19, from_width=100),
)
_ICONS = {"open": "✗", "half_open": "◌", "closed": "✓"}
_STYLES = {"open": "red", "half_open": "yellow", "closed": "green"}


class Found(NamedTuple):
    """What the file and the locks say."""

    queues: list[QueueView]
    engines: list[EngineFacts]
    breakers: list[tuple[Breaker, int]]
    daemon: DaemonFacts | None


class QueuesScreen(Place):
    """Three lists, one below the other."""

    name_of_place = "queues"
    actions = QUEUE_ACTIONS
    BINDINGS: ClassVar[list[BindingType]] = [Binding("e", "edit", "Limits", id="limits")]

    def __init__(self) -> None:
        super().__init__()
        self._found = Found([], [], [], None)

    def compose_body(self) -> ComposeResult:
        """Yield the lists, each with its title."""
        for name, title, columns in (
            ("queues", "Queues", _QUEUES),
            ("engines", "Engines", _ENGINES),
            ("breakers", "Breakers", _BREAKERS),
        ):
            yield Static(title, id=f"{name}-title", markup=False, classes="section")
            yield Table(columns, partial(self._fetch, name), id=name)

    def on_mount(self) -> None:
        """Read, and look again now and then."""
        self.query_one("#queues", Table).focus()
        self.set_interval(_LOOK_S, self._look_again)

    def _look_again(self) -> None:
        if self.is_current:
            self.action_reload()

    async def load(self) -> None:
        """Read what there is."""
        namespace, now = self.flowctl.namespace, SYSTEM_CLOCK.now()

        def question(store: Store) -> Found:
            breakers = [(each, store.breakers.recent(each, now)) for each in store.breakers.all(namespace)]
            return Found(list_queues(store, namespace, now), live_engines(store), breakers, running_daemon(store.path))

        try:
            self._found = await self.ask(question)
        except BaseException:
            self._found = Found([], [], [], running_daemon(os.path.realpath(self.flowctl.db)))
            raise
        self._show()

    def _show(self) -> None:
        found = self._found
        self.query_one("#queues", Table).show([view.queue.name for view in found.queues])
        self.query_one("#engines", Table).show([engine.pid for engine in found.engines])
        self.query_one("#breakers", Table).show([breaker.name for breaker, _ in found.breakers])
        daemon = f"daemon pid {found.daemon.pid}" if found.daemon else "no daemon: flowctl daemon start"
        self.query_one("#engines-title", Static).update(f"Engines · {daemon}")
        none = "" if found.breakers else " · no step with a breaker has failed yet"
        self.query_one("#breakers-title", Static).update(f"Breakers{none}")
        none = "no queue has limits or runs: flowctl queues set NAME --concurrency N"
        self.tell("Tab goes to the next list" if found.queues else none)

    async def _fetch(self, name: str, keys: Sequence[Key]) -> Mapping[Key, Row]:
        found = self._found
        if name == "queues":
            rows: dict[Key, Row] = {view.queue.name: _queue_row(view) for view in found.queues}
        elif name == "engines":
            rows = {engine.pid: _engine_row(engine) for engine in found.engines}
        else:
            rows = {breaker.name: _breaker_row(breaker, recent) for breaker, recent in found.breakers}
        return {key: rows[key] for key in keys if key in rows}

    def subjects(self) -> list[Chosen]:
        """Return what is under the cursor of the list that has the keys."""
        table = self.focused if isinstance(self.focused, Table) else self.query_one("#queues", Table)
        name, found = "" if table.key is None else str(table.key), self._found
        queue = next((view.queue for view in found.queues if table.id == "queues" and view.queue.name == name), None)
        breaker = next((each for each, _ in found.breakers if table.id == "breakers" and each.name == name), None)
        return [Chosen(name, queue, breaker, found.daemon is not None)]

    @on(Table.Moved)
    def _follow(self) -> None:
        self.grey_out()

    @on(DescendantFocus)
    def _tell_focus(self) -> None:
        for table in self.query(Table):
            self.query_one(f"#{table.id}-title").set_class(table.has_focus, "focused")
        self.grey_out()

    @on(Table.Chosen)
    def _open(self) -> None:
        self.action_edit()

    def action_edit(self) -> None:
        """Change the limits of the queue under the cursor."""
        queue = self.subjects()[0].queue
        if queue is None:
            self.notify("choose a queue, or set limits of a new one: flowctl queues set NAME", markup=False)
        else:
            self.app.push_screen(Limits(queue))


def _queue_row(view: QueueView) -> Row:
    queue: Queue = view.queue
    oldest = "" if view.oldest_at is None else short(SYSTEM_CLOCK.now() - view.oldest_at)
    limits = Cell(limits_text(queue), "yellow" if queue.paused_at is not None else "")
    return queue.name, f"{view.running:,}", f"{view.queued:,}", oldest, limits


def _engine_row(engine: EngineFacts) -> Row:
    queues = "every queue" if engine.queues is None else ", ".join(engine.queues)
    return engine.kind, str(engine.pid), f"{engine.running:,}", queues, ", ".join(engine.labels)


def _breaker_row(breaker: Breaker, recent: int) -> Row:
    name, state, *rest = breaker_row(breaker, recent, SYSTEM_CLOCK.now())
    return (name, Cell(f"{_ICONS[breaker.state]} {state}", _STYLES[breaker.state]), *rest)
