"""The names of the tabs, in one line."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.events import Click
from textual.message import Message
from textual.widgets import Static

TABS = ("input", "output", "error", "logs", "attempts", "code")


class TabLine(Horizontal):
    """A click on a name asks for its tab."""

    class Wanted(Message):
        """A tab is to be shown."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def compose(self) -> ComposeResult:
        """Yield the names."""
        for number, name in enumerate(TABS, 1):
            yield _Tab(f"{number} {name.capitalize()}", id=f"tab-{name}", markup=False)

    def mark(self, name: str) -> None:
        """Mark the tab that is shown."""
        for tab in self.query(_Tab):
            tab.set_class(tab.id == f"tab-{name}", "here")


class _Tab(Static):
    def on_click(self, event: Click) -> None:
        """Ask for it."""
        event.stop()
        self.post_message(TabLine.Wanted((self.id or "").removeprefix("tab-")))
