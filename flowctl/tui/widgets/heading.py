"""The first line: the places, and the one where one is."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.events import Click
from textual.widgets import Static

from flowctl.tui.places import PLACES, Named


class Heading(Horizontal):
    """The names of the places; a click goes there."""

    def __init__(self, here: str) -> None:
        super().__init__()
        self._here = here

    def compose(self) -> ComposeResult:
        """Yield the names."""
        yield Static("flowctl", classes="title")
        for place in PLACES:
            yield _Name(place, place.name == self._here)


class _Name(Static):
    def __init__(self, place: Named, here: bool) -> None:
        super().__init__(f"{place.key} {place.title}", markup=False, classes="here" if here else "")
        self._place = place

    def on_click(self, event: Click) -> None:
        """Go there."""
        event.stop()
        self.app.switch_mode(self._place.name)
