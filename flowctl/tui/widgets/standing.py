"""The line above the keys: how this place stands, and why what it shows may be old."""

from __future__ import annotations

from textual.reactive import reactive
from textual.widgets import Static

from flowctl.core.text import safe_line
from flowctl.tui.places import SMALLEST


class Standing(Static):
    """One line of text; trouble with the file goes before everything else."""

    text: reactive[str] = reactive("")

    def __init__(self) -> None:
        super().__init__(markup=False)

    def on_mount(self) -> None:
        """Watch for trouble."""
        self.watch(self.app, "trouble", self._tell)

    def on_resize(self) -> None:
        """Tell of a terminal that is too small."""
        self._tell()

    def watch_text(self) -> None:
        """Show the new text."""
        self._tell()

    def _tell(self) -> None:
        trouble = getattr(self.app, "trouble", "")
        self.set_class(bool(trouble), "trouble")
        width, height = self.app.size
        small = width < SMALLEST[0] or height < SMALLEST[1]
        least = "the terminal has {}x{}: {}x{} is the least · ".format(width, height, *SMALLEST) if small else ""
        self.update(least + (f"! {trouble}" if trouble else safe_line(self.text)))
