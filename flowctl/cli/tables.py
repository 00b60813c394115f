"""Tables: drawn for a person at a terminal, and as aligned, complete text for everybody else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from flowctl.cli.terminal import Terminal
from flowctl.cli.words import labelled, look
from flowctl.core.text import safe_line

GAP = 2  # between columns
NARROW = 12  # a last column that has less is wrapped rather than cut


class Cell(NamedTuple):
    """One field of a table."""

    text: str
    style: str = ""


class Column(NamedTuple):
    """One column. The last one, unless it is `whole`, is cut on a terminal so that a row is one line."""

    title: str
    right: bool = False
    whole: bool = True


Row = Sequence[Cell | str]


def state_cell(state: str) -> Cell:
    """Return a state as icon and word in its colour."""
    return Cell(labelled(state), look(state).style)


def show_table(terminal: Terminal, columns: Sequence[Column], rows: Sequence[Row]) -> None:
    """Print a table to stdout."""
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    cells = [[Cell(safe_line(text), style) for text, style in row] for row in cells]
    if terminal.draws:
        _draw(terminal, columns, cells)
    else:
        terminal.drawn(plain_table([column.title for column in columns], columns, [[c.text for c in r] for r in cells]))


def plain_table(titles: Sequence[str], columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    """Return aligned lines, nothing cut, no space at their ends."""
    lines = [list(titles), *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    return "".join(_aligned(line, widths, columns) for line in lines)


def _aligned(line: Sequence[str], widths: Sequence[int], columns: Sequence[Column]) -> str:
    fields = [
        text.rjust(width) if column.right else text.ljust(width)
        for text, width, column in zip(line, widths, columns, strict=True)
    ]
    return "  ".join(fields).rstrip() + "\n"


def _draw(terminal: Terminal, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> None:
    from rich.table import Table
    from rich.text import Text

    console = terminal.console()
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(Text(column.title), justify="right" if column.right else "left", overflow="fold")
    room = _room_for_last(columns, rows, console.width)
    for row in rows:
        texts = [Text(cell.text, style=cell.style) for cell in row]
        if room is not None:
            texts[-1].truncate(room, overflow="ellipsis")
        table.add_row(*texts)
    with console.capture() as captured:
        console.print(table)
    terminal.drawn("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def _room_for_last(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int) -> int | None:
    """Return the width that is left to the last column; None when it is to be whole, or would be too narrow."""
    from rich.cells import cell_len

    if columns[-1].whole:
        return None
    others = [[column.title, *(row[index].text for row in rows)] for index, column in enumerate(columns[:-1])]
    room = width - sum(max(map(cell_len, texts)) + GAP for texts in others)
    return room if room >= NARROW else None
