"""Text in lines that wrap, of which only those in sight are drawn. It can be searched."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import ClassVar, NamedTuple

from rich.cells import cell_len, chop_cells
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from flowctl.core.text import safe, safe_line


class Line(NamedTuple):
    """A safe line, its colour as rich names it, and what stands before it, which is not searched."""

    text: str
    style: str = ""
    head: str = ""


class _Piece(NamedTuple):
    """As much of a line as fits the width."""

    at: int  # of the line, counted from the one that was the first at the beginning
    text: str
    first: bool


class Lines(ScrollView, can_focus=True):
    """A text to read. Its title, if there is one, stays above it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "scroll_down", "Down", show=False),
        Binding("k", "scroll_up", "Up", show=False),
        Binding("ctrl+d", "page_down", "Page down", show=False),
        Binding("ctrl+u", "page_up", "Page up", show=False),
        Binding("home,g", "scroll_home", "First", show=False),
        Binding("end,G", "scroll_end", "Last", show=False),
        Binding("n", "next_hit(1)", "Next", show=False),
        Binding("N", "next_hit(-1)", "Before", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"lines--title", "lines--hit"}
    title: reactive[str] = reactive("")

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.lines: list[Line] = []
        self._pieces: list[_Piece] = []
        self._above = 0  # lines that were added above since the beginning
        self._needle = ""
        self._hit = -1  # line that was found last

    # -- what it shows

    def show(self, lines: Iterable[Line], first: int = 0) -> None:
        """Show these lines, beginning with that one."""
        self.lines = list(lines)
        self._hit = -1
        self._wrap()
        self.call_after_refresh(lambda: self.scroll_to(y=self._piece_of(first), animate=False))

    def append(self, lines: list[Line]) -> None:
        """Show more lines below the last one."""
        self._pieces += self._wrapped(lines, len(self.lines) - self._above)
        self.lines += lines
        self._resize()

    def prepend(self, lines: list[Line]) -> None:
        """Show more lines above the first one; what is in sight stays there."""
        self._above += len(lines)
        pieces = list(self._wrapped(lines, -self._above))
        self.lines[:0] = lines
        self._pieces[:0] = pieces
        self._hit += len(lines) if self._hit >= 0 else 0
        self._resize()
        self.scroll_to(y=self.scroll_offset.y + len(pieces), animate=False)

    def watch_title(self) -> None:
        """Make room for it."""
        self._resize()

    def on_resize(self) -> None:
        """Wrap the lines anew."""
        top = self._top
        width = self._width
        if any(cell_len(piece.text) > width or not piece.first for piece in self._pieces):
            self._wrap()
            self.scroll_to(y=self._piece_of(top), animate=False)
        self._resize()

    @property
    def _width(self) -> int:
        return max(1, self.scrollable_content_region.width)

    def _wrap(self) -> None:
        self._above = 0
        self._pieces = list(self._wrapped(self.lines, 0))
        self._resize()

    def _wrapped(self, lines: Iterable[Line], first: int) -> Iterator[_Piece]:
        width = self._width
        for at, line in enumerate(lines, first):
            room = max(8, width - (len(line.head) if line.head.isascii() else cell_len(line.head)))
            if len(line.text) <= room and line.text.isascii():
                yield _Piece(at, line.text, True)
                continue
            for number, text in enumerate(wrapped(line.text, room)):
                yield _Piece(at, text, number == 0)

    def _resize(self) -> None:
        self.virtual_size = Size(self.size.width, len(self._pieces) + self._titled)
        self.refresh()

    def _piece_of(self, line: int) -> int:
        return bisect_left(self._pieces, line - self._above, key=lambda piece: piece.at)

    @property
    def _top(self) -> int:
        """Return the first line in sight."""
        at = int(self.scroll_offset.y)
        return self._pieces[at].at + self._above if at < len(self._pieces) else 0

    @property
    def _titled(self) -> int:
        return 1 if self.title else 0

    # -- searching

    def look_for(self, needle: str) -> None:
        """Go to the first line from here on that has this text."""
        self._needle = needle.casefold()
        self._hit = self._top - 1
        self.action_next_hit(1)

    def action_next_hit(self, by: int) -> None:
        """Go to the next line that has it, or the one before; after the last comes the first."""
        count = len(self.lines)
        if not self._needle or not count:
            return
        for step in range(1, count + 1):
            at = (self._hit + by * step) % count
            if self._needle in self.lines[at].text.casefold():
                self._hit = at
                self.scroll_to(y=max(0, self._piece_of(at) - self.size.height // 3), animate=False)
                self.refresh()
                return
        self.notify(f"nothing has {safe_line(self._needle)}", severity="warning", markup=False)

    # -- drawing

    def render_line(self, y: int) -> Strip:
        """Return one line: the title, or a piece of the text."""
        width, base = self.size.width, self.rich_style
        if self._titled and y == 0:
            look = base + self.get_component_rich_style("lines--title", partial=True)
            return Strip([Segment(self.title, look)]).adjust_cell_length(width, look)
        at = int(self.scroll_offset.y) + y - self._titled
        if at >= len(self._pieces):
            return Strip.blank(width, base)
        piece = self._pieces[at]
        line = self.lines[piece.at + self._above]
        if piece.at + self._above == self._hit:
            base += self.get_component_rich_style("lines--hit", partial=True)
        head = line.head if piece.first else " " * cell_len(line.head)
        segments = [Segment(head, base + Style.parse("bright_black"))] if head else []
        segments.append(Segment(piece.text, base + Style.parse(line.style) if line.style else base))
        return Strip(segments).adjust_cell_length(width, base)


def wrapped(text: str, width: int) -> Iterator[str]:
    """Yield a line in pieces of at most so many cells, which end between words where that is near enough."""
    start, ascii_only = 0, text.isascii()
    while len(text) - start > width or not ascii_only:
        piece = text[start : start + width]
        if not ascii_only:
            piece = (chop_cells(piece, width) or [""])[0]
        end = start + len(piece)
        if end >= len(text):
            break
        space = text.rfind(" ", start + width // 2, end + 1)
        end = space + 1 if space >= 0 else end
        yield text[start:end].rstrip(" ")
        start = end
    yield text[start:]


def lines_of(text: str, style: str = "") -> list[Line]:
    """Return a text made safe, in lines."""
    return [Line(line.expandtabs(4), style) for line in safe(text).split("\n")]
