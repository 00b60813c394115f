"""A run: its steps, what each was given and what it returned."""

from __future__ import annotations

from flowctl.tui.actions import RUN_ACTIONS
from flowctl.tui.screens.place import Place


class RunScreen(Place):
    """One run."""

    name_of_place = "runs"
    actions = RUN_ACTIONS

    def __init__(self, number: int, step: str | None = None) -> None:
        super().__init__()
        self.number = number
        self.step = step
