"""What a form is filled in with: a text that Enter sends, and a box that is ticked."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Static, TextArea


class Given(TextArea):
    """A text of a few lines. Enter sends the form, ctrl+j begins a new line."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "screen.submit", "Send", show=False, priority=True),
        Binding("ctrl+j", "new_line", "New line", show=False, priority=True),
    ]

    def __init__(self, placeholder: str, *, id: str | None = None) -> None:
        super().__init__(placeholder=placeholder, id=id, tab_behavior="focus", soft_wrap=True, compact=True)

    def action_new_line(self) -> None:
        """Begin a new line."""
        self.insert("\n")


class Tick(Static, can_focus=True):
    """A choice between yes and no."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("space,enter", "turn", "Change", show=False)]
    value: reactive[bool] = reactive(False)

    class Turned(Message):
        """It says something else now."""

    def __init__(self, label: str, *, id: str | None = None) -> None:
        super().__init__(id=id, markup=False)
        self._label = label

    def watch_value(self) -> None:
        """Show what it says."""
        self.update(f"[{'x' if self.value else ' '}] {self._label}")

    def action_turn(self) -> None:
        """Change it."""
        self.value = not self.value
        self.post_message(self.Turned())

    def on_click(self) -> None:
        """Change it."""
        self.action_turn()
