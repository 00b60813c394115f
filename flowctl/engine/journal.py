"""The daemon's own log: lines with their instant on standard error, which `start` has pointed at a file.

The file never grows beyond LIMIT_BYTES; the one before it is kept as `….1`.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from flowctl.core.clock import Clock
from flowctl.core.instants import iso
from flowctl.core.text import safe_line

LIMIT_BYTES = 5 << 20


def journal_path(store_path: str | Path) -> Path:
    """Return the file that the daemon of a database writes its log to."""
    return Path(f"{store_path}-daemon.log")


def open_journal(path: Path) -> int:
    """Return a file descriptor that appends to the log, made private."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


class Journal:
    """Writes lines to standard error; with a path, which is what standard error is then, in files of limited size."""

    def __init__(self, clock: Clock, path: Path | None = None) -> None:
        self._clock = clock
        self._path = path

    def say(self, text: str) -> None:
        """Write a line."""
        with suppress(OSError):  # a full disk, or a terminal that is gone: the daemon goes on
            os.write(2, f"{iso(self._clock.now())} {safe_line(text)}\n".encode(errors="backslashreplace"))
            if self._path is not None and os.fstat(2).st_size > LIMIT_BYTES:
                self._turn_over(self._path)

    def _turn_over(self, path: Path) -> None:
        path.replace(path.with_name(f"{path.name}.1"))
        fd = open_journal(path)
        os.dup2(fd, 1)
        os.dup2(fd, 2)
        os.close(fd)
