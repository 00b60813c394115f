"""The limits of a queue, to be changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from flowctl.core.model import Queue
from flowctl.core.text import safe_line
from flowctl.tui.actions import Command
from flowctl.tui.widgets.safe_input import SafeInput

if TYPE_CHECKING:
    from flowctl.tui.app import FlowctlApp

_FIELDS = (
    ("--concurrency", "So many runs at once: N, or none"),
    ("--rate", "So many begin within a time: 10/60s, 100/1h, or none"),
    ("--key-limit", "So many at once of each: tags.NAME=N, input.NAME=N, or none"),
)


class Limits(ModalScreen[None]):
    """One field for each limit; what is changed becomes a command, which is shown."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Back"),
        Binding("ctrl+y", "copy", "Copy command"),
    ]

    def __init__(self, queue: Queue) -> None:
        super().__init__()
        self._queue = queue.name
        self._before = dict(zip([option for option, _ in _FIELDS], map(safe_line, _texts(queue)), strict=True))

    def compose(self) -> ComposeResult:
        """Yield the fields, and the command."""
        with Vertical(classes="dialog"):
            yield Static(safe_line(f"Limits of queue {self._queue}"), markup=False, classes="title")
            for option, label in _FIELDS:
                yield Static(label, markup=False, classes="label faint")
                yield SafeInput(self._before[option], id=option.strip("-"))
            yield Static(markup=False, classes="command")
            yield Static(markup=False, classes="wrong")
            yield Static(
                "Enter set them   Tab next   Esc back   ctrl+y copy the command", markup=False, classes="faint"
            )

    def _command(self) -> Command | None:
        """Return the command for what was changed, None when nothing was."""
        now = {option: self.query_one(f"#{option.strip('-')}", Input).value.strip() for option in self._before}
        changed = [f"{option}={now[option] or 'none'}" for option in now if now[option] != self._before[option]]
        return Command(("queues", "set", *changed, "--", self._queue)) if changed else None

    @on(Input.Changed)
    def _show(self) -> None:
        command = self._command()
        shown = "nothing is changed" if command is None else cast("FlowctlApp", self.app).shown(command)
        self.query_one(".command", Static).update(safe_line(shown))

    @on(Input.Submitted)
    def _set(self) -> None:
        command = self._command()
        if command is None:
            self.dismiss(None)
        else:
            self.run_worker(self._perform(command), exclusive=True)

    async def _perform(self, command: Command) -> None:
        outcome = await cast("FlowctlApp", self.app).performed(command)
        if outcome.code == 0:
            self.dismiss(None)
            return
        wrong = self.query_one(".wrong", Static)
        wrong.display = True
        wrong.update(safe_line(outcome.message))

    def action_copy(self) -> None:
        """Copy the command."""
        command = self._command()
        if command is not None:
            app = cast("FlowctlApp", self.app)
            app.copy(app.shown(command))


def _texts(queue: Queue) -> tuple[str, str, str]:
    """Return the limits as the command line takes them."""
    period = queue.rate_ms or 0
    return (
        "" if queue.concurrency is None else str(queue.concurrency),
        "" if queue.rate is None else f"{queue.rate}/{_period(period)}",
        "" if queue.key is None else f"{queue.key}={queue.key_limit}",
    )


def _period(ms: int) -> str:
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)):
        if ms % size == 0:
            return f"{ms // size}{unit}"
    return f"{ms}ms"
