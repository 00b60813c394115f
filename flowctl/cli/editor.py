"""The editor of the person: $VISUAL, or $EDITOR."""

from __future__ import annotations

import os
from collections.abc import Mapping

from flowctl.cli.arguments import read_source
from flowctl.core.errors import FlowctlError, UsageError

_PLUS_LINE = frozenset({"vi", "vim", "nvim", "view", "nano", "emacs", "emacsclient", "kak", "micro", "joe", "ne", "mg"})
_COLON_LINE = frozenset({"hx", "helix", "subl", "zed"})
_GOTO = frozenset({"code", "codium", "code-insiders"})


def chosen_editor(environ: Mapping[str, str]) -> str | None:
    """Return the command of the editor that the person has chosen, None when there is none."""
    return environ.get("VISUAL") or environ.get("EDITOR") or None


def open_in_editor(path: str, line: int | None = None) -> int:
    """Open a file, at a line where the editor takes one, and return the editor's exit code. Raises UsageError."""
    import shlex
    import subprocess

    editor = chosen_editor(os.environ) or "vi"
    try:
        return subprocess.call(editor_call(shlex.split(editor), path, line))
    except (OSError, ValueError) as error:
        raise UsageError(f"the editor {editor} cannot be started: {error}", "name another one in $EDITOR") from None


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


def edited(text: str, name: str) -> str:
    """Return what a person makes of a text in the editor, where it is a file of that name. Raises FlowctlError."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="flowctl-") as folder:
        draft = os.path.join(folder, name)
        with open(draft, "w", encoding="utf-8", errors="surrogatepass") as file:
            file.write(text)
        code = open_in_editor(draft)
        if code != 0:
            raise FlowctlError(f"the editor ended with exit code {code}, so what it was given stays as it was")
        return read_source(draft, "what you wrote")
