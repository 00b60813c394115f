"""One daemon a file: who holds the lock is it, and the lock file says which process that is.

Beside the engines' own locks, in `<database>-engines/daemon.lock`. The kernel frees the lock when its holder dies; the
text in it is believed only while the lock is held.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

from flowctl.core.errors import Busy
from flowctl.core.version import VERSION
from flowctl.engine.interpreter import own_python
from flowctl.store.files import disk_error

TRIES = 100  # to become the daemon: whoever asks may be kept from letting go by a busy machine
TRY_S = 0.01


class DaemonFacts(NamedTuple):
    """The daemon of a file."""

    pid: int
    started_at: int
    version: str
    words: tuple[str, ...] = ()  # options that it was started with
    search_path: str = ""  # its PATH, for what was registered without one
    python: str = ""  # what it runs code with that names no interpreter


def lock_file(store_path: str | Path) -> Path:
    """Return the lock file of the daemon of a database."""
    return Path(f"{store_path}-engines") / "daemon.lock"


def running_daemon(store_path: str | Path) -> DaemonFacts | None:
    """Return the daemon of a database, None when none runs."""
    try:
        fd = os.open(lock_file(store_path), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if _is_free(fd):
            return None
        return _read(fd)
    finally:
        os.close(fd)


class DaemonLock:
    """The right to be the daemon of a database, held inside the context. Raises Busy, which names who has it."""

    def __init__(self, store_path: str | Path, now: int, words: Sequence[str] = ()) -> None:
        self._path = lock_file(store_path)
        here = os.environ.get("PATH", ""), own_python()[0]
        self._facts = DaemonFacts(os.getpid(), now, VERSION, tuple(words), *here)

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            self._fd = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise disk_error(error, f"create the lock file {self._path}") from None
        if not _taken(self._fd):
            facts = _read(self._fd)
            os.close(self._fd)
            raise already_running(facts)
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, json.dumps(self._facts._asdict()).encode(), 0)
        return self

    def __exit__(self, *_: object) -> None:
        # The file stays: removing it could take the lock from somebody who has just opened it. What it says does not,
        # or the next daemon would be told by this one's facts until it has written its own.
        os.ftruncate(self._fd, 0)
        os.close(self._fd)


def already_running(facts: DaemonFacts | None) -> Busy:
    """Return what a second daemon is told."""
    by = f" (pid {facts.pid})" if facts is not None else ""
    return Busy(f"the daemon is running already{by}", "flowctl daemon status")


def _taken(fd: int) -> bool:
    """Take the lock, and tell whether that went well. Whoever asks holds it for a moment, a daemon for ever."""
    for _ in range(TRIES):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(TRY_S)
        else:
            return True
    return False


def _is_free(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two who ask at once do not take each other for it
    except BlockingIOError:
        return False
    return True


def _read(fd: int) -> DaemonFacts | None:
    """Return what the lock file says; None in the moment in which its holder is writing it."""
    try:
        facts = json.loads(os.pread(fd, 65_536, 0))
        return DaemonFacts(**facts | {"words": tuple(facts.get("words", ()))})
    except (ValueError, TypeError):
        return None
