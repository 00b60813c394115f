"""Programs that take the terminal for a while: the person's pager and editor."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable
from typing import Any, TypeVar

from textual.app import App, SuspendNotSupported

from flowctl.cli.editor import chosen_editor, edited, open_in_editor
from flowctl.core.errors import FlowctlError, UsageError
from flowctl.core.text import safe_line
from flowctl.tui.trouble import told

T = TypeVar("T")


def page(app: App[Any], text: str) -> None:
    """Show a text, which is safe, in $PAGER."""
    with tempfile.TemporaryDirectory(prefix="flowctl-") as folder:
        name = os.path.join(folder, "value.json")
        with open(name, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        _tell_code(app, "the pager", _outside(app, lambda: _paged(name)))


def edit(app: App[Any], path: str, line: int | None) -> bool:
    """Open a file in $VISUAL or $EDITOR, at a line where the editor is known to take one. False: nothing came of it."""
    if not os.path.isfile(path):
        _say(app, f"there is no file {path}")
        return False
    code = _outside(app, lambda: open_in_editor(path, line)) if _has_editor(app) else None
    _tell_code(app, "the editor", code)
    return code == 0


def edit_text(app: App[Any], text: str, name: str) -> str | None:
    """Return what a person makes of a text in $VISUAL or $EDITOR. None: nothing came of it, and it is told why."""
    return _outside(app, lambda: edited(text, name)) if _has_editor(app) else None


def _paged(path: str) -> int:
    pager = os.environ.get("PAGER") or "less"
    try:
        return subprocess.call([*shlex.split(pager), path])
    except (OSError, ValueError) as error:
        raise UsageError(f"the pager {pager} cannot be started: {error}", "name another one in $PAGER") from None


def _has_editor(app: App[Any]) -> bool:
    found = chosen_editor(os.environ) is not None
    if not found:
        _say(app, "no editor is chosen: name one before you start flowctl tui, such as: export EDITOR=nano")
    return found


def _outside(app: App[Any], work: Callable[[], T]) -> T | None:
    """Do what needs the terminal for itself. None: it could not be done, and it is told why."""
    try:
        with app.suspend():
            return work()
    except SuspendNotSupported:
        _say(app, "this terminal cannot be handed to another program")
    except FlowctlError as error:
        _say(app, told(error))
    return None


def _tell_code(app: App[Any], what: str, code: int | None) -> None:
    if code:
        _say(app, f"{what} ended with exit code {code}")


def _say(app: App[Any], text: str) -> None:
    app.notify(safe_line(text), severity="warning", markup=False)
