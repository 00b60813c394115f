"""A dialog that makes a command: it is shown as one fills in, run as it is shown, and copied as it is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, TypeVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from flowctl.core.text import safe, safe_line
from flowctl.store import Store
from flowctl.tui.actions import Command, Outcome

if TYPE_CHECKING:
    from flowctl.tui.app import FlowctlApp

T = TypeVar("T")


class Dialog(ModalScreen[None]):
    """What every such dialog has: a heading, its fields, the command, a complaint, and the keys."""

    keys = ""  # what they do, in a line
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Back", show=False),
        Binding("ctrl+s", "submit", "Do it", show=False, priority=True),
        Binding("ctrl+y", "copy", "Copy command", show=False, priority=True),
    ]

    def __init__(self, heading: str) -> None:
        super().__init__()
        self._heading = heading
        self._busy = False  # its command runs

    # -- to be given by a dialog

    def compose_fields(self) -> ComposeResult:
        """Yield the fields."""
        yield from ()

    def made(self) -> Command | None:
        """Return the command, None when what is filled in makes none: what is wrong is told then."""
        raise NotImplementedError

    def done(self, outcome: Outcome) -> None:
        """Go on after the command has done its work, and the dialog is gone."""

    # -- given to it

    @property
    def flowctl(self) -> FlowctlApp:
        """Return the app."""
        return cast("FlowctlApp", self.app)

    def compose(self) -> ComposeResult:
        """Yield the parts."""
        with Vertical(classes="dialog form"):
            yield Static(safe_line(self._heading), markup=False, classes="title")
            yield from self.compose_fields()
            yield Static(markup=False, id="wrong")
            yield Static(markup=False, id="command", classes="command")
            yield Static(self.keys, markup=False, classes="faint")

    async def ask(self, question: Callable[[Store], T]) -> T:
        """Return the answer of the file to a question. Raises FlowctlError."""
        return await self.flowctl.reader.ask(question)

    def show_command(self, command: Command | None) -> None:
        """Show the command that is made now."""
        line = self.query_one("#command", Static)
        line.display = command is not None
        line.update("" if command is None else safe_line(self.flowctl.shown(command)))

    def complain(self, text: str, *, refused: bool = False) -> None:
        """Say what is wrong with what is filled in, or why it was refused; with no text, that nothing is."""
        self._say(f"! {text}" if text else "", refused=refused)

    def _say(self, text: str, *, refused: bool = False) -> None:
        said = self.query_one("#wrong", Static)
        said.set_class(refused, "refused")
        said.display = bool(text)
        said.update(safe(text))

    def action_copy(self) -> None:
        """Copy the command, with what it reads."""
        command = self.made()
        if command is not None:
            self.flowctl.copy(self.flowctl.shown(command))

    def action_submit(self) -> None:
        """Run the command, unless it runs already or something is wrong with it."""
        command = None if self._busy else self.made()
        if command is not None:
            self._busy = True
            self._say("… sending")
            self.run_worker(self._run_command(command), group="commands")

    async def _run_command(self, command: Command) -> None:
        outcome = await self.flowctl.ran(command)
        self._busy = False
        if outcome.code:
            self.complain(outcome.message, refused=True)
            return
        self.flowctl.tell_done()
        if self.is_current:
            self.dismiss(None)
            self.done(outcome)
