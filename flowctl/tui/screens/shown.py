"""A text to look at, and to select."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from flowctl.core.text import safe, safe_line


class Shown(ModalScreen[None]):
    """A title, and a text below it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter", "dismiss(None)", "Back")]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._heading = title
        self._text = text

    def compose(self) -> ComposeResult:
        """Yield both."""
        with VerticalScroll(classes="dialog"):
            yield Static(safe_line(self._heading), markup=False, classes="title")
            yield Static(safe(self._text), markup=False)
