"""Programs that take the terminal for a while: the person's pager and editor."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from typing import Any

from textual.app import App, SuspendNotSupported

_PLUS_LINE = {"vi", "vim", "nvim", "view", "nano", "emacs", "emacsclient", "kak", "micro", "joe", "ne", "mg"}
_COLON_LINE = {"hx", "helix", "subl", "zed"}
_GOTO = {"code", "codium", "code-insiders"}


def page(app: App[Any], text: str) -> None:
    """Show a text, which is safe, in $PAGER."""
    with tempfile.TemporaryDirectory(prefix="flowctl-") as folder:
        name = os.path.join(folder, "value.json")
        with open(name, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        _call(app, [*shlex.split(os.environ.get("PAGER") or "less"), name], "name another pager in $PAGER")


def edit(app: App[Any], path: str, line: int | None) -> None:
    """Open a file in $VISUAL or $EDITOR, at a line where the editor is known to take one."""
    editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    _call(app, editor_call(editor, path, line), "name another editor in $EDITOR")


def editor_call(editor: list[str], path: str, line: int | None) -> list[str]:
    """Return the command that opens a file at a line."""
    name = os.path.basename(editor[0])
    if line is not None and name in _PLUS_LINE:
        return [*editor, f"+{line}", path]
    if line is not None and name in _COLON_LINE:
        return [*editor, f"{path}:{line}"]
    if line is not None and name in _GOTO:
        return [*editor, "--goto", f"{path}:{line}"]
    return [*editor, path]


def _call(app: App[Any], argv: list[str], hint: str) -> None:
    try:
        with app.suspend():
            code = subprocess.call(argv)
    except SuspendNotSupported:
        app.notify("this terminal cannot be handed to another program", severity="warning", markup=False)
    except OSError as error:
        app.notify(f"{argv[0]} cannot be started: {error.strerror} · {hint}", severity="warning", markup=False)
    else:
        if code != 0:
            app.notify(f"{argv[0]} ended with exit code {code}", severity="warning", markup=False)
