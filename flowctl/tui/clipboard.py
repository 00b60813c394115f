"""Copies: which terminals take them by an escape sequence (OSC 52), and the desktop's own command otherwise."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping

LONGEST_S = 5


def takes_copies(environ: Mapping[str, str]) -> bool:
    """Tell whether the terminal takes copies by OSC 52: the console, Apple's, and those built on VTE do not."""
    kind = environ.get("TERM", "")
    return not (
        kind in ("", "dumb", "linux") or environ.get("TERM_PROGRAM") == "Apple_Terminal" or "VTE_VERSION" in environ
    )


def copy(text: str, environ: Mapping[str, str]) -> bool:
    """Copy a text by a command of the desktop; tell whether there is one, and it did."""
    command = _command(environ)
    if command is None:
        return False
    try:
        done = subprocess.run(
            command,
            input=text.encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=LONGEST_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _command(environ: Mapping[str, str]) -> list[str] | None:
    offered = [
        ("WAYLAND_DISPLAY" in environ, ["wl-copy"]),
        ("DISPLAY" in environ, ["xclip", "-selection", "clipboard"]),
        (sys.platform == "darwin", ["pbcopy"]),
    ]
    for there, (name, *words) in offered:
        program = shutil.which(name, path=environ.get("PATH")) if there else None
        if program is not None:
            return [program, *words]
    return None
