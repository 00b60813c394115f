"""A decision about a run: what is filled in, the command that it makes, and what is wrong with it as one types."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, TypeVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static, TextArea

from flowctl.core.errors import FlowctlError, UsageError
from flowctl.core.text import safe, safe_line
from flowctl.store import Store
from flowctl.tui.actions import Command, Outcome
from flowctl.tui.widgets.given import Tick

if TYPE_CHECKING:
    from flowctl.tui.app import FlowctlApp

T = TypeVar("T")


class Decision(ModalScreen[None]):
    """What every such form has: a title, its fields, the command, a complaint, and the keys."""

    keys = ""  # what they do, in a line
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Back", show=False),
        Binding("ctrl+s", "send", "Send", show=False, priority=True),
        Binding("ctrl+y", "copy", "Copy command", show=False, priority=True),
    ]

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title
        self._ready = False  # what it shows is read
        self._sending = False

    # -- to be given by a form

    def compose_fields(self) -> ComposeResult:
        """Yield the fields."""
        yield from ()

    async def load(self) -> None:
        """Read what is shown. Raises FlowctlError."""

    def words(self) -> tuple[str, ...]:
        """Return the words of the command that what is filled in makes."""
        raise NotImplementedError

    def given(self) -> str | None:
        """Return what the command reads from stdin. Raises UsageError for what cannot be sent."""
        raise NotImplementedError

    def sent(self, outcome: Outcome) -> None:
        """Go on after the command has done its work, and the form is gone."""

    # -- given to it

    @property
    def flowctl(self) -> FlowctlApp:
        """Return the app."""
        return cast("FlowctlApp", self.app)

    def compose(self) -> ComposeResult:
        """Yield the parts."""
        with Vertical(classes="dialog form"):
            yield Static(safe_line(self._title), markup=False, classes="title")
            yield from self.compose_fields()
            yield Static(markup=False, classes="command", id="command")
            yield Static(markup=False, id="wrong")
            yield Static(self.keys, markup=False, classes="faint")

    async def ask(self, question: Callable[[Store], T]) -> T:
        """Return the answer of the file to a question. Raises FlowctlError."""
        return await self.flowctl.reader.ask(question)

    def on_mount(self) -> None:
        """Read what is shown."""
        self.run_worker(self._load(), group="load")

    async def _load(self) -> None:
        try:
            await self.load()
        except FlowctlError as error:
            self.complain(_whole(error), refused=True)
            return
        self._ready = True
        self.look()

    @on(TextArea.Changed)
    @on(Input.Changed)
    @on(Tick.Turned)
    def look(self) -> None:
        """Show the command that is made now, and what is wrong with it."""
        if not self._ready or self._sending:
            return
        self.query_one("#command", Static).update(safe_line(self.flowctl.shown(Command(self.words()))))
        try:
            self.given()
        except UsageError as error:
            self.complain(error.message)
        else:
            self.complain("")

    def complain(self, text: str, *, refused: bool = False) -> None:
        """Say what is wrong with what is typed, or why it was refused; with no text, that nothing is."""
        wrong = self.query_one("#wrong", Static)
        wrong.set_class(refused, "refused")
        wrong.update(safe(f"! {text}") if text else "")

    def _command(self) -> Command | None:
        """Return the command, with what it reads; None: it is not ready, or it is told what is wrong with it."""
        if not self._ready or self._sending:
            return None
        try:
            return Command(self.words(), self.given())
        except UsageError as error:
            self.complain(_whole(error), refused=True)
            return None

    def action_copy(self) -> None:
        """Copy the command, with what it reads."""
        command = self._command()
        if command is not None:
            self.flowctl.copy(self.flowctl.shown(command))

    def action_send(self) -> None:
        """Run the command, unless something is wrong with it."""
        command = self._command()
        if command is None:
            return
        self._sending = True
        self.query_one("#wrong", Static).update("… sending")
        self.run_worker(self._send(command), group="send")

    async def _send(self, command: Command) -> None:
        outcome = await self.flowctl.ran(command)
        self._sending = False
        if outcome.code:
            self.complain(outcome.message, refused=True)
            return
        self.flowctl.tell_done()
        self.dismiss(None)
        self.sent(outcome)


def _whole(error: FlowctlError) -> str:
    return "\n".join(filter(None, [error.message, error.hint]))
