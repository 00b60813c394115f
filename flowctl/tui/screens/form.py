"""A form: fields that are checked as one types, and the command that they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Input, Static, TextArea

from flowctl.core.errors import FlowctlError, UsageError
from flowctl.core.text import safe
from flowctl.tui.actions import Command
from flowctl.tui.screens.dialog import Dialog
from flowctl.tui.trouble import told
from flowctl.tui.widgets.choice import Choice
from flowctl.tui.widgets.field import Field, FieldLine

Values = Mapping[str, str]


class Form(Dialog):
    """A dialog of named fields, the rarer of which are folded away at first."""

    keys = "Enter do it   Esc back   ctrl+y copy the command"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "Do it", show=False),
        Binding("ctrl+o", "more", "More", show=False, priority=True),
        Binding("down", "app.focus_next", "Next field", show=False),
        Binding("up", "app.focus_previous", "Previous field", show=False),
    ]

    def __init__(self, heading: str, fields: Sequence[Field], about: str = "") -> None:
        super().__init__(heading)
        self._about = about
        self._lines = {field.name: FieldLine(field) for field in fields}
        self._first = {field.name: field.value for field in fields}
        self._tried = False

    # -- to be given by a form

    def check(self, values: Values) -> dict[str, str]:  # noqa: ARG002 - for those that do
        """Return what is wrong, by field."""
        return {}

    def command(self, values: Values) -> Command:
        """Return the command that the fields make. Raises FlowctlError when they make none."""
        raise NotImplementedError

    async def preview(self, values: Values) -> str:  # noqa: ARG002 - for those that have one
        """Return what the command would bring about. Raises FlowctlError."""
        return ""

    # -- given to it

    @property
    def values(self) -> dict[str, str]:
        """Return what is typed or chosen, by field."""
        return {name: line.value for name, line in self._lines.items()}

    def compose_fields(self) -> ComposeResult:
        """Yield the fields, and what they would bring about."""
        folded = [line for line in self._lines.values() if line.field.more]
        if self._about:
            yield Static(safe(self._about), markup=False, classes="faint about")
        with VerticalScroll(classes="fields", can_focus=False):
            yield from (line for line in self._lines.values() if not line.field.more)
            if folded:
                names = ", ".join(line.field.label for line in folded)
                yield Static(f"ctrl+o more: {names}", markup=False, classes="faint more")
            for line in folded:
                line.display = False
                yield line
        yield Static(markup=False, id="preview", classes="faint")

    def on_mount(self) -> None:
        """Begin in the first field."""
        next(iter(self._lines.values())).enter()
        self._look()

    @on(Input.Changed)
    @on(TextArea.Changed)
    @on(Choice.Changed)
    def _follow(self) -> None:
        self._look()

    @on(Input.Submitted)
    def _entered(self) -> None:
        self.action_submit()

    def made(self) -> Command | None:
        """Return the command, None when something is wrong: the keys go there."""
        self._tried = True
        command = self._look()
        wrong = self.check(self.values) if command is None else {}
        if wrong:
            self._lines[next(iter(wrong))].enter()
        return command

    def _look(self) -> Command | None:
        """Show what is wrong, or the command; return that when nothing is."""
        values = self.values
        problems = self.check(values)
        for name, line in self._lines.items():
            line.tell(problems.get(name, "") if values[name] or self._tried else "")
        try:
            command = self.command(values)
        except FlowctlError as error:
            begun = self._tried or values != self._first
            self._show_misfit("" if problems or not begun else told(error))
            return None
        if problems:
            self._show_misfit("")
            return None
        self.complain("")
        self.show_command(command)
        preview = partial(self._preview, values)
        self.run_worker(preview, group="preview", exclusive=True)  # type: ignore[arg-type] # an async one
        return command

    async def _preview(self, values: Values) -> None:
        try:
            self._show_preview(await self.preview(values))
        except FlowctlError as error:
            self._show_misfit(told(error))

    def _show_misfit(self, text: str) -> None:
        """Show what is wrong with the whole, and no command."""
        self.complain(text)
        self.show_command(None)
        self._show_preview("")

    def _show_preview(self, text: str) -> None:
        line = self.query_one("#preview", Static)
        line.display = bool(text)
        line.update(safe(text))

    def action_more(self) -> None:
        """Unfold the further fields."""
        for line in self._lines.values():
            line.display = True
        for more in self.query(".more"):
            more.display = False
        for line in self._lines.values():
            if line.field.more:
                line.enter()
                break


def whole_number(text: str, option: str) -> int:
    """Return the number that a text means. Raises UsageError."""
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{option}: {text[:60]!r} is not a whole number") from None
