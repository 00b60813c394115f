"""A disk whose nth write, sync, open or truncation fails, once or from then on: SQLite's default VFS while it is up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import apsw

_BASE = "unix"

Operation = Literal["open", "write", "sync", "truncate"]


class Fault(NamedTuple):
    """Which operation fails, counted from 1, whether all later ones do too, and with which of SQLite's errors."""

    nth: int
    for_ever: bool
    error: type[apsw.Error]


class Disk:
    """Counts what SQLite does, and fails where it is told to."""

    def __init__(self) -> None:
        self.done: list[tuple[Operation, str]] = []  # since the last `begin`, with the end of the file's name
        self._fault: Fault | None = None

    def begin(self, fault: Fault | None = None) -> None:
        """Count anew, and fail there from now on."""
        self.done, self._fault = [], fault

    def lift(self) -> None:
        """Let nothing fail any more."""
        self._fault = None

    def reach(self, operation: Operation, path: str | None) -> None:
        """Count an operation, and raise when it is to fail."""
        self.done.append((operation, (path or "").rpartition("/")[2]))
        fault, count = self._fault, len(self.done)
        if fault is not None and (count == fault.nth or (fault.for_ever and count > fault.nth)):
            raise fault.error(f"injected: {operation} {count}")


class _FaultyVFS(apsw.VFS):
    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        super().__init__("faulty", _BASE, makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._disk.reach("open", path)
        return _FaultyFile(self._disk, path, name, flags)


class _FaultyFile(apsw.VFSFile):
    def __init__(self, disk: Disk, path: str | None, name: Any, flags: list[int]) -> None:
        super().__init__(_BASE, name, flags)
        self._disk, self._path = disk, path

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._disk.reach("write", self._path)
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.reach("sync", self._path)  # a real one would only take time: nothing here outlives the machine

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._disk.reach("truncate", self._path)
        super().xTruncate(newsize)


@contextmanager
def faulty_disk() -> Iterator[Disk]:
    """Put a disk under every database that is opened here. It works until it is told to fail."""
    disk = Disk()
    vfs = _FaultyVFS(disk)
    try:
        yield disk
    finally:
        disk.lift()
        vfs.unregister()
