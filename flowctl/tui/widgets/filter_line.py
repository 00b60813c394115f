"""The line in which a filter is typed."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.suggester import Suggester

from flowctl.tui.filters import Syntax, completed
from flowctl.tui.widgets.safe_input import SafeInput


class FilterLine(SafeInput):
    """Hidden until it is needed. Tab, or the right arrow, takes what is offered."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "cursor_right", "Complete", show=False),
        Binding("escape", "leave", "Back", show=False),
    ]

    class Left(Message):
        """What was typed is given up."""

    def __init__(self, syntax: Syntax) -> None:
        super().__init__(placeholder=syntax.example, suggester=_Words(self), select_on_focus=False)
        self.syntax = syntax
        self.names: dict[str, list[str]] = {}
        self.display = False

    def open(self, text: str) -> None:
        """Show it, with that text, to which one more word can be added."""
        self.display = True
        self.value = f"{text} " if text else ""
        self.cursor_position = len(self.value)
        self.focus()

    def action_leave(self) -> None:
        """Give up what was typed."""
        self.post_message(self.Left())


class _Words(Suggester):
    def __init__(self, line: FilterLine) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._line = line

    async def get_suggestion(self, value: str) -> str | None:
        """Return the text with its last word completed."""
        return completed(value, self._line.syntax, self._line.names)
