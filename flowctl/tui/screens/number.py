"""A question for one of the number keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from flowctl.core.text import safe_line
from flowctl.tui.views import NUMBERS


class Number(ModalScreen[str]):
    """Shows the view of each number, and returns the number that is pressed."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "dismiss('')", "Back")]

    def __init__(self, question: str, views: Mapping[str, str]) -> None:
        super().__init__()
        self._question = question
        self._views = views

    def compose(self) -> ComposeResult:
        """Yield the question and the numbers."""
        lines = [f"{number}  {self._views.get(number) or ('all' if number == '1' else '')}" for number in NUMBERS]
        with Vertical(classes="dialog"):
            yield Static(safe_line(self._question), markup=False, classes="title")
            yield Static("\n".join(map(safe_line, lines)), markup=False)
            yield Static("1-9 that number   Esc back", markup=False, classes="faint")

    def on_key(self, event: events.Key) -> None:
        """Take a number."""
        if event.key in NUMBERS:
            event.stop()
            self.dismiss(event.key)
