"""An input or an output: as a tree, as text, or, when it is large, in a pager."""

from __future__ import annotations

import json
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import ContentSwitcher, Static

from flowctl.cli.render import megabytes
from flowctl.core.jsonpath import Path
from flowctl.core.text import safe
from flowctl.tui import outside
from flowctl.tui.widgets.json_tree import JsonTree
from flowctl.tui.widgets.lines import Lines, lines_of

LARGEST = 256 * 1024  # characters that are laid out here
_LAID_OUT = 64 * 1024 * 1024  # characters that are indented for the pager


class Note(Static, can_focus=True):
    """What is said where there is no value to show."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, markup=False)


class Payload(ContentSwitcher):
    """A JSON text of a run, shown in the way that suits it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("w", "raw", "Raw or tree", id="raw"),
        Binding("e", "page", "In $PAGER", id="page"),
        Binding("enter", "page", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, initial="note")
        self._text: str | None = None
        self._raw = False

    def compose(self) -> ComposeResult:
        """Yield the ways to show it."""
        yield JsonTree(id="tree")
        yield Lines(id="raw")
        yield Note(id="note")

    def show(self, text: str | None, above: Path, absent: str) -> None:
        """Show a JSON text, of which `above` is the place in the run; `absent` is said where there is none."""
        self._text = text
        if text is None:
            return self._say(absent)
        if len(text) > LARGEST:
            return self._say(f"{megabytes(len(text))} of JSON are too much to lay out here: Enter opens it in $PAGER")
        try:
            self.query_one(JsonTree).show(json.loads(text), above)
        except (ValueError, RecursionError):  # a damaged row is shown, not hidden behind an error
            self._raw = True
        if self._raw:
            self.query_one(Lines).show(lines_of(_indented(text)))
        self.current = "raw" if self._raw else "tree"
        return None

    def _say(self, text: str) -> None:
        self.query_one(Note).update(text)
        self.current = "note"

    def action_raw(self) -> None:
        """Show it as text, or as a tree again."""
        if self._text is None or self.current == "note":
            return
        self._raw = not self._raw
        if self._raw:
            self.query_one(Lines).show(lines_of(_indented(self._text)))
        focused = self.has_focus_within
        self.current = "raw" if self._raw else "tree"
        if focused:
            self.focus_shown()

    def action_page(self) -> None:
        """Open it in the pager."""
        if self._text is not None:
            outside.page(self.app, safe(_indented(self._text)))

    def focus_shown(self) -> None:
        """Give the keys to what is shown."""
        self.query_one(f"#{self.current}").focus()

    @property
    def shown(self) -> JsonTree | Lines | None:
        """Return what can be searched, None when there is nothing."""
        if self.current == "note":
            return None
        return self.query_one(Lines) if self._raw else self.query_one(JsonTree)


def _indented(text: str) -> str:
    if len(text) > _LAID_OUT:
        return text
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text
