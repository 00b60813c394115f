"""What a place with a filter has: the line in which it is typed, completed, and told what is wrong with it."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, Static

from flowctl.core.errors import UsageError
from flowctl.core.text import safe_line
from flowctl.tui.filters import RUN_FILTER, Syntax
from flowctl.tui.screens.list_place import ListPlace
from flowctl.tui.trouble import told
from flowctl.tui.widgets.filter_line import FilterLine


class Filtered(ListPlace):
    """A list of which a filter shows some."""

    syntax: ClassVar[Syntax] = RUN_FILTER
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", id="filter"),
        Binding("escape", "clear", "Clear", show=False, id="clear"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.filter = ""

    # -- to be given by a place

    def check(self, text: str) -> None:
        """Raise UsageError for a filter that means nothing."""

    async def names(self) -> dict[str, list[str]]:
        """Return the values with which fields are completed. Raises FlowctlError."""
        return {}

    # -- given to it

    def compose_filter(self) -> ComposeResult:
        """Yield the line, and what is said under it."""
        yield FilterLine(self.syntax)
        yield Static(markup=False, classes="wrong")

    def use(self, text: str) -> None:
        """Show what a filter means, from the first row on; one that means nothing is told of."""
        try:
            self.check(text)
        except UsageError as error:
            self._say(error)
            self.notify(safe_line(told(error, ": ")), severity="warning", markup=False)
            return
        self.filter = text
        self._close()
        self.table.marked = []
        self.table.show((), fresh=True)
        self.action_reload()

    def action_filter(self) -> None:
        """Let a filter be typed."""
        self.query_one(FilterLine).open(self.filter)
        self.run_worker(self._learn_names(), group="names")

    def action_clear(self) -> None:
        """Show all, and take the marks away."""
        self.use("")

    async def _learn_names(self) -> None:
        self.query_one(FilterLine).names = await self.names()

    @on(Input.Changed)
    def _check(self, event: Input.Changed) -> None:
        try:
            self.check(event.value.strip())
        except UsageError as error:
            self._say(error)
        else:
            self._say(None)

    @on(Input.Submitted)
    def _apply(self, event: Input.Submitted) -> None:
        self.use(event.value.strip())

    @on(FilterLine.Left)
    def _close(self) -> None:
        self.query_one(FilterLine).display = False
        self._say(None)
        self.table.focus()

    def _say(self, error: UsageError | None) -> None:
        wrong = self.query_one(".wrong", Static)
        wrong.display = error is not None and self.query_one(FilterLine).display
        wrong.update("" if error is None else safe_line(told(error, ": ")))
