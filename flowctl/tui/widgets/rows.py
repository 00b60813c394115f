"""Rows that a subclass draws, of which only those in sight are drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.strip import Strip

from flowctl.tui.widgets.cursor_list import CursorList

Piece = tuple[str, str]  # safe text, and its colour as rich names it


class Rows(CursorList):
    """A list that its subclass draws."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "choose", "Open", show=False)]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"rows--title", "rows--cursor", "rows--here"}

    class Moved(CursorList.Moved):
        """The cursor is on another row."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.rows: Sequence[Any] = ()

    # -- to be given by a subclass

    def draw(self, row: Any, width: int) -> Iterable[Piece]:
        """Return a row, in at most so many cells of a terminal."""
        raise NotImplementedError

    def title(self, width: int) -> Iterable[Piece]:  # noqa: ARG002 - for a subclass
        """Return the line that stays."""
        return ()

    # -- given to it

    @property
    def length(self) -> int:
        """Return how many rows there are."""
        return len(self.rows)

    @property
    def row(self) -> Any:
        """Return what is under the cursor, None in an empty list."""
        return self.rows[self.cursor] if 0 <= self.cursor < len(self.rows) else None

    def put(self, rows: Sequence[Any], cursor: int) -> None:
        """Show these rows, with the cursor on that one, which stays where it is on the screen."""
        above = self.cursor - self._first
        self.rows = rows
        self._measure()
        self.set_reactive(Rows.cursor, self._within(cursor))
        self.scroll_to(y=max(0, self.cursor - max(0, above)), animate=False)
        self._show_cursor()
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return one line: the title, or a row."""
        width = self.scrollable_content_region.width
        if self.titled and y == 0:
            return self._strip(self.title(width), "rows--title", width)
        at = self._first + y - self.titled
        if at >= len(self.rows):
            return Strip.blank(width, self.rich_style)
        here = at == self.cursor
        look = ("rows--cursor" if self.has_focus else "rows--here") if here else ""
        return self._strip(self.draw(self.rows[at], width), look, width)

    def _strip(self, pieces: Iterable[Piece], look: str, width: int) -> Strip:
        own = self.get_component_rich_style(look, partial=True) if look else Style.null()
        base = self.rich_style + own
        plain = look == "rows--cursor"  # its colours are for reading on its own background
        segments = [Segment(text, base if plain or not style else base + Style.parse(style)) for text, style in pieces]
        return Strip(segments).adjust_cell_length(width, base)
