"""Cells of a table that more than one place has."""

from __future__ import annotations

from flowctl.cli.words import look
from flowctl.tui.columns import Cell


def state_cell(state: str, text: str | None = None) -> Cell:
    """Return a state with its icon and its colour, or a text in place of its word."""
    found = look(state)
    return Cell(f"{found.icon} {text if text is not None else state}", found.style)
