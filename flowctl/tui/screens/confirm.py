"""A question before something is destroyed, with the command that would do it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from flowctl.core.text import safe_line

if TYPE_CHECKING:
    from flowctl.tui.app import FlowctlApp


class Confirm(ModalScreen[bool]):
    """Yes or no; y copies the command."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "dismiss(True)", "Yes"),
        Binding("escape,q", "dismiss(False)", "No"),
        Binding("y", "copy", "Copy command"),
    ]

    def __init__(self, question: str, command: str) -> None:
        super().__init__()
        self._question = question
        self._command = command

    def compose(self) -> ComposeResult:
        """Yield the question and the command."""
        with Vertical(classes="dialog"):
            yield Static(safe_line(self._question), markup=False, classes="title")
            yield Static(safe_line(self._command), markup=False, classes="command")
            yield Static("Enter yes   Esc no   y copy the command", markup=False, classes="faint")

    def action_copy(self) -> None:
        """Copy the command."""
        cast("FlowctlApp", self.app).copy(self._command)
