"""The line above the keys: how this place stands, and why what it shows may be old."""

from __future__ import annotations

from textual.reactive import reactive
from textual.widgets import Static

from flowctl.core.text import safe_line


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
        small = f"the terminal has {width}x{height}: 60x20 is the least · " if width < 60 or height < 20 else ""
        self.update(small + (f"! {trouble}" if trouble else safe_line(self.text)))
