"""A field of a form: its name, what is typed or chosen, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.suggester import SuggestFromList
from textual.widgets import Input, Static, TextArea

from flowctl.core.text import safe_json, safe_line, shorten
from flowctl.tui.widgets.choice import Choice
from flowctl.tui.widgets.safe_input import SafeInput

_LABEL = 15


class Field(NamedTuple):
    """What a form asks for. With `choices` it is one of them; `is_long` is JSON, of several lines."""

    name: str
    label: str
    value: str = ""
    note: str = ""  # shown while it is empty
    choices: Sequence[str] = ()
    is_long: bool = False
    known: Sequence[str] = ()  # completed while one types
    more: bool = False  # folded away at first


class FieldLine(Vertical):
    """One field on the screen. Its value is always a text."""

    def __init__(self, field: Field) -> None:
        super().__init__()
        self.field = field
        self._entry = _entry(field)
        self._problem = Static(markup=False, classes="problem")

    def compose(self) -> ComposeResult:
        """Yield the name, the entry, and the line for what is wrong."""
        with Horizontal():
            yield Static(shorten(safe_line(self.field.label), _LABEL), markup=False, classes="label")
            yield self._entry
        yield self._problem

    @property
    def value(self) -> str:
        """Return what is typed or chosen; what was recorded, as it is, while nobody changes what is drawn of it."""
        shown = self._entry.text if isinstance(self._entry, TextArea) else self._entry.value
        return self.field.value if shown == _drawn(self.field) else shown

    def tell(self, problem: str) -> None:
        """Show what is wrong with it, '' for nothing."""
        self._problem.display = bool(problem)
        self._problem.update(safe_line(problem))

    def enter(self) -> None:
        """Let the keys go there."""
        self._entry.focus()


def _entry(field: Field) -> Input | TextArea | Choice:
    if field.choices:
        return Choice(field.choices, field.value)
    note = safe_line(field.note)
    if field.is_long:
        return TextArea(_drawn(field), compact=True, placeholder=note, tab_behavior="focus")
    known = SuggestFromList(field.known, case_sensitive=True) if field.known else None
    return SafeInput(_drawn(field), placeholder=note, compact=True, suggester=known)


def _drawn(field: Field) -> str:
    """Return its value as it can be drawn."""
    return safe_json(field.value) if field.is_long else safe_line(field.value)
