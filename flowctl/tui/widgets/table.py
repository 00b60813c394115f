"""A list of rows, of which only those in sight are fetched and drawn: 100,000 are as quick as ten."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.strip import Strip
from textual.worker import Worker, WorkerCancelled, WorkerFailed

from flowctl.tui.columns import Column, Row, laid_out, titles, widths
from flowctl.tui.widgets.cursor_list import CursorList, ListMessage

Key = int | str
Fetch = Callable[[Sequence[Key]], Awaitable[Mapping[Key, Row]]]


class Table(CursorList):
    """Rows by key. The cursor stays on its key when the list changes, wherever that key has gone."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "Open", show=True, id="open"),
        Binding("space", "mark", "Mark", show=False, id="mark"),
        Binding("ctrl+a", "mark_all", "Mark all, or none", show=False, id="mark_all"),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"table--header", "table--cursor", "table--marked"}
    titled = True

    class Moved(CursorList.Moved):
        """The cursor is on another row, or that row has changed, or others are marked."""

    class Chosen(ListMessage):
        """A row is to be opened."""

        def __init__(self, of: Table, key: Key) -> None:
            super().__init__(of)
            self.key = key

    class HeaderClicked(ListMessage):
        """The title of a column was clicked."""

        def __init__(self, of: Table, title: str) -> None:
            super().__init__(of)
            self.title = title

    def __init__(self, columns: Sequence[Column], fetch: Fetch, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.columns = tuple(columns)
        self.keys: Sequence[Key] = ()
        self.marked: list[Key] = []
        self.most_marked = 1_000  # at once
        self.sorted_by = ""  # title of the column that has an arrow, with the arrow
        self._fetch = fetch
        self._rows: dict[Key, Row] = {}
        self._fetching: Worker[None] | None = None

    # -- what it shows

    @property
    def length(self) -> int:
        """Return how many rows there are."""
        return len(self.keys)

    @property
    def key(self) -> Key | None:
        """Return the key of the row under the cursor."""
        return self.keys[self.cursor] if 0 <= self.cursor < len(self.keys) else None

    def show(self, keys: Sequence[Key], *, fresh: bool = False) -> None:
        """Show these rows, and fetch anew those in sight. With `fresh` the list begins at its first row again."""
        before, first = self.key, self._first
        cursor_in_sight = first <= self.cursor < first + self._height
        held = self.cursor if cursor_in_sight else first  # the row that keeps its place on the screen
        held_key = self.keys[held] if held < len(self.keys) else None
        self.keys = keys
        self._measure()
        at = 0 if fresh or before is None else self._place_of(before, self.cursor)
        self.set_reactive(Table.cursor, self._within(at))
        if fresh:
            self.scroll_to(y=0, animate=False)
        elif first and held_key is not None:  # a list that is at its top stays there: what is new comes into sight
            self.scroll_to(y=max(0, first + self._place_of(held_key, held) - held), animate=False)
        if fresh or cursor_in_sight:
            self._show_cursor()
        self.refetch()
        self.post_message(self.Moved(self))

    def refetch(self) -> None:
        """Fetch the rows in sight again: what they say may have changed. The old ones stay until then."""
        self._begin_fetch(everything=True)

    async def filled(self) -> None:
        """Wait until the rows in sight are fetched, or others are wanted in their place."""
        if self._fetching is not None:
            with suppress(WorkerCancelled, WorkerFailed):  # the app tells of a failure
                await self._fetching.wait()

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
        self._fetching = self.run_worker(fetch, exclusive=everything, group=group)

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
                self.post_message(self.Moved(self))

    # -- moving

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Fetch what comes into sight."""
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self._begin_fetch(everything=False)

    def on_resize(self) -> None:
        """Fetch what comes into sight."""
        self._begin_fetch(everything=False)

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
        self.post_message(self.Moved(self))

    def action_mark_all(self) -> None:
        """Mark every row, or none when every one is marked."""
        if len(self.keys) > self.most_marked:
            self.notify(f"at most {self.most_marked:,} rows are marked at once: use a filter", severity="warning")
            return
        self.marked = [] if len(self.marked) == len(self.keys) else list(self.keys)
        self.refresh()
        self.post_message(self.Moved(self))

    def title_clicked(self, x: int) -> None:
        """Tell which column's title it is."""
        title = self._title_at(x)
        if title:
            self.post_message(self.HeaderClicked(self, title))

    def _title_at(self, x: int) -> str:
        start = 1
        for column, width in widths(self.columns, self.size.width):
            if start <= x < start + width + 1:
                return column.title
            start += width + 2
        return ""

    # -- drawing

    def render_line(self, y: int) -> Strip:
        """Return one line: the titles, or a row."""
        width = self.size.width
        if y == 0:
            return self._line(titles(self.columns, self.sorted_by), " ", "table--header", width)
        place = self._first + y - 1
        if place >= len(self.keys):
            return Strip.blank(width, self.rich_style)
        key = self.keys[place]
        row = self._rows.get(key)
        mark = "•" if key in self.marked else " "
        look = "table--cursor" if place == self.cursor and self.has_focus else ""
        look = look or ("table--marked" if place == self.cursor or key in self.marked else "")
        return self._line(["…"] if row is None else row, mark, look, width)

    def _line(self, cells: Row, mark: str, look: str, width: int) -> Strip:
        base = self.rich_style + (self.get_component_rich_style(look, partial=True) if look else Style.null())
        segments = [Segment(mark, base)]
        for text, style in laid_out(self.columns, cells, width):
            own = base + Style.parse(style) if style and look != "table--cursor" else base
            segments.append(Segment(text, own))
        return Strip(segments).adjust_cell_length(width, base)
