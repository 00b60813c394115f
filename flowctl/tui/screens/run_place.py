"""What can be decided about a chosen run, wherever it is chosen: compare, fork, resolve, signal, edit its file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType

from flowctl.core.errors import FlowctlError, NotFound
from flowctl.core.listing import RunLine
from flowctl.core.model import FINAL_STATES
from flowctl.core.text import safe_line
from flowctl.engine.diffs import last_good
from flowctl.store import Store
from flowctl.tui import outside
from flowctl.tui.actions import RETRY_SAME_CODE, Action, retry_from
from flowctl.tui.code import Source, source_of
from flowctl.tui.screens.place import Place

Runs = Sequence[RunLine]


def _one(runs: Runs) -> str | None:
    if not runs:
        return "no run is chosen"
    return None if len(runs) == 1 else f"{len(runs)} runs are marked, and one is wanted"


def _one_or_two(runs: Runs) -> str | None:
    return f"{len(runs)} runs are marked, and two are wanted" if len(runs) > 2 else None if runs else _one(runs)


def _blocked(runs: Runs) -> str | None:
    return _one(runs) or (None if runs[0].state == "blocked" else f"run {runs[0].id} is {runs[0].state}, not blocked")


def _takes_signals(runs: Runs) -> str | None:
    ended = bool(runs) and runs[0].state in FINAL_STATES
    return _one(runs) or (f"run {runs[0].id} is {runs[0].state}: it takes no signal" if ended else None)


REFUSALS: dict[str, Callable[[Runs], str | None]] = {
    "compare": _one_or_two,
    "fork": _one,
    "resolve": _blocked,
    "signal": _takes_signals,
    "edit_file": _one,
}


class RunPlace(Place):
    """A place in which runs are chosen, and maybe a step of one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "compare", "Compare", tooltip="Two marked runs, or one with the last good one", id="compare"),
        Binding("f", "fork", "Fork", tooltip="A new run, from here on, with other JSON", id="fork"),
        Binding("v", "resolve", "Resolve", tooltip="Decide about a blocked run", id="resolve"),
        Binding("s", "signal", "Signal", tooltip="Send a message to a run", id="signal"),
        Binding("e", "edit_file", "Edit", tooltip="Open the workflow's file in $EDITOR", id="edit-file"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._allowed: list[bool] = []

    @property
    def chosen_step(self) -> str | None:
        """Return the key of the step under the cursor, None when no step is."""
        return None

    def further(self) -> tuple[Action, ...]:
        """Return the ways to retry that have no key."""
        from_step = () if self.chosen_step is None else (retry_from(self.chosen_step),)
        return (RETRY_SAME_CODE, *from_step)

    # -- what cannot be done now

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave out what cannot be done now: few runs are blocked, or wait for a signal."""
        if action in REFUSALS:
            return REFUSALS[action](self.subjects()) is None
        return super().check_action(action, parameters)

    def grey_out(self) -> None:
        """Draw the keys anew when something else is possible than before."""
        super().grey_out()
        runs = self.subjects()
        allowed = [refusal(runs) is None for refusal in REFUSALS.values()]
        if allowed != self._allowed:
            self._allowed = allowed
            self.refresh_bindings()

    def on_key(self, event: events.Key) -> None:
        """Say why what is left out cannot be done."""
        for binding in self._bindings.key_to_bindings.get(event.key, ()):
            if binding.action in REFUSALS:
                self._refuses(binding.action, binding.description)

    def _refuses(self, action: str, title: str) -> bool:
        refusal = REFUSALS[action](self.subjects())
        if refusal is not None:
            self.notify(safe_line(refusal), title=f"{title}: not now", severity="warning", markup=False)
        return refusal is not None

    # -- what can

    async def action_compare(self) -> None:
        """Compare two runs, or one with the last good one before it."""
        from flowctl.tui.screens.compare import CompareScreen

        numbers = sorted(run.id for run in self.subjects())

        def question(store: Store) -> int:
            return last_good(store, store.runs.get(numbers[0])).id

        try:
            before = numbers[0] if len(numbers) == 2 else await self.ask(question)
        except NotFound as error:
            self.notify(safe_line(error.message), title="mark two runs with space", severity="warning", markup=False)
            return
        self.app.push_screen(CompareScreen(before, numbers[-1]))

    def action_fork(self) -> None:
        """Fork the run, before the chosen step."""
        from flowctl.tui.screens.fork import ForkForm

        self.app.push_screen(ForkForm(self.subjects()[0].id, self.chosen_step))

    def action_resolve(self) -> None:
        """Decide about a blocked run."""
        from flowctl.tui.screens.resolve import ResolveForm

        self.app.push_screen(ResolveForm(self.subjects()[0].id))

    def action_signal(self) -> None:
        """Send a signal."""
        from flowctl.tui.screens.signal import SignalForm

        self.app.push_screen(SignalForm(self.subjects()[0].id))

    async def action_edit_file(self) -> None:
        """Open the file of the run's workflow in the editor, at the function of the chosen step."""
        number, key = self.subjects()[0].id, self.chosen_step

        def question(store: Store) -> Source | None:
            run = store.runs.get(number)
            step = None if key is None else store.steps.get(number, key)
            return source_of(store.snapshots.get(run.code), run, step)

        try:
            source = await self.ask(question)
        except FlowctlError as error:
            self.flowctl.say_trouble(error)
            return
        if source is None:
            self.notify("a shell command has no file", severity="warning", markup=False)
        elif outside.edit(self.app, source.path, source.lines.start or None):
            self.tell(f"{source.path} was edited: r retries with what it says now")
