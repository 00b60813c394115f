"""How the columns of a list are laid out: for the screen, and for what is drawn before the screen is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size

from flowctl.core.text import safe_line, shorten

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


def widths(columns: Sequence[Column], width: int) -> list[tuple[Column, int]]:
    """Return the columns that a list of this width shows, and their widths."""
    shown = [column for column in columns if width >= column.from_width]
    left = width - 1 - sum(column.width + 2 for column in shown)
    flexible = sum(column.width == 0 for column in shown) or 1
    return [(column, column.width or max(0, left // flexible)) for column in shown]


def titles(columns: Sequence[Column], sorted_by: str) -> Row:
    """Return the titles as a row; the one that is sorted by has an arrow, as `sorted_by` has it."""
    return [sorted_by if column.title == sorted_by[:-1] else column.title for column in columns]


def laid_out(columns: Sequence[Column], row: Row, width: int) -> Iterator[Cell]:
    """Yield the cells of a row as they are drawn in a list of this width, each with the gap after it."""
    cells = dict(zip(columns, row, strict=False))
    for column, room in widths(columns, width):
        cell = cells.get(column, "")
        text, style = cell if isinstance(cell, Cell) else (cell, "")
        yield Cell(_fitted(text, room, column.right) + "  ", style)


def _fitted(text: str, width: int, right: bool) -> str:
    """Return a text made safe, in exactly so many cells of a terminal."""
    line = safe_line(shorten(text, _LONGEST))
    if cell_len(line) > width:
        return set_cell_size(line, max(0, width - 1)) + "…" if width else ""
    return f"{'':{width - cell_len(line)}}{line}" if right else set_cell_size(line, width)
