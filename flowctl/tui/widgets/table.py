"""A list of rows, of which only those in sight are fetched and drawn: 100,000 are as quick as ten."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import ClassVar, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from flowctl.core.text import safe_line, shorten

Key = int | str
_LONGEST = 400  # characters of one cell: no terminal shows more


class Cell(NamedTuple):
    """A text in a row, and its colour as rich names it."""

    text: str
    style: str = ""


class Column(NamedTuple):
    """A column: its title, how many cells it has, and from which width of the whole list on it is shown.

    A column of width 0 takes what the others leave.
    """

    title: str
    width: int
    right: bool = False
    from_width: int = 0


Row = Sequence[Cell | str]
Fetch = Callable[[Sequence[Key]], Awaitable[Mapping[Key, Row]]]


class Table(ScrollView, can_focus=True):
    """Rows by key. The cursor stays on its key when the list changes, wherever that key has gone."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("pagedown,ctrl+d", "page(1)", "Page down", show=False),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False),
        Binding("home,g", "go_to(0)", "First", show=False),
        Binding("end,G", "go_to(-1)", "Last", show=False),
        Binding("enter", "choose", "Open", show=True, id="open"),
        Binding("space", "mark", "Mark", show=False, id="mark"),
        Binding("ctrl+a", "mark_all", "Mark all, or none", show=False, id="mark_all"),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"table--header", "table--cursor", "table--marked", "table--faint"}
    cursor: reactive[int] = reactive(0, repaint=False)  # what it left and where it is are drawn, no more

    class Moved(Message):
        """The cursor is on another row, or that row has changed; None in an empty list."""

        def __init__(self, table: Table, key: Key | None) -> None:
            super().__init__()
            self.table = table
            self.key = key

        @property
        def control(self) -> Table:
            """Return the list it comes from."""
            return self.table

    class Chosen(Message):
        """A row is to be opened."""

        def __init__(self, table: Table, key: Key) -> None:
            super().__init__()
            self.table = table
            self.key = key

        @property
        def control(self) -> Table:
            """Return the list it comes from."""
            return self.table

    class HeaderClicked(Message):
        """The title of a column was clicked."""

        def __init__(self, table: Table, title: str) -> None:
            super().__init__()
            self.table = table
            self.title = title

        @property
        def control(self) -> Table:
            """Return the list it comes from."""
            return self.table

    def __init__(self, columns: Sequence[Column], fetch: Fetch, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.columns = tuple(columns)
        self.keys: Sequence[Key] = ()
        self.marked: list[Key] = []
        self.most_marked = 1_000  # at once
        self.sorted_by = ""  # title of the column that has an arrow, with the arrow
        self._fetch = fetch
        self._rows: dict[Key, Row] = {}
        self._fetching = False

    # -- what it shows

    @property
    def key(self) -> Key | None:
        """Return the key of the row under the cursor."""
        return self.keys[self.cursor] if 0 <= self.cursor < len(self.keys) else None

    def show(self, keys: Sequence[Key], *, fresh: bool = False) -> None:
        """Show these rows, and fetch anew those in sight. With `fresh` the list begins at its first row again."""
        before, first = self.key, self._first
        cursor_in_sight = first <= self.cursor < first + max(1, self.size.height - 1)
        held = self.cursor if cursor_in_sight else first  # the row that keeps its place on the screen
        held_key = self.keys[held] if held < len(self.keys) else None
        self.keys = keys
        self.virtual_size = Size(self.size.width, len(keys) + 1)
        at = 0 if fresh or before is None else self._place_of(before, self.cursor)
        self.set_reactive(Table.cursor, max(0, min(at, len(keys) - 1)))
        if fresh:
            self.scroll_to(y=0, animate=False)
        elif first and held_key is not None:  # a list that is at its top stays there: what is new comes into sight
            self.scroll_to(y=max(0, first + self._place_of(held_key, held) - held), animate=False)
        if fresh or cursor_in_sight:
            self._show_cursor()
        self.refetch()
        self.post_message(self.Moved(self, self.key))

    def refetch(self) -> None:
        """Fetch the rows in sight again: what they say may have changed. The old ones stay until then."""
        self._begin_fetch(everything=True)

    def put(self, rows: Mapping[Key, Row]) -> None:
        """Show rows of which something is known without a fetch."""
        self._rows.update(rows)
        self.refresh()

    @property
    def in_sight(self) -> Sequence[Key]:
        """Return the keys of the rows in sight."""
        return self.keys[self._first : self._first + self.size.height]

    def _place_of(self, key: Key, otherwise: int) -> int:
        try:
            return self.keys.index(key)
        except ValueError:
            return otherwise

    def _begin_fetch(self, *, everything: bool) -> None:
        fetch = partial(self._fetch_in_sight, everything=everything)  # a coroutine may be dropped before it begins
        group = "fetch" if everything else "scroll"
        self.run_worker(fetch, exclusive=everything, group=group)  # type: ignore[arg-type] # an async one

    async def _fetch_in_sight(self, *, everything: bool) -> None:
        height = max(1, self.size.height)
        first = max(0, self._first - height)
        wanted = self.keys[first : self._first + 2 * height]
        missing = wanted if everything else [key for key in wanted if key not in self._rows]
        if missing:
            found = await self._fetch(missing)
            if everything or len(self._rows) > 20 * height:
                self._rows = {key: self._rows[key] for key in wanted if key in self._rows}
            self._rows.update(found)
            self.refresh()
            if self.key in found:
                self.post_message(self.Moved(self, self.key))

    @property
    def _first(self) -> int:
        return int(self.scroll_offset.y)

    # -- moving

    def watch_cursor(self, old_value: int, new_value: int) -> None:
        """Keep the cursor in sight, and tell that it moved. Where nothing scrolls, only two rows are drawn."""
        self._show_cursor()
        for row in (old_value, new_value):
            self.refresh(Region(0, row - self._first + 1, self.size.width, 1))
        self.post_message(self.Moved(self, self.key))

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Fetch what comes into sight."""
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self._begin_fetch(everything=False)

    def on_resize(self) -> None:
        """Fetch what comes into sight, and keep the cursor there."""
        self.virtual_size = Size(self.size.width, len(self.keys) + 1)
        self._show_cursor()
        self._begin_fetch(everything=False)

    def _show_cursor(self) -> None:
        height = max(1, self.size.height - 1)
        if self.cursor < self._first:
            self.scroll_to(y=self.cursor, animate=False)
        elif self.cursor >= self._first + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False)

    def action_move(self, by: int) -> None:
        """Move the cursor by so many rows."""
        self.cursor = max(0, min(len(self.keys) - 1, self.cursor + by))

    def action_page(self, by: int) -> None:
        """Move the cursor by so many pages."""
        self.action_move(by * max(1, self.size.height - 2))

    def action_go_to(self, row: int) -> None:
        """Move the cursor to a row, -1 being the last."""
        self.cursor = max(0, len(self.keys) - 1 if row < 0 else row)

    def action_choose(self) -> None:
        """Open the row under the cursor."""
        if self.key is not None:
            self.post_message(self.Chosen(self, self.key))

    def action_mark(self) -> None:
        """Mark the row under the cursor, or take the mark away, and go on to the next."""
        if self.key is None:
            return
        if self.key in self.marked:
            self.marked.remove(self.key)
        else:
            self.marked.append(self.key)
        self.action_move(1)
        self.refresh()
        self.post_message(self.Moved(self, self.key))

    def action_mark_all(self) -> None:
        """Mark every row, or none when every one is marked."""
        if len(self.keys) > self.most_marked:
            self.notify(f"at most {self.most_marked:,} rows are marked at once: use a filter", severity="warning")
            return
        self.marked = [] if len(self.marked) == len(self.keys) else list(self.keys)
        self.refresh()
        self.post_message(self.Moved(self, self.key))

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the row; a second click opens it."""
        if event.y == 0:
            title = self._title_at(event.x)
            if title:
                self.post_message(self.HeaderClicked(self, title))
            return
        row = self._first + event.y - 1
        if row < len(self.keys):
            opened = row == self.cursor and event.chain > 1
            self.cursor = row
            if opened:
                self.action_choose()

    def _title_at(self, x: int) -> str:
        start = 1
        for column, width in self._widths():
            if start <= x < start + width + 1:
                return column.title
            start += width + 2
        return ""

    # -- drawing

    def render_line(self, y: int) -> Strip:
        """Return one line: the titles, or a row."""
        width = self.size.width
        if y == 0:
            return self._line([self._titled(column) for column in self.columns], " ", "table--header", width)
        place = self._first + y - 1
        if place >= len(self.keys):
            return Strip.blank(width, self.rich_style)
        key = self.keys[place]
        row = self._rows.get(key)
        mark = "•" if key in self.marked else " "
        look = "table--cursor" if place == self.cursor and self.has_focus else ""
        look = look or ("table--marked" if place == self.cursor or key in self.marked else "")
        return self._line(["…"] if row is None else row, mark, look, width)

    def _titled(self, column: Column) -> str:
        if self.sorted_by[:-1] == column.title:
            return self.sorted_by
        return column.title

    def _line(self, cells: Row, mark: str, look: str, width: int) -> Strip:
        base = self.rich_style + (self.get_component_rich_style(look, partial=True) if look else Style.null())
        segments = [Segment(mark, base)]
        texts = dict(zip(self.columns, cells, strict=False))
        for column, cells_wide in self._widths():
            cell = texts.get(column, "")
            text, style = cell if isinstance(cell, Cell) else (cell, "")
            own = base + Style.parse(style) if style and look != "table--cursor" else base
            segments.append(Segment(_fitted(text, cells_wide, column.right) + "  ", own))
        return Strip(segments).adjust_cell_length(width, base)

    def _widths(self) -> list[tuple[Column, int]]:
        """Return the columns that are shown and their widths."""
        width = self.size.width
        shown = [column for column in self.columns if width >= column.from_width]
        left = width - 1 - sum(column.width + 2 for column in shown)
        flexible = sum(column.width == 0 for column in shown) or 1
        return [(column, column.width or max(0, left // flexible)) for column in shown]


def _fitted(text: str, width: int, right: bool) -> str:
    """Return a text made safe, in exactly so many cells of a terminal."""
    line = safe_line(shorten(text, _LONGEST))
    if cell_len(line) > width:
        return set_cell_size(line, max(0, width - 1)) + "…" if width else ""
    return f"{'':{width - cell_len(line)}}{line}" if right else set_cell_size(line, width)
