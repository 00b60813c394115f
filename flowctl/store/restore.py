"""Restoring a backup: it is copied and checked first, and then takes the place of the file, which is kept.

The epochs of the restored file begin above those of both: a claim of the time before it is never valid again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

import apsw

from flowctl.core.errors import Damaged, FlowctlError, NotFound, UsageError
from flowctl.store import files, migrate
from flowctl.store.connection import Connection
from flowctl.store.queries import load
from flowctl.store.store import Store

SQL = load("restore")
UNKNOWN_EPOCHS = 1_000_000  # more than a file that cannot be read may have given since its backup


class Restored(NamedTuple):
    """What a restoration has done."""

    path: str
    kept_as: str | None  # the file that was there before
    runs: int


def restore(path: str, backup: str, refuse: Callable[[], None], now: int, actor: str | None = None) -> Restored:
    """Put a copy of a backup in the place of a database that no engine works with, and keep that one.

    `refuse` raises when an engine does; it is asked last of all. `actor` is whom the audit log names. Raises NotFound,
    and Damaged for a backup in which something is wrong; then nothing is changed.
    """
    path, backup = files.canonical(path), files.canonical(backup)
    if path == backup:
        raise UsageError(f"{path} is the database itself, not a backup of it")
    if not os.path.isfile(backup):
        raise NotFound(f"there is no file {backup}", "flowctl db backup makes one")
    files.make_folder(os.path.dirname(path))
    files.check_folder(os.path.dirname(path))
    draft = f"{path}.restoring"
    with files.folder_lock(os.path.dirname(path), timeout_ms=5_000):
        try:
            runs = _prepare(draft, backup, _highest_epoch(path), actor, now)
            refuse()
            kept_as = _set_aside(path)
            files.place(draft, path)
        finally:
            for leftover in (draft, f"{draft}.before-{migrate.latest()}"):
                files.remove(leftover)
    return Restored(path, kept_as, runs)


def _prepare(draft: str, backup: str, epoch: int, actor: str | None, now: int) -> int:
    """Copy a backup, check the copy, and let its epochs begin above those of the present file; return its runs."""
    files.remove(draft)
    alone = not os.path.lexists(backup + "-wal")
    reader = Connection(backup, read_only=True)
    try:
        migrate.identify(reader)
        migrate.copy(reader, draft)
    finally:
        reader.close()
        if alone and not files.size(backup + "-wal"):  # what a reader may not take away itself
            files.remove_side_files(backup)
    with Store.open(draft, create=False, actor=actor) as store:
        findings = store.check(full=True)
        if findings:
            what = f"{findings[0].subject} {findings[0].message}"
            raise Damaged(f"the backup {backup} is damaged: {what}", "Choose another one; nothing was changed.")
        with store.transaction():
            base = max(epoch, int(store.connection.value(SQL["highest_epoch"])) + (UNKNOWN_EPOCHS if epoch < 0 else 0))
            store.connection.write(SQL["set_epoch_base"], {"epoch": str(base)})
            store.connection.write(SQL["set_machine"], {"machine": files.machine()})
            store.events.note("database", f"restored from {backup}", now)
        store.checkpoint()
        return int(store.status()["counts"]["runs"])


def _highest_epoch(path: str) -> int:
    """Return the highest epoch of the present file, 0 when there is none, -1 when it cannot be read."""
    if not os.path.lexists(path):
        return 0
    try:
        files.check_file(path)
        connection = Connection(path)
        try:
            connection.rows("PRAGMA wal_checkpoint(TRUNCATE)")  # so that what is kept is whole without its log
            return int(connection.value(SQL["highest_epoch"]))
        finally:
            connection.close()
    except (FlowctlError, apsw.Error):
        return -1


def _set_aside(path: str) -> str | None:
    """Give the present file, and what belongs to it, another name. The last of them is the one that opens it."""
    number, kept_as = 1, f"{path}.before-restore"
    while os.path.lexists(kept_as):
        number += 1
        kept_as = f"{path}.before-restore-{number}"
    found = False
    for side in ("", *files.SIDE_FILES):
        if os.path.lexists(path + side):
            os.rename(path + side, kept_as + side)
            found = found or side == ""
    return kept_as if found else None
