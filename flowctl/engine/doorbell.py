"""The doorbell: how a command that has changed the file tells the daemon to look now instead of at its next poll.

A datagram says only that; what has changed stands in the file. Each daemon process has a Unix socket of its own beside
its lock file, in `<database>-engines/`. Nothing depends on it: without a ring the daemon finds changes by polling.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from flowctl.engine.claim import doorbell_path

_PASS_CREDENTIALS = getattr(socket, "SO_PASSCRED", None)  # Linux
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


RING = b"changed"
KNOCK = b"let me in"
FOREIGN = b"foreign"


def ring(store_path: str | Path, word: bytes = RING) -> None:
    """Wake every daemon process of this database. There may be none.

    A knock says that somebody waits for the write lock: SQLite gives it to whoever asks at the right moment, and a
    process that writes all the time would keep everybody else out.
    """
    folder = Path(f"{store_path}-engines")
    try:
        names = [name for name in os.listdir(folder) if name.endswith(".sock")]
    except OSError:
        return
    if names:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell:
            bell.setblocking(False)
            for name in names:
                with contextlib.suppress(OSError), _short(folder) as place:
                    bell.sendto(word, f"{place}/{name}")


class Doorbell:
    """The socket that one daemon process listens at."""

    def __init__(self, store_path: str | Path, token: str) -> None:
        self._path = doorbell_path(store_path, token)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        with _short(self._path.parent) as place:
            self._socket.bind(f"{place}/{self._path.name}")
        os.chmod(self._path, 0o600)
        if _PASS_CREDENTIALS is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, _PASS_CREDENTIALS, 1)
        self._ours, self._theirs = socket.socketpair()  # the one that this process wakes itself with
        self._ours.setblocking(False)

    def fileno(self) -> int:
        """Return the file descriptor of the socket."""
        return self._socket.fileno()

    @property
    def own(self) -> socket.socket:
        """Return the end at which this process hears itself."""
        return self._ours

    def wake(self) -> None:
        """Wake this very process. Safe in a signal handler."""
        with contextlib.suppress(OSError):
            self._theirs.send(b"1")

    def answer(self) -> list[bytes]:
        """Take in every word that was said; one of another user than ours or root is FOREIGN."""
        words: list[bytes] = []
        while True:
            try:
                word, ancillary, _, _ = self._socket.recvmsg(16, socket.CMSG_SPACE(_CREDENTIALS.size))
            except OSError:
                return words
            known = all(_uid(kind, data) in (None, os.getuid(), 0) for _, kind, data in ancillary)
            words.append(word if known else FOREIGN)

    def hush(self) -> None:
        """Take in what this process woke itself with."""
        with contextlib.suppress(OSError):
            self._ours.recv(4096)

    def close(self) -> None:
        """Take the doorbell down."""
        self._path.unlink(missing_ok=True)
        for each in (self._socket, self._ours, self._theirs):
            each.close()


def _uid(kind: int, data: bytes) -> int | None:
    if kind != getattr(socket, "SCM_CREDENTIALS", None) or len(data) < _CREDENTIALS.size:
        return None
    return int(_CREDENTIALS.unpack_from(data)[1])


@contextlib.contextmanager
def _short(folder: Path) -> Iterator[str]:
    """Yield a name of a folder that fits into the 107 bytes of a socket's address, however long its path is."""
    if len(os.fsencode(folder)) < 60 or not os.path.isdir("/proc/self/fd"):
        yield str(folder)
        return
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)
