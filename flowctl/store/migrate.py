"""From any released file to today's schema: creation, identification, migration, and the backup before it."""

from __future__ import annotations

import os
import re
from _blake2 import blake2b  # hashlib would load OpenSSL, at 4 ms
from functools import cache
from typing import NamedTuple

import apsw

from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import Conflict, Damaged, NewerFile, NotFound, UsageError
from flowctl.store import files
from flowctl.store.connection import Connection, translated
from flowctl.store.queries import read_data

APPLICATION_ID = 0x666C6F77  # "flow"


class Migration(NamedTuple):
    """One step from the version before to `version`. `fingerprint` is of the schema that it leaves."""

    version: int
    file: str
    fingerprint: str


# A new migration goes last: the test of the schema prints its fingerprint.
MIGRATIONS = (Migration(1, "0001_create_core.sql", "720d328a327303ca632c9f00"),)

_COMMENT = re.compile(r"--[^\n]*")
_SPACE = re.compile(r"\s+")
_SPACE_AT_MARK = re.compile(r" (?=[(),;=<>|])|(?<=[(),;=<>|]) ")
# What ANALYZE, AUTOINCREMENT and the full-text index keep is SQLite's own; an automatic index has no text.
_SCHEMA = """
    SELECT type, name, sql FROM sqlite_schema
    WHERE sql IS NOT NULL AND name NOT IN (
        'sqlite_sequence', 'sqlite_stat1', 'sqlite_stat4',
        'search_data', 'search_idx', 'search_docsize', 'search_config') ORDER BY type, name
"""


def latest() -> int:
    """Return the version that this flowctl writes."""
    return MIGRATIONS[-1].version


def normalised(sql: str) -> str:
    """Return SQL without comments and with one kind of white space, for comparison."""
    return _SPACE_AT_MARK.sub("", _SPACE.sub(" ", _COMMENT.sub("", sql))).strip()


def objects(connection: Connection) -> list[tuple[str, str, str]]:
    """Return type, name and normalised text of everything in the schema."""
    return [(kind, name, normalised(sql)) for kind, name, sql in connection.rows(_SCHEMA)]


def fingerprint(found: list[tuple[str, str, str]]) -> str:
    """Return a short hash of a schema."""
    text = "\n".join("|".join(entry) for entry in found)
    return blake2b(text.encode(), digest_size=12).hexdigest()


@cache
def schema_text() -> str:
    """Return `schema.sql`: inside the installed package, or at the top of a checkout."""
    try:
        return read_data(os.path.join("..", "schema.sql"))
    except OSError:
        return read_data(os.path.join("..", "..", "schema.sql"))


def create(path: str, timeout_ms: int) -> None:
    """Create a database, unless another process is quicker.

    It is built under another name and then renamed: whoever sees it sees it whole, after a kill at any moment too.
    """
    folder = os.path.dirname(path)
    files.make_folder(folder)
    files.check_folder(folder)
    with files.folder_lock(folder, timeout_ms):
        if os.path.lexists(path):
            return
        files.check_log_has_database(path)
        draft = f"{path}.new"
        files.remove(draft)
        files.create_private(draft)
        try:
            _build(draft)
            files.remove(path)
            files.place(draft, path)
        finally:
            files.remove(draft)


def _build(path: str) -> None:
    connection = Connection(path)
    try:
        connection.rows(
            "PRAGMA auto_vacuum = INCREMENTAL"
        )  # before the first table, or pruned pages are never given back
        connection.rows("PRAGMA journal_mode = WAL")
        with connection.transaction():
            connection.write(schema_text())
            connection.write(f"PRAGMA user_version = {latest()}")
            connection.write(
                "INSERT INTO meta (key, value) VALUES"
                " ('file_id', lower(hex(randomblob(16)))), ('created_at', :now), ('epoch_base', '0'),"
                " ('machine', :machine)",
                {"now": str(SYSTEM_CLOCK.now()), "machine": files.machine()},
            )
        connection.rows("PRAGMA wal_checkpoint(TRUNCATE)")  # closing does it too, but is silent on a full disk
    finally:
        connection.close()


def version_of(connection: Connection) -> int:
    """Return the version of the file."""
    return int(connection.value("PRAGMA user_version"))


def identify(connection: Connection) -> int:
    """Return the version of a file. Raises Damaged when it is not flowctl's, NewerFile when it is too new."""
    path = connection.path
    if connection.value("PRAGMA application_id") != APPLICATION_ID:
        raise Damaged(f"{path} is not a flowctl database", "Name another file with --db.")
    version = version_of(connection)
    if version > latest():
        raise NewerFile(
            f"{path} was written by a newer flowctl (version {version} of the file; this one knows {latest()})",
            "Update flowctl. Nothing was changed.",
        )
    known = {migration.version: migration.fingerprint for migration in MIGRATIONS}
    found = objects(connection)
    if fingerprint(found) != known.get(version):
        strange = strangers(found)
        which = f": see the {strange[0][0]} {strange[0][1]}" if strange else ""
        raise Damaged(f"{path} does not have flowctl's schema{which}", "Restore a backup of it.")
    return version


def strangers(found: list[tuple[str, str, str]]) -> list[tuple[str, str]]:
    """Return type and name of what a schema has otherwise than today's."""
    return sorted({(kind, name) for kind, name, _ in set(found) ^ set(objects_of(schema_text()))})


def objects_of(sql: str) -> list[tuple[str, str, str]]:
    """Return the objects that a script creates in an empty database."""
    memory = Connection(":memory:")
    try:
        memory.raw.execute(sql).fetchall()
        return objects(memory)
    finally:
        memory.close()


def migrate(connection: Connection, version: int) -> None:
    """Bring an older file up to date: one transaction a migration, and a backup before the first.

    Of several processes that start at once the first migrates; the others wait for its lock and find the work done.
    """
    for migration in MIGRATIONS:
        if migration.version <= version:
            continue
        with connection.transaction():
            found = version_of(connection)
            if found >= migration.version:
                continue
            if found == version:
                _back_up_before(connection)
            connection.write(read_data(os.path.join("migrations", migration.file)))
            connection.write(f"PRAGMA user_version = {migration.version}")
            if migration.version == latest():
                _note(connection, f"migrated to version {migration.version}")


def _note(connection: Connection, text: str) -> None:
    from flowctl.store.events import Events  # only who migrates pays for it

    Events(connection).note("database", text, SYSTEM_CLOCK.now())


def _back_up_before(connection: Connection) -> None:
    """Keep the file as `<file>.before-<new version>`: a second connection reads while this one has the lock."""
    target = f"{connection.path}.before-{latest()}"
    reader = Connection(connection.path, read_only=True)
    try:
        copy(reader, target)
    finally:
        reader.close()


def back_up(connection: Connection, path: str) -> None:
    """Copy the database to a new file while it is in use."""
    if os.path.lexists(path):
        raise Conflict(f"{path} exists: a backup does not overwrite", "Choose another name.")
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise NotFound(f"there is no folder {folder}", "Create it, or choose another.")
    copy(connection, path)


def copy(connection: Connection, path: str) -> None:
    """Write a private copy. It gets its name when it is complete."""
    draft = f"{path}.partial"
    files.remove(draft)
    files.create_private(draft)
    try:
        target = Connection(draft)
        try:
            with target.raw.backup("main", connection.raw, "main") as backup:
                while not backup.done:
                    backup.step(-1)
        except apsw.Error as error:
            raise translated(error, path) from error
        finally:
            target.close()
        files.place(draft, path)
    finally:
        files.remove(draft)


def refuse_older(path: str, version: int) -> None:
    """Refuse to read an older file without changing it."""
    if version < latest():
        raise UsageError(
            f"{path} was written by an older flowctl (version {version} of the file; this one needs {latest()})",
            "Bring it up to date with: flowctl db migrate",
        )
