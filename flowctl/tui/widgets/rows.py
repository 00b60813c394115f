"""Rows under a cursor, of which only those in sight are drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

Piece = tuple[str, str]  # safe text, and its colour as rich names it


class Rows(ScrollView, can_focus=True):
    """A list that its subclass draws. The first line may be a title that stays."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("pagedown,ctrl+d", "page(1)", "Page down", show=False),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False),
        Binding("home,g", "go_to(0)", "First", show=False),
        Binding("end,G", "go_to(-1)", "Last", show=False),
        Binding("enter", "choose", "Open", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"rows--title", "rows--cursor", "rows--here"}
    titled: ClassVar[bool] = False
    cursor: reactive[int] = reactive(0)

    class Moved(Message):
        """The cursor is on another row."""

        def __init__(self, rows: Rows) -> None:
            super().__init__()
            self.rows = rows

        @property
        def control(self) -> Rows:
            """Return the rows it comes from."""
            return self.rows

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

    def action_choose(self) -> None:
        """Open what is under the cursor."""

    # -- given to it

    @property
    def row(self) -> Any:
        """Return what is under the cursor, None in an empty list."""
        return self.rows[self.cursor] if 0 <= self.cursor < len(self.rows) else None

    def put(self, rows: Sequence[Any], cursor: int) -> None:
        """Show these rows, with the cursor on that one, which stays where it is on the screen."""
        above = self.cursor - self._first
        self.rows = rows
        self.virtual_size = Size(self.size.width, len(rows) + self.titled)
        self.set_reactive(Rows.cursor, max(0, min(cursor, len(rows) - 1)))
        self.scroll_to(y=max(0, self.cursor - max(0, above)), animate=False)
        self._show_cursor()
        self.refresh()

    @property
    def _first(self) -> int:
        return int(self.scroll_offset.y)

    @property
    def _height(self) -> int:
        return max(1, self.size.height - self.titled)

    def watch_cursor(self) -> None:
        """Keep the cursor in sight, and tell that it moved."""
        self._show_cursor()
        self.refresh()
        self.post_message(self.Moved(self))

    def on_resize(self) -> None:
        """Keep the cursor in sight."""
        self.virtual_size = Size(self.size.width, len(self.rows) + self.titled)
        self._show_cursor()

    def _show_cursor(self) -> None:
        if self.cursor < self._first:
            self.scroll_to(y=self.cursor, animate=False)
        elif self.cursor >= self._first + self._height:
            self.scroll_to(y=self.cursor - self._height + 1, animate=False)

    def action_move(self, by: int) -> None:
        """Move the cursor by so many rows."""
        self.cursor = max(0, min(len(self.rows) - 1, self.cursor + by))

    def action_page(self, by: int) -> None:
        """Move the cursor by so many pages."""
        self.action_move(by * max(1, self._height - 1))

    def action_go_to(self, row: int) -> None:
        """Move the cursor to a row, -1 being the last."""
        self.cursor = max(0, len(self.rows) - 1 if row < 0 else row)

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the row; a second click opens it."""
        row = self._first + event.y - self.titled
        if event.y < self.titled or row >= len(self.rows):
            return
        opened = row == self.cursor and event.chain > 1
        self.cursor = row
        if opened:
            self.action_choose()

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
