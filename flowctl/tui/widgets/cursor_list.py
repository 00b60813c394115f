"""What every list with a cursor has: how the cursor moves, by key and by click, and that it stays in sight."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView


class ListMessage(Message):
    """Something that a list tells."""

    def __init__(self, of: CursorList) -> None:
        super().__init__()
        self._of = of

    @property
    def control(self) -> CursorList:
        """Return the list that tells it."""
        return self._of


class CursorList(ScrollView, can_focus=True):
    """Rows under a cursor, one line each. The first line may be a title that stays."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("pagedown,ctrl+d", "page(1)", "Page down", show=False),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False),
        Binding("home,g", "go_to(0)", "First", show=False),
        Binding("end,G", "go_to(-1)", "Last", show=False),
    ]
    titled: ClassVar[bool] = False
    cursor: reactive[int] = reactive(0, repaint=False)  # what it left and where it is are drawn, no more

    class Moved(ListMessage):
        """The cursor is on another row, or that row has changed."""

    # -- to be given by a subclass

    @property
    def length(self) -> int:
        """Return how many rows there are."""
        raise NotImplementedError

    def action_choose(self) -> None:
        """Open the row under the cursor."""

    def clicked(self, x: int) -> None:
        """Do what a click does beside moving the cursor there."""

    def title_clicked(self, x: int) -> None:
        """Do what a click on the title does."""

    # -- given to it

    def watch_cursor(self, old_value: int, new_value: int) -> None:
        """Keep the cursor in sight, and tell that it moved. Where nothing scrolls, only two rows are drawn."""
        self._show_cursor()
        for row in (old_value, new_value):
            self.refresh(Region(0, row - self._first + self.titled, self.size.width, 1))
        self.post_message(self.Moved(self))

    def on_resize(self) -> None:
        """Keep the cursor in sight."""
        self._measure()
        self._show_cursor()

    def action_move(self, by: int) -> None:
        """Move the cursor by so many rows."""
        self.cursor = self._within(self.cursor + by)

    def action_page(self, by: int) -> None:
        """Move the cursor by so many pages."""
        self.action_move(by * max(1, self._height - 1))

    def action_go_to(self, row: int) -> None:
        """Move the cursor to a row, -1 being the last."""
        self.cursor = max(0, self.length - 1 if row < 0 else row)

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the row; a second click opens it."""
        if event.y < self.titled:
            self.title_clicked(event.x)
            return
        row = self._first + event.y - self.titled
        if row >= self.length:
            return
        opened = row == self.cursor and event.chain > 1
        self.cursor = row
        if opened:
            self.action_choose()
        else:
            self.clicked(event.x)

    def _within(self, row: int) -> int:
        """Return the row that is nearest to where this one would be."""
        return max(0, min(self.length - 1, row))

    def _measure(self) -> None:
        """Say how far one can scroll."""
        self.virtual_size = self.size.with_height(self.length + self.titled)

    @property
    def _first(self) -> int:
        """Return the first row in sight."""
        return int(self.scroll_offset.y)

    @property
    def _height(self) -> int:
        """Return how many rows have room."""
        return max(1, self.size.height - self.titled)

    def _show_cursor(self) -> None:
        if self.cursor < self._first:
            self.scroll_to(y=self.cursor, animate=False)
        elif self.cursor >= self._first + self._height:
            self.scroll_to(y=self.cursor - self._height + 1, animate=False)
