"""A choice among a few words, in one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.events import Click
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from flowctl.core.text import safe_line, shorten

_LONGEST = 40


class Choice(Widget, can_focus=True):
    """Left, right and space choose; the word that is chosen stands in brackets. '' is shown as –."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,space", "move(1)", "Next", show=False),
        Binding("left", "move(-1)", "Previous", show=False),
    ]
    value: reactive[str] = reactive("")

    class Changed(Message):
        """Another word is chosen."""

    def __init__(self, choices: Sequence[str], value: str) -> None:
        super().__init__()
        self.choices = list(choices)
        self.set_reactive(Choice.value, value if value in self.choices else self.choices[0])

    def watch_value(self) -> None:
        """Tell of the change."""
        self.post_message(self.Changed())

    def action_move(self, by: int) -> None:
        """Choose another word."""
        self.value = self.choices[(self.choices.index(self.value) + by) % len(self.choices)]

    def on_click(self, event: Click) -> None:
        """Choose the next word."""
        event.stop()
        self.action_move(1)

    def render(self) -> Text:
        """Return all words, or the chosen one and how many there are where they have no room."""
        words = {choice: shorten(safe_line(choice), _LONGEST) or "–" for choice in self.choices}
        if sum(cell_len(word) + 3 for word in words.values()) > self.size.width:
            place = f"{self.choices.index(self.value) + 1} of {len(words)}"
            return Text.assemble((f"[{words[self.value]}]", self._look), f"  {place}", no_wrap=True)
        parts = [
            (f"[{word}]", self._look) if each == self.value else (f" {word} ", "dim") for each, word in words.items()
        ]
        return Text(" ", no_wrap=True).join(Text(text, style) for text, style in parts)

    @property
    def _look(self) -> str:
        return "bold reverse" if self.has_focus else "bold"
