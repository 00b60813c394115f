"""A form: fields that are checked as one types, and the command that they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static, TextArea

from flowctl.core.errors import FlowctlError, UsageError
from flowctl.core.text import safe, safe_line
from flowctl.tui.actions import Command, Outcome
from flowctl.tui.widgets.choice import Choice
from flowctl.tui.widgets.field import Field, FieldLine

if TYPE_CHECKING:
    from flowctl.tui.app import FlowctlApp

Values = Mapping[str, str]


class Form(ModalScreen[None]):
    """Enter or ctrl+s runs the command, ctrl+y copies it, Esc goes back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Back"),
        Binding("ctrl+s", "submit", "Do it", priority=True),
        Binding("enter", "submit", "Do it", show=False),
        Binding("ctrl+y", "copy", "Copy command", priority=True),
        Binding("ctrl+o", "more", "More", priority=True),
        Binding("down", "app.focus_next", "Next field", show=False),
        Binding("up", "app.focus_previous", "Previous field", show=False),
    ]

    def __init__(self, heading: str, fields: Sequence[Field], about: str = "") -> None:
        super().__init__()
        self._heading = heading
        self._about = about
        self._lines = {field.name: FieldLine(field) for field in fields}
        self._first = {field.name: field.value for field in fields}
        self._tried = False
        self._busy = False

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

    def done(self, outcome: Outcome) -> None:
        """Go on when the command has succeeded."""

    # -- given to it

    @property
    def flowctl(self) -> FlowctlApp:
        """Return the app."""
        return cast("FlowctlApp", self.app)

    @property
    def values(self) -> dict[str, str]:
        """Return what is typed or chosen, by field."""
        return {name: line.value for name, line in self._lines.items()}

    def compose(self) -> ComposeResult:
        """Yield the fields, then what they make."""
        folded = [line for line in self._lines.values() if line.field.more]
        with Vertical(classes="dialog form"):
            yield Static(safe_line(self._heading), markup=False, classes="title")
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
            yield Static(markup=False, classes="preview faint")
            yield Static(markup=False, classes="problem whole")
            yield Static(markup=False, classes="command")
            yield Static("Enter do it   Esc back   ctrl+y copy the command", markup=False, classes="faint")

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
            self._show(whole="" if problems or not begun else _sentence(error))
            return None
        self._show(command="" if problems else self.flowctl.shown(command))
        preview = partial(self._preview, values)
        self.run_worker(preview, group="preview", exclusive=True)  # type: ignore[arg-type] # an async one
        return None if problems else command

    async def _preview(self, values: Values) -> None:
        try:
            self._tell("preview", await self.preview(values))
        except FlowctlError as error:
            self._show(whole=_sentence(error))

    def _show(self, *, whole: str = "", command: str = "") -> None:
        """Show what is wrong with the whole, or the command."""
        self._tell("whole", whole)
        self._tell("command", command)
        if not command:
            self._tell("preview", "")

    def _tell(self, where: str, text: str) -> None:
        line = self.query_one(f".dialog > .{where}", Static)
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

    def action_copy(self) -> None:
        """Copy the command."""
        command = self._look()
        if command is not None:
            self.flowctl.copy(self.flowctl.shown(command))

    def action_submit(self) -> None:
        """Run the command, unless something is wrong: then go there."""
        self._tried = True
        command = self._look()
        wrong = self.check(self.values)
        if command is not None and not self._busy:
            self._busy = True
            self.run_worker(self._perform(command), group="commands")
        elif wrong:
            self._lines[next(iter(wrong))].enter()

    async def _perform(self, command: Command) -> None:
        outcome = await self.flowctl.performed(command)
        self._busy = False
        if outcome.code:
            self._show(whole=outcome.message)
        elif self.is_current:
            self.dismiss(None)
            self.done(outcome)


def _sentence(error: FlowctlError) -> str:
    return " · ".join(filter(None, [error.message, error.hint]))


def whole_number(text: str, option: str) -> int:
    """Return the number that a text means. Raises UsageError."""
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{option}: {text[:60]!r} is not a whole number") from None
