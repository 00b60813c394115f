"""How the lines of a crontab look to a person."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

from flowctl.cli.tables import Cell, Column, show_table
from flowctl.cli.terminal import Terminal, can_draw
from flowctl.core.text import plural
from flowctl.engine.crontab import Row, Wish

_COLUMNS = (Column("LINE", right=True), Column("OUTCOME"), Column("SCHEDULE"), Column("TEXT", whole=False))
_REASONS = (Column("LINES"), Column("WHY"))
_LOOKS = {
    "imported": ("✓", "+", "green"),
    "attention": ("!", "!", "yellow"),
    "refused": ("✗", "x", "red"),
    "setting": ("=", "=", "bright_black"),
    "comment": ("#", "#", "bright_black"),
}


def show_rows(terminal: Terminal, rows: Sequence[Row]) -> None:
    """Print what becomes of the lines of a crontab but for empty ones, then the reasons with the lines they are for."""
    shown = [row for row in rows if row.line.text.strip()]
    if shown:
        show_table(
            terminal, _COLUMNS, [(str(row.line.line), _outcome(row), _name(row), row.line.text) for row in shown]
        )
    reasons: dict[str, list[int]] = {}
    for row in rows:
        for reason in [row.reason] if row.outcome == "refused" else row.reason.split("; "):
            reasons.setdefault(reason, []).append(row.line.line)
    reasons.pop("", None)
    if reasons:
        terminal.drawn("\n")
        show_table(terminal, _REASONS, [(_numbers(lines), reason) for reason, lines in reasons.items()])


def counted(rows: Sequence[Row]) -> str:
    """Return how many lines there are of each outcome."""
    counts = Counter[str](row.outcome for row in rows)
    attention = f" ({counts['attention']} to be looked at)" if counts["attention"] else ""
    parts = [
        (counts["imported"] + counts["attention"], f"imported{attention}"),
        (counts["refused"], "refused"),
        (counts["setting"], "settings" if counts["setting"] > 1 else "setting"),
        (counts["comment"], "comments" if counts["comment"] > 1 else "comment"),
    ]
    told = ", ".join(f"{count} {word}" for count, word in parts if count)
    return f"{plural(len(rows), 'line')}: {told}" if told else "the crontab is empty"


def made(wishes: Sequence[Wish], *, dry_run: bool) -> str:
    """Return how many schedules are made, changed and left as they are."""
    counts = Counter[str](wish.action for wish in wishes)
    new, changed = ("to be made", "to be changed") if dry_run else ("made", "changed")
    words = (("new", new), ("changed", changed), ("same", "unchanged"))
    return "schedules: " + ", ".join(f"{counts[action]} {word}" for action, word in words if counts[action])


def _numbers(lines: Sequence[int]) -> str:
    """Return ascending numbers as text: 4, 7-9."""
    spans: list[tuple[int, int]] = []
    for line in lines:
        if spans and spans[-1][1] == line - 1:
            spans[-1] = (spans[-1][0], line)
        else:
            spans.append((line, line))
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def _outcome(row: Row) -> Cell:
    icon, plain, style = _LOOKS[row.outcome]
    return Cell(f"{icon if can_draw(sys.stdout) else plain} {row.outcome}", style)


def _name(row: Row) -> str:
    return "" if row.wish is None else row.wish.schedule.name
