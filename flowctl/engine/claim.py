"""Who is alive: an engine holds a flock for its whole life, so nothing ever has to time out.

The lock files stand beside the database, in `<database>-engines/<token>.lock`. The kernel frees a lock at the death
of its holder, a SIGKILL included, and keeps it while the holder is stopped or the machine sleeps.
"""

from __future__ import annotations

import fcntl
import os
from functools import cache
from pathlib import Path

from flowctl.core.model import EngineRow
from flowctl.store.files import disk_error


def boot_id() -> str:
    """Return what distinguishes this boot of the machine from every other; FLOWCTL_BOOT_ID overrides it in tests."""
    if os.environ.get("FLOWCTL_TESTING") == "1" and "FLOWCTL_BOOT_ID" in os.environ:
        return os.environ["FLOWCTL_BOOT_ID"]
    return _boot_of_this_process()


@cache
def _boot_of_this_process() -> str:
    """Read it once: an engine compares it every second."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # not Linux: without it a reboot is still seen, because no lock survives one
        return "unknown"


def lock_path(store_path: str | Path, token: str) -> Path:
    """Return the lock file of the engine with that token."""
    return Path(f"{store_path}-engines") / f"{token}.lock"


def doorbell_path(store_path: str | Path, token: str) -> Path:
    """Return the socket at which the engine with that token can be woken, if it is a daemon's."""
    return lock_path(store_path, token).with_suffix(".sock")


class EngineLock:
    """The flock of one engine, from its construction to `release`.

    The file descriptor is close-on-exec (Python's default): a child that inherited it would keep the lock alive
    after the engine's death.
    """

    def __init__(self, store_path: str | Path, token: str) -> None:
        self._path = lock_path(store_path, token)
        try:
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            self._fd = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise disk_error(error, f"create the lock file {self._path}") from None
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        """Remove the file, then free the lock."""
        self._path.unlink(missing_ok=True)
        os.close(self._fd)


def engine_alive(store_path: str | Path, engine: EngineRow) -> bool:
    """Tell whether the engine still holds its lock, on this boot."""
    if engine.stopped_at is not None or engine.boot_id != boot_id():
        return False
    try:
        fd = os.open(lock_path(store_path, engine.token), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(
            fd, fcntl.LOCK_SH | fcntl.LOCK_NB
        )  # shared: two who ask at once do not take each other for the engine
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
