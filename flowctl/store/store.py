"""The store: one SQLite file, and the groups of questions and writes about each noun."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from flowctl.core.errors import Moved, NotFound
from flowctl.store import files, migrate
from flowctl.store.connection import BUSY_TIMEOUT_MS, Connection
from flowctl.store.payloads import Payloads
from flowctl.store.queries import load
from flowctl.store.runs import Runs
from flowctl.store.steps import Steps

if TYPE_CHECKING:
    from flowctl.store.breakers import Breakers
    from flowctl.store.doctor import Doctor
    from flowctl.store.engines import Engines
    from flowctl.store.environments import Environments
    from flowctl.store.events import Events
    from flowctl.store.holds import Holds
    from flowctl.store.lists import Lists
    from flowctl.store.logs import Logs
    from flowctl.store.metrics import Metrics
    from flowctl.store.notices import Notices
    from flowctl.store.queues import Queues
    from flowctl.store.recent import Recent
    from flowctl.store.retention import Retention
    from flowctl.store.schedules import Schedules
    from flowctl.store.search import Search
    from flowctl.store.signals import Signals
    from flowctl.store.snapshots import Snapshots
    from flowctl.store.verify import Finding
    from flowctl.store.why import Evidence
    from flowctl.store.workflows import Workflows

SQL = load("store")


class Store:
    """An open database. One thread uses it; another thread or process opens its own. Never fork with one open."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.path = connection.path
        self.payloads = Payloads(connection)
        self.steps = Steps(connection, self.payloads)
        self.runs = Runs(connection, self.payloads, self.steps)
        self.file_id = str(connection.value(SQL["file_id"]))
        self._seen = self._data_version()
        self._inode = files.inode(self.path)
        self._wal_inode = files.inode(self.path + "-wal")

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        create: bool = True,
        read_only: bool = False,
        busy_timeout: int = BUSY_TIMEOUT_MS,
        actor: str | None = None,
    ) -> Self:
        """Open a database; create it if asked and missing; bring an older one up to date, after a backup.

        `busy_timeout` is in milliseconds, `actor` whom the audit log names. With `read_only` nothing is created,
        migrated or written. Raises NotFound, NotPermitted, Damaged, NewerFile, Busy, DiskTrouble, and
        UsageError for an older file that is only to be read.
        """
        name = files.canonical(path)
        if not os.path.lexists(name):
            if read_only or not create:
                files.check_log_has_database(name)
                raise NotFound(f"there is no database {name}", "Create one with: flowctl init")
            migrate.create(name, busy_timeout)
        files.check_folder(os.path.dirname(name))
        files.check_file(name)
        if not read_only:
            files.make_private(name)
        return cls(_connect(name, read_only, busy_timeout, actor))

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def transaction(self) -> AbstractContextManager[None]:
        """Write: everything inside is committed together, or not at all."""
        return self.connection.transaction()

    def reading(self) -> AbstractContextManager[None]:
        """Read one consistent snapshot. Keep it short: an open one lets the WAL grow."""
        return self.connection.reading()

    @property
    def writes(self) -> int:
        """Return how many rows were written since it was opened."""
        return self.connection.raw.total_changes()

    def changed(self) -> bool:
        """Tell whether another connection has committed since the last call."""
        before, self._seen = self._seen, self._data_version()
        return before != self._seen

    def check_moved(self) -> None:
        """Raise Moved when the file or its WAL is no longer the one that was opened: writes would vanish silently."""
        wal = files.inode(self.path + "-wal")
        if self._wal_inode is None:
            self._wal_inode = wal
        if files.inode(self.path) != self._inode or wal != self._wal_inode:
            raise Moved(
                f"the database {self.path}, or its log, was moved or deleted while it was open",
                "Put it back, or restore a backup, then start again.",
            )

    def checkpoint(self) -> None:
        """Move everything from the log into the file, as far as readers let it."""
        self.connection.rows("PRAGMA wal_checkpoint(TRUNCATE)")

    def backup(self, path: str | os.PathLike[str]) -> None:
        """Copy the database to a new private file while it is in use. Raises Conflict when the file exists."""
        migrate.back_up(self.connection, files.canonical(path))

    def status(self) -> dict[str, Any]:
        """Return facts about the file: path, file_id, size and wal_size in bytes, user_version, and counts of rows."""
        with self.reading():
            counts = {noun: self.connection.value(SQL[f"count_{noun}"]) for noun in ("runs", "steps", "events", "logs")}
            states: dict[str, int] = dict(self.connection.rows(SQL["states"]))
            version = migrate.version_of(self.connection)
        return {
            "path": self.path,
            "file_id": self.file_id,
            "size": files.size(self.path),
            "wal_size": files.size(self.path + "-wal"),
            "user_version": version,
            "counts": counts,
            "states": states,
        }

    def check(self, full: bool = False, now: int | None = None) -> list[Finding]:
        """Return what is wrong with the file, nothing if all is well.

        `full` reads every page and index as well; given the time, what happened after tomorrow is wrong too.
        """
        from flowctl.store import verify

        return verify.check(self.connection, full, now)

    def verify(self) -> list[str]:
        """Return the name of every row whose payload is not what was stored, such as `run 42 step fetch output`."""
        from flowctl.store import verify

        return [finding.subject for finding in verify.payloads(self.connection)]

    def _data_version(self) -> int:
        return int(self.connection.value("PRAGMA data_version"))

    # -- nouns that not every command asks for: imported, and their SQL read, when they are first used

    @cached_property
    def holds(self) -> Holds:
        """Return the runs that wait until their conditions hold."""
        from flowctl.store.holds import Holds

        return Holds(self.connection)

    @cached_property
    def snapshots(self) -> Snapshots:
        """Return the source that runs started with."""
        from flowctl.store.snapshots import Snapshots

        return Snapshots(self.connection)

    @cached_property
    def workflows(self) -> Workflows:
        """Return the registry of names that runs can be started by."""
        from flowctl.store.workflows import Workflows

        return Workflows(self.connection)

    @cached_property
    def engines(self) -> Engines:
        """Return the processes that decide, alive or not."""
        from flowctl.store.engines import Engines

        return Engines(self.connection)

    @cached_property
    def environments(self) -> Environments:
        """Return the variables captured at registrations."""
        from flowctl.store.environments import Environments

        return Environments(self.connection)

    @cached_property
    def events(self) -> Events:
        """Return the audit log."""
        from flowctl.store.events import Events

        return Events(self.connection)

    @cached_property
    def queues(self) -> Queues:
        """Return the limits of named lanes."""
        from flowctl.store.queues import Queues

        return Queues(self.connection)

    @cached_property
    def recent(self) -> Recent:
        """Return what happened last to many schedules or workflows."""
        from flowctl.store.recent import Recent

        return Recent(self.connection)

    @cached_property
    def schedules(self) -> Schedules:
        """Return the rules that create runs, and the ledger of their slots."""
        from flowctl.store.schedules import Schedules

        return Schedules(self.connection)

    @cached_property
    def search(self) -> Search:
        """Return the full-text index."""
        from flowctl.store.search import Search

        return Search(self.connection, self.payloads)

    @cached_property
    def retention(self) -> Retention:
        """Return how long runs are kept, and what deletes them."""
        from flowctl.store.retention import Retention

        return Retention(self.connection, self.search)

    @cached_property
    def lists(self) -> Lists:
        """Return the long lists of runs: in an order, by page."""
        from flowctl.store.lists import Lists

        return Lists(self.connection, self.payloads)

    @cached_property
    def logs(self) -> Logs:
        """Return what user code printed and logged."""
        from flowctl.store.logs import Logs

        return Logs(self.connection)

    @cached_property
    def breakers(self) -> Breakers:
        """Return the circuit breakers."""
        from flowctl.store.breakers import Breakers

        return Breakers(self.connection)

    @cached_property
    def signals(self) -> Signals:
        """Return the messages to runs."""
        from flowctl.store.signals import Signals

        return Signals(self.connection, self.payloads)

    @cached_property
    def evidence(self) -> Evidence:
        """Return what it takes to say why."""
        from flowctl.store.why import Evidence

        return Evidence(self.connection)

    @cached_property
    def metrics(self) -> Metrics:
        """Return the counts over the whole file."""
        from flowctl.store.metrics import Metrics

        return Metrics(self.connection)

    @cached_property
    def doctor(self) -> Doctor:
        """Return what the doctor asks of the file."""
        from flowctl.store.doctor import Doctor

        return Doctor(self.connection)

    @cached_property
    def notices(self) -> Notices:
        """Return the channels and what each was told."""
        from flowctl.store.notices import Notices

        return Notices(self.connection)


def _connect(name: str, read_only: bool, busy_timeout: int, actor: str | None) -> Connection:
    """Open and identify a file. A file that is refused is left as it was found, with its WAL."""
    had_wal = files.size(name + "-wal") > 0
    connection = Connection(name, read_only=read_only, busy_timeout=busy_timeout)
    connection.actor = actor
    try:
        try:
            with connection.reading():  # version and schema of one moment, while another process may be migrating
                version = migrate.identify(connection)
        except BaseException:
            if had_wal:
                connection.leave_wal()
            raise
        if read_only:
            migrate.refuse_older(name, version)
            return connection
        if connection.value("PRAGMA journal_mode") != "wal":  # as a copy made by another tool may have it
            connection.rows("PRAGMA journal_mode = WAL")
        migrate.migrate(connection, version)
    except BaseException:
        connection.close()
        raise
    return connection
