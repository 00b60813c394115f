"""A decision about a run: what the file says of it comes first, then what a person fills in."""

from __future__ import annotations

from textual import on
from textual.widgets import Input, TextArea

from flowctl.core.errors import FlowctlError, UsageError
from flowctl.tui.actions import Command
from flowctl.tui.screens.dialog import Dialog
from flowctl.tui.trouble import told
from flowctl.tui.widgets.given import Tick


class Decision(Dialog):
    """A dialog that is ready once it has read what it is about."""

    def __init__(self, heading: str) -> None:
        super().__init__(heading)
        self._ready = False

    # -- to be given by a decision

    async def load(self) -> None:
        """Read what is shown. Raises FlowctlError."""

    def words(self) -> tuple[str, ...]:
        """Return the words of the command that what is filled in makes."""
        raise NotImplementedError

    def given(self) -> str | None:
        """Return what the command reads from stdin. Raises UsageError for what cannot be sent."""
        raise NotImplementedError

    # -- given to it

    def on_mount(self) -> None:
        """Read what is shown."""
        self.show_command(None)
        self.complain("")
        self.run_worker(self._load(), group="load")

    async def _load(self) -> None:
        try:
            await self.load()
        except FlowctlError as error:
            self.complain(told(error, "\n"), refused=True)
            return
        self._ready = True
        self.look()

    @on(TextArea.Changed)
    @on(Input.Changed)
    @on(Tick.Turned)
    def look(self) -> None:
        """Show the command that is made now, and what is wrong with it."""
        if not self._ready or self._busy:
            return
        self.show_command(Command(self.words()))
        try:
            self.given()
        except UsageError as error:
            self.complain(error.message)
        else:
            self.complain("")

    def made(self) -> Command | None:
        """Return the command, with what it reads; None before it is ready, and when something is wrong."""
        if not self._ready:
            return None
        try:
            return Command(self.words(), self.given())
        except UsageError as error:
            self.complain(told(error, "\n"), refused=True)
            return None
