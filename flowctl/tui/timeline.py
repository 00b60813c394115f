"""Spans of time as a line of characters, to scale. What was done and what was waited for differ in their characters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from flowctl.cli.instants import short
from flowctl.tui.run_tree import How, Span
from flowctl.tui.widgets.rows import Piece

SIGNS: dict[How, tuple[str, str]] = {
    "worked": ("█", ""),
    "failed": ("▓", "red"),
    "retry": ("·", "yellow"),
    "slept": ("░", "cyan"),
    "waited": ("─", "cyan"),
}
LEGEND = "█ works  ▓✗ failed  ·· tries again  ░ sleeps  ── waits"
_BODIES = ("worked", "failed")


class Scale(NamedTuple):
    """The time that the whole width of a line stands for."""

    start: int
    end: int

    def cells(self, span: Span, width: int) -> range:
        """Return the cells of a span: at least one, and none beyond either end."""
        whole = max(1, self.end - self.start)
        end = self.end if span.end is None else span.end
        first = min(width - 1, max(0, (span.start - self.start) * width // whole))
        last = -(-(end - self.start) * width // whole)
        return range(first, max(first + 1, min(width, last)))


def line(spans: Iterable[Span], scale: Scale, width: int, style: str) -> list[Piece]:
    """Return spans as exactly so many cells; `style` is the colour of what was done."""
    if width < 1:
        return []
    cells: list[Piece] = [(" ", "")] * width
    # Bodies come last: a short one is seen although it is between waits.
    for span in sorted(spans, key=lambda each: each.how in _BODIES):
        sign, own = SIGNS[span.how]
        found = scale.cells(span, width)
        cells[found.start : found.stop] = [(sign, own or style)] * len(found)
        if span.how == "failed":
            cells[found.stop - 1] = ("✗", own)
    return _joined(cells)


def ruler(scale: Scale, width: int) -> str:
    """Return the title of the lines: where they begin, how long half of them and all of them is."""
    whole = scale.end - scale.start
    last, middle = short(whole), short(whole // 2)
    if width < len(last) + 3:
        return last[:width].rjust(width)
    if width < 30:
        return f"0{last:>{width - 1}}"
    half = width // 2
    return f"{'0':<{half}}{middle:<{width - half - len(last)}}{last}"


def _joined(cells: Sequence[Piece]) -> list[Piece]:
    joined: list[Piece] = []
    for sign, style in cells:
        if joined and joined[-1][1] == style:
            joined[-1] = (joined[-1][0] + sign, style)
        else:
            joined.append((sign, style))
    return joined
