"""What can be done to what is chosen: each action with its key, its command, and why it cannot be done now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from flowctl.core.text import safe_line, shorten
from flowctl.tui.actions import Action, command_for, refusal_of

if TYPE_CHECKING:
    from flowctl.tui.app import FlowctlApp

_TITLE = 30  # characters of a title: the names of steps are in some


class Menu(ModalScreen[None]):
    """Enter does it, y copies its command."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(None)", "Back"),
        Binding("y", "copy", "Copy command"),
    ]

    def __init__(self, actions: Sequence[Action], subjects: Sequence[Any]) -> None:
        super().__init__()
        self._actions = {action.name: action for action in actions}
        self._subjects = list(subjects)

    def compose(self) -> ComposeResult:
        """Yield the actions."""
        with Vertical(classes="dialog"):
            yield Static("Actions", classes="title")
            yield OptionList(*(self._option(action) for action in self._actions.values()))
            yield Static("Enter do it   Esc back   y copy the command", markup=False, classes="faint")

    def _option(self, action: Action) -> Option:
        refusal = refusal_of(action, self._subjects)
        shown = cast("FlowctlApp", self.app).shown(command_for(action, self._subjects))
        key = cast("FlowctlApp", self.app).key_of(action.name, action.key)
        titles = [safe_line(shorten(each.title, _TITLE)) for each in self._actions.values()]
        row = Table.grid(padding=(0, 2, 0, 0), expand=True)
        row.add_column(width=max(1, len(key)))
        row.add_column(width=max(map(cell_len, titles)), no_wrap=True)
        row.add_column(ratio=1, style="dim")
        row.add_row(Text(key), Text(safe_line(shorten(action.title, _TITLE))), Text(safe_line(refusal or shown)))
        return Option(row, id=action.name, disabled=refusal is not None)

    @on(OptionList.OptionSelected)
    def _do(self, event: OptionList.OptionSelected) -> None:
        app = cast("FlowctlApp", self.app)
        self.dismiss(None)
        app.act(self._actions[event.option.id or ""], self._subjects)

    def action_copy(self) -> None:
        """Copy the command of the action under the cursor."""
        options = self.query_one(OptionList)
        if options.highlighted is not None:
            app = cast("FlowctlApp", self.app)
            action = self._actions[options.get_option_at_index(options.highlighted).id or ""]
            app.copy(app.shown(command_for(action, self._subjects)))
