"""A run: its steps, what each was given and what it returned."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult

from flowctl.core.model import Run
from flowctl.tui.actions import RUN_ACTIONS
from flowctl.tui.screens.run_place import RunPlace
from flowctl.tui.widgets.run_view import RunView


class RunScreen(RunPlace):
    """One run."""

    AUTO_FOCUS = "Steps"
    name_of_place = "runs"
    actions = RUN_ACTIONS

    def __init__(self, number: int, step: str | None = None) -> None:
        super().__init__()
        self.number = number
        self._step = step

    def compose_body(self) -> ComposeResult:
        """Yield the view of the run."""
        yield RunView()

    @property
    def view(self) -> RunView:
        """Return the view of the run."""
        return self.query_one(RunView)

    @property
    def chosen_step(self) -> str | None:
        """Return the key of the run's step under the cursor, or of the one whose child run the cursor is in."""
        return self.view.steps.own_key

    async def load(self) -> None:
        """Read the run, and show it."""
        await self.view.open(self.number, self._step)
        self.tell(self.view.legend)

    def subjects(self) -> list[Run]:
        """Return the run."""
        run = self.view.run
        return [] if run is None else [run]

    @on(RunView.Left)
    def _leave(self) -> None:
        self.dismiss(None)
