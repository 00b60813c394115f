"""A disk that forgets: what SQLite and flowctl tell it is logged, so that it can be rebuilt as a power cut leaves it.

What was synced is there after a cut. Of what was not, each write is kept, dropped, torn at 512-byte sectors, or
overtaken by a later one. Entries of the folder (creation, deletion, renaming) last in their order, up to any of them,
or up to the last sync of the folder at least, as on a file system with a journal. The shared-memory file is no file
of the disk: it is not logged.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from random import Random
from typing import Any, Literal, NamedTuple
from unittest.mock import patch

import apsw

SECTOR = 512
_BASE = "unix"

Kind = Literal["create", "write", "truncate", "sync", "delete", "rename", "sync folder"]


class Op(NamedTuple):
    """One thing that the disk was told. `offset` is the new size of a truncation; `data` the new name of a renaming."""

    kind: Kind
    name: str = ""
    offset: int = 0
    data: bytes = b""


class Log(list[Op]):
    """What the disk was told of the files in one folder, in order. The names in it are those within the folder."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.folder = folder
        self.known: set[str] = set()

    def name(self, path: str) -> str | None:
        """Return the name of a file in the folder, None for files elsewhere."""
        folder, name = os.path.split(path)
        return name if folder == self.folder else None

    def opened(self, name: str) -> None:
        """Log the creation of a file that is opened for the first time."""
        if name not in self.known:
            self.known.add(name)
            self.append(Op("create", name))

    def deleted(self, path: str) -> None:
        """Log that a file has lost its name."""
        name = self.name(path)
        if name in self.known:
            self.known.remove(name)
            self.append(Op("delete", name))

    def renamed(self, source: str, target: str) -> None:
        """Log that a file has another name now."""
        name = self.name(source)
        if name in self.known:
            self.known.remove(name)
            self.known.add(os.path.basename(target))
            self.append(Op("rename", name, data=os.path.basename(target).encode()))


class _RecordingVFS(apsw.VFS):
    """SQLite's own way to the disk, with every change logged."""

    def __init__(self, log: Log) -> None:
        self.log = log
        super().__init__("recording", _BASE, makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        logged = None if path is None else self.log.name(path)
        return apsw.VFSFile(_BASE, name, flags) if logged is None else _RecordedFile(self.log, logged, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        super().xDelete(filename, syncdir)
        self.log.deleted(filename)
        if syncdir:
            self.log.append(Op("sync folder"))


class _RecordedFile(apsw.VFSFile):
    def __init__(self, log: Log, name: str, path: Any, flags: list[int]) -> None:
        super().__init__(_BASE, path, flags)
        self._log, self._name = log, name
        # SQLite syncs the folder with the first sync of a journal or WAL that it created.
        self._fresh = name not in log.known and name.endswith(("-wal", "-journal"))
        log.opened(name)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        super().xWrite(data, offset)
        self._log.append(Op("write", self._name, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        super().xTruncate(newsize)
        self._log.append(Op("truncate", self._name, newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802
        super().xSync(flags)
        self._log.append(Op("sync", self._name))
        if self._fresh:
            self._log.append(Op("sync folder"))
            self._fresh = False


@contextmanager
def recording(folder: str) -> Iterator[Log]:
    """Log what happens to the databases of a folder that are opened here: SQLite's default VFS is one that logs."""
    log = Log(folder)
    vfs = _RecordingVFS(log)
    rename, unlink, fsync = os.rename, os.unlink, os.fsync

    def logged_rename(source: Any, target: Any) -> None:
        rename(source, target)
        log.renamed(source, target)

    def logged_unlink(path: Any, **options: Any) -> None:
        unlink(path, **options)
        log.deleted(os.fspath(path))

    def logged_fsync(fd: int) -> None:
        fsync(fd)
        found = os.fstat(fd)
        if stat.S_ISDIR(found.st_mode) and os.path.samestat(found, os.stat(folder)):
            log.append(Op("sync folder"))

    try:
        with patch("os.rename", logged_rename), patch("os.unlink", logged_unlink), patch("os.fsync", logged_fsync):
            yield log
    finally:
        vfs.unregister()


# -- the disk -------------------------------------------------------------------------------------------------------

Fate = Literal["none", "all", "prefix", "some"]
_FATES: tuple[Fate, ...] = ("none", "all", "prefix", "some")


class _File:
    """The bytes that last, and what was written since the last sync."""

    def __init__(self) -> None:
        self.lasting = bytearray()
        self.pending: list[Op] = []

    def sync(self) -> None:
        for op in self.pending:
            _apply(self.lasting, op)
        self.pending.clear()

    def after_cut(self, fate: Fate, dice: Random) -> bytearray:
        content = bytearray(self.lasting)
        for op in self._kept(fate, dice):
            _apply(content, op)
        return content

    def _kept(self, fate: Fate, dice: Random) -> list[Op]:
        if fate == "none" or not self.pending:
            return []
        if fate == "all":
            return self.pending
        if fate == "prefix":
            end = dice.randrange(len(self.pending))
            return [*self.pending[:end], *_torn(self.pending[end], dice)]
        chance = dice.random()
        kept = [op for op in self.pending if dice.random() < chance]
        dice.shuffle(kept)
        return [part for op in kept for part in (_torn(op, dice) if dice.random() < 0.3 else [op])]


class Platter:
    """A disk on which a log is played back, a folder's worth of it."""

    def __init__(self) -> None:
        self._now: dict[str, _File] = {}  # as the programs see the folder
        self._lasting: dict[str, _File] = {}
        self._pending: list[tuple[Op, _File]] = []  # entries of the folder since its last sync

    def play(self, op: Op) -> None:
        """Do what the log says was done."""
        match op.kind:
            case "create" | "delete" | "rename":
                file = _File() if op.kind == "create" else self._now[op.name]
                self._pending.append((op, file))
                _enter(self._now, op, file)
            case "sync":
                self._now[op.name].sync()
            case "sync folder":
                for entry in self._pending:
                    _enter(self._lasting, *entry)
                self._pending.clear()
            case _:
                self._now[op.name].pending.append(op)

    def after_cut(self, dice: Random) -> dict[str, bytearray]:
        """Return the files that a cut at this moment might leave."""
        fate = dice.choice(_FATES)
        kept = {"none": 0, "all": len(self._pending)}.get(fate, dice.randint(0, len(self._pending)))
        names = dict(self._lasting)
        for entry in self._pending[:kept]:
            _enter(names, *entry)
        return {name: file.after_cut(fate, dice) for name, file in names.items()}


def _enter(names: dict[str, _File], op: Op, file: _File) -> None:
    if op.kind != "create":
        names.pop(op.name, None)
    if op.kind != "delete":
        names[op.data.decode() if op.kind == "rename" else op.name] = file


def _apply(content: bytearray, op: Op) -> None:
    end = op.offset + len(op.data)
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    if op.kind == "truncate":
        del content[op.offset :]
    else:
        content[op.offset : end] = op.data


def _torn(op: Op, dice: Random) -> list[Op]:
    """Return the sectors of a write that reached the disk. A truncation is whole."""
    if op.kind == "truncate":
        return [op]
    end = op.offset + len(op.data)
    edges = [op.offset, *range((op.offset // SECTOR + 1) * SECTOR, end, SECTOR), end]
    sectors = pairwise(edges)
    return [
        Op("write", op.name, first, op.data[first - op.offset : last - op.offset])
        for first, last in sectors
        if dice.random() < 0.5
    ]
