"""The first line: the places, the one where one is, and whether a daemon works."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.events import Click
from textual.widgets import Static

from flowctl.tui.places import PLACES, WHOLE, Named, titled

if TYPE_CHECKING:
    from flowctl.tui.app import FlowctlApp


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
        yield _Daemon(classes="daemon")

    def on_resize(self) -> None:
        """Leave out what there is no room for."""
        self.query_one(".title").display = self.app.size.width >= WHOLE


class _Name(Static):
    def __init__(self, place: Named, here: bool) -> None:
        super().__init__(markup=False, classes="here" if here else "")
        self._place = place

    def on_mount(self) -> None:
        """Show the title, and in it the key."""
        key, rest = titled(self._place, cast("FlowctlApp", self.app).settings.keys)
        self.update(Text.assemble((key, "underline"), rest))

    def on_click(self, event: Click) -> None:
        """Go there."""
        event.stop()
        self.app.switch_mode(self._place.name)


class _Daemon(Static):
    """What the daemon does, in as many words as there is room for."""

    def on_mount(self) -> None:
        """Follow what is known of it."""
        self.watch(self.app, "daemon", self._tell)

    def on_resize(self) -> None:
        """Choose the words anew."""
        self._tell()

    def _tell(self) -> None:
        known = cast("FlowctlApp", self.app).daemon
        texts = [""] if known is None else _texts(*known)
        room = self.size.width - 2  # its padding
        self.update(Text(next((text for text in texts if len(text) <= room), "")))


def _texts(pid: int | None, running: int) -> list[str]:
    if pid is None:
        return ["○ no daemon: flowctl daemon start", "○ no daemon", "○"]
    return [f"● daemon pid {pid}, {running:,} running", f"● daemon, {running:,} running", "● daemon", "●"]
