"""Signal: a message to a run, and those it was sent before."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.widgets import Input, Static

from flowctl.cli.arguments import parse_json
from flowctl.cli.instants import local
from flowctl.core.errors import UsageError
from flowctl.core.schemas import misfit
from flowctl.core.signals import Signal
from flowctl.core.text import safe_line
from flowctl.sdk.options import check_name
from flowctl.store import Store
from flowctl.tui.columns import Column, Row
from flowctl.tui.screens.decision import Decision
from flowctl.tui.widgets.given import Given
from flowctl.tui.widgets.safe_input import SafeInput
from flowctl.tui.widgets.table import Key, Table

COLUMNS = (
    Column("SENT", 19),
    Column("SIGNAL", 14),
    Column("VALUE", 0),
    Column("BY", 12, from_width=70),
    Column("TAKEN BY", 14, from_width=56),
)


class _Found(NamedTuple):
    """What is known of a run's signals."""

    sent: list[Signal]
    awaited: dict[str, Mapping[str, Any]]  # name: the schema of its value


class SignalForm(Decision):
    """A signal to a run."""

    keys = "Enter send   tab next field   ctrl+y copy the command   Esc back"

    def __init__(self, run: int) -> None:
        super().__init__(f"Signal to run {run}")
        self._run = run
        self._sent: dict[int, Signal] = {}
        self._awaited: dict[str, Mapping[str, Any]] = {}

    def compose_fields(self) -> ComposeResult:
        """Yield the signals that were sent, and the one to send."""
        yield Table(COLUMNS, self._fetch, id="sent")
        yield Static(markup=False, id="awaited")
        yield SafeInput(placeholder="name", id="name", compact=True)
        yield Given('value as JSON: true, "text", {"by": "ada"}; nothing means null', id="value")

    async def load(self) -> None:
        """Read what was sent, and what the run waits for."""
        found = await self.ask(lambda store: _found(store, self._run))
        self._sent, self._awaited = {each.id: each for each in found.sent}, found.awaited
        table = self.query_one("#sent", Table)
        table.display = bool(found.sent)
        table.show(list(reversed(self._sent)))
        names = ", ".join(found.awaited)
        text = (
            f"it waits for {names}" if names else "it waits for no signal now, and takes this one when it asks for it"
        )
        self.query_one("#awaited", Static).update(safe_line(text))
        if found.awaited:
            self.query_one("#name", Input).value = next(iter(found.awaited))
        self.query_one("#value" if found.awaited else "#name").focus()

    async def _fetch(self, keys: Sequence[Key]) -> Mapping[Key, Row]:
        return {key: _row(self._sent[key]) for key in keys if isinstance(key, int)}

    @on(Input.Submitted)
    def _go_on(self) -> None:
        self.query_one("#value").focus()

    @property
    def _signal(self) -> str:
        return self.query_one("#name", Input).value.strip()

    def words(self) -> tuple[str, ...]:
        """Return the words of the command."""
        return ("signal", str(self._run), self._signal or "…", "-")

    def given(self) -> str | None:
        """Return the value. Raises UsageError for what is no JSON, or not what a step waits for."""
        try:
            name = check_name(self._signal)
        except ValueError as error:
            raise UsageError(f"the signal's name: {error}") from None
        text = self.query_one("#value", Given).text.strip() or "null"
        wrong = misfit(self._awaited.get(name, {}), parse_json(text, "the value"))
        if wrong is not None:
            raise UsageError(f"the run waits for another value: {wrong}")
        return text


def _found(store: Store, run: int) -> _Found:
    store.runs.get(run)  # one that is gone says so
    awaited = {name: store.signals.waiting(run, name) for name in store.signals.awaited(run)}
    schemas = {name: json.loads(found[1]).get("type", {}) for name, found in awaited.items() if found is not None}
    return _Found(store.signals.of_run(run), schemas)


def _row(signal: Signal) -> Row:
    return (local(signal.sent_at), signal.name, signal.value, signal.sender, signal.taken_by or "")
