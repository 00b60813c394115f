"""The line in which a filter is typed."""

from __future__ import annotations

from textual.suggester import Suggester
from textual.widgets import Input

from flowctl.tui.filters import completed


class FilterLine(Input):
    """Hidden until it is needed."""

    def __init__(self) -> None:
        super().__init__(
            placeholder="text, or state:failed workflow:NAME since:2d tag:k=v is:dead", suggester=_Words(self)
        )
        self.names: dict[str, list[str]] = {}
        self.display = False

    def open(self, text: str) -> None:
        """Show it, with that text."""
        self.display = True
        self.value = text
        self.focus()

    def close(self) -> None:
        """Hide it."""
        self.display = False

    def key_escape(self) -> None:
        """Give up what was typed."""
        self.close()
        self.screen.focus_next()


class _Words(Suggester):
    def __init__(self, line: FilterLine) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._line = line

    async def get_suggestion(self, value: str) -> str | None:
        """Return the text with its last word completed."""
        return completed(value, self._line.names)
