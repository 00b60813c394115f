"""The keys of the place one is in."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Static


class Keys(ModalScreen[None]):
    """Every key that does something there."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark", "dismiss(None)", "Back")]

    def __init__(self, place: Screen[Any]) -> None:
        super().__init__()
        self._place = place

    def compose(self) -> ComposeResult:
        """Yield the keys: what is in the footer or has a name first, then what moves."""
        found = [each.binding for each in self._place.active_bindings.values() if not each.binding.system]
        lines: dict[str, list[str]] = {}
        for binding in sorted(found, key=lambda each: (not each.show, each.id is None)):
            if binding.description:
                lines.setdefault(binding.description, []).append(self.app.get_key_display(binding))
        with VerticalScroll(classes="dialog"):
            yield Static("Keys", classes="title")
            yield Static(Text("\n".join(f"{' '.join(dict.fromkeys(keys)):<16} {does}" for does, keys in lines.items())))
