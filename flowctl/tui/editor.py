"""The person's editor, in the place of the screen until it is closed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from textual.app import App, SuspendNotSupported

from flowctl.cli.editor import chosen_editor, edited, open_in_editor
from flowctl.core.errors import FlowctlError
from flowctl.core.text import safe_line

T = TypeVar("T")


def edit_file(app: App[Any], path: str, line: int | None = None) -> bool:
    """Open a file in the editor. Return False, and tell why, when that cannot be done."""
    if not os.path.isfile(path):
        _say(app, f"there is no file {path}")
        return False
    return _instead(app, lambda: open_in_editor(path, line)) is not None


def edit_text(app: App[Any], text: str, name: str) -> str | None:
    """Return what a person makes of a text in the editor; None, and it is told why, when nothing came of it."""
    return _instead(app, lambda: edited(text, name))


def line_of(path: str, functions: Sequence[str]) -> int | None:
    """Return the line where a file defines the first of these functions that it defines."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:  # `edit_file` says so
        return None
    for name in functions:
        found = re.search(rf"^\s*(?:async\s+)?def\s+{re.escape(name)}\b", text, re.MULTILINE)
        if found is not None:
            return text.count("\n", 0, found.end()) + 1
    return None


def _instead(app: App[Any], work: Callable[[], T]) -> T | None:
    """Do what needs the terminal for itself."""
    if chosen_editor(os.environ) is None:
        _say(app, "no editor is chosen: name one before you start flowctl tui, such as: export EDITOR=nano")
        return None
    try:
        with app.suspend():
            return work()
    except SuspendNotSupported:
        _say(app, "an editor cannot be opened in this terminal")
    except FlowctlError as error:
        _say(app, " · ".join(filter(None, [error.message, error.hint])))
    return None


def _say(app: App[Any], text: str) -> None:
    app.notify(safe_line(text), severity="warning", markup=False)
