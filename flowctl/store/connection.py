"""The connection: pragmas, limits, transactions, and SQLite's errors in flowctl's words."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import apsw

from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import Busy, Conflict, Damaged, DiskTrouble, FlowctlError, Moved, NotPermitted, UsageError

Row = tuple[Any, ...]
Parameters = Mapping[str, Any]

BUSY_TIMEOUT_MS = 5_000
WAIT_S = 0.002  # between two tries for a lock
KNOCK_TRIES = 5
MAX_LENGTH = 64 * 1024 * 1024  # of a value or row, so that a hostile file cannot ask for more memory
_MAX_SQL_LENGTH = 100_000

# trusted_schema off: a planted trigger or view cannot call functions with side effects. recursive_triggers on: REPLACE
# fires the triggers that refuse a deletion. fullfsync: on macOS a plain fsync does not reach the platter.
_PRAGMAS = """
    PRAGMA foreign_keys = ON;
    PRAGMA trusted_schema = OFF;
    PRAGMA recursive_triggers = ON;
    PRAGMA cell_size_check = ON;
    PRAGMA mmap_size = 0;
    PRAGMA temp_store = MEMORY;
    PRAGMA synchronous = FULL;
    PRAGMA fullfsync = ON;
    PRAGMA checkpoint_fullfsync = ON;
    PRAGMA journal_size_limit = 16777216;
"""

_READ_PRAGMAS = frozenset(
    {
        "application_id",
        "data_version",
        "foreign_key_check",
        "integrity_check",
        "journal_mode",
        "page_count",
        "page_size",
        "quick_check",
        "synchronous",
        "user_version",
    }
)
_READ_ACTIONS = frozenset(
    {
        apsw.SQLITE_FUNCTION,
        apsw.SQLITE_READ,
        apsw.SQLITE_RECURSIVE,
        apsw.SQLITE_SELECT,
        apsw.SQLITE_TRANSACTION,
    }
)


def translated(error: apsw.Error, path: str) -> Exception:
    """Return the error that a person is told for one of SQLite's, or the same error when it is a defect of flowctl."""
    text = str(error)
    extended = getattr(error, "extendedresult", 0)
    if extended == apsw.SQLITE_READONLY_DBMOVED:
        return Moved(f"the database {path} was moved or deleted while it was open")
    match error:
        case apsw.BusyError() | apsw.LockedError() | apsw.ProtocolError():
            return Busy(f"the database {path} is locked by another process", "Try again in a moment.")
        case apsw.FullError():
            return DiskTrouble(f"the disk is full: nothing more can be written to {path}", "Free some space.")
        case apsw.IOError():
            return DiskTrouble(f"the disk failed under {path}: {text}")
        case apsw.NotADBError():
            return Damaged(f"{path} is not a flowctl database", "Name another file with --db.")
        case apsw.CorruptError() | apsw.FormatError():
            return Damaged(f"the database {path} is damaged: {text}", "See what is left with: flowctl db check")
        case apsw.SQLError() if text.endswith("malformed JSON"):
            return Damaged(f"the database {path} is damaged: it holds malformed JSON", "See: flowctl db check")
        case apsw.ReadOnlyError() | apsw.CantOpenError() | apsw.PermissionsError() | apsw.AuthError():
            return NotPermitted(f"the database {path} cannot be opened or written: {text}")
        case apsw.TooBigError():
            return UsageError(f"a value is larger than {MAX_LENGTH >> 20} MB, which is too large to store")
        case apsw.ConstraintError() if extended == apsw.SQLITE_CONSTRAINT_TRIGGER:
            return Conflict(text.removeprefix("ConstraintError: "))
    return error


def _authorize(action: int, first: str | None, second: str | None, _schema: str | None, _trigger: str | None) -> int:
    if action in _READ_ACTIONS and not (action == apsw.SQLITE_FUNCTION and second == "load_extension"):
        return apsw.SQLITE_OK
    if action == apsw.SQLITE_PRAGMA and (first or "").lower() in _READ_PRAGMAS:
        return apsw.SQLITE_OK if second is None else apsw.SQLITE_DENY
    return apsw.SQLITE_DENY


def _sum_of(*data: Any) -> int | None:
    return None if data[0] is None else zlib.crc32(data[0])


class Connection:
    """One connection to the file, for one thread. Every cursor is read to its end: an open one would pin the WAL."""

    def __init__(self, path: str, *, read_only: bool = False, busy_timeout: int = BUSY_TIMEOUT_MS) -> None:
        self.path = path
        self.knock: Callable[[], None] = _nothing  # asks whoever writes all the time to leave a gap
        self.actor: str | None = None  # whom the audit log names for what is written here
        self._writing = False
        self._busy_timeout = busy_timeout
        self._gives_up_at = 0.0
        with self._errors():
            self._apsw = apsw.Connection(
                path,
                flags=apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE,
                statementcachesize=200,
            )
        try:
            with self._errors():
                self._prepare(read_only)
        except BaseException:
            self._apsw.close()
            raise

    def _prepare(self, read_only: bool) -> None:
        connection = self._apsw
        connection.set_busy_handler(self._wait)
        connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
        connection.limit(apsw.SQLITE_LIMIT_LENGTH, MAX_LENGTH)
        connection.limit(apsw.SQLITE_LIMIT_SQL_LENGTH, _MAX_SQL_LENGTH)
        connection.limit(apsw.SQLITE_LIMIT_ATTACHED, 0)
        connection.create_scalar_function("actor", self._name_actor, 0, flags=apsw.SQLITE_INNOCUOUS)
        connection.create_scalar_function("sum_of", _sum_of, 1, deterministic=True, flags=apsw.SQLITE_INNOCUOUS)
        connection.execute(_PRAGMAS).fetchall()
        if read_only:
            connection.execute("PRAGMA query_only = ON").fetchall()
            connection.authorizer = _authorize

    def _wait(self, tries: int) -> bool:
        """Wait a moment for a lock, and tell whether to try again.

        SQLite's own waiting doubles its pauses, and would miss the gaps that a busy writer leaves.
        """
        now = SYSTEM_CLOCK.monotonic()
        if tries == 0:
            self._gives_up_at = now + self._busy_timeout / 1000
        if now >= self._gives_up_at:
            return False
        if tries % KNOCK_TRIES == 0:
            self.knock()
        time.sleep(WAIT_S)
        return True

    def _name_actor(self, *_: object) -> str | None:
        return self.actor

    @property
    def raw(self) -> apsw.Connection:
        """Return apsw's connection, for the backup and for tests."""
        return self._apsw

    def close(self) -> None:
        """Close the connection, rolling back what is open."""
        with self._errors():
            self._apsw.close()

    def leave_wal(self) -> None:
        """Leave a WAL that is not ours as it is when closing."""
        self._apsw.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except apsw.Error as error:
            raise translated(error, self.path) from error

    def rows(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        """Return all rows of a statement."""
        try:
            return self._apsw.execute(sql, parameters).fetchall()
        except apsw.Error as error:
            raise translated(error, self.path) from error
        except UnicodeDecodeError as error:
            raise Damaged(
                f"the database {self.path} is damaged: it holds text that is not UTF-8",
                "See what is left with: flowctl db check",
            ) from error

    def row(self, sql: str, parameters: Parameters | None = None) -> Row | None:
        """Return the only row of a statement, or None."""
        found = self.rows(sql, parameters)
        return found[0] if found else None

    def value(self, sql: str, parameters: Parameters | None = None) -> Any:
        """Return the first column of the only row of a statement, or None."""
        found = self.rows(sql, parameters)
        return found[0][0] if found else None

    def write(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        """Run a writing statement inside the open transaction and return its RETURNING rows."""
        if not self._writing:
            raise RuntimeError("a write outside `with store.transaction()`")
        return self.rows(sql, parameters)

    def change(self, sql: str, parameters: Parameters | None = None) -> int:
        """Run a writing statement inside the open transaction and return how many rows it changed."""
        self.write(sql, parameters)
        return self._apsw.changes()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write in one transaction. It begins IMMEDIATE: a read that later writes fails at once with BUSY_SNAPSHOT."""
        self.rows("BEGIN IMMEDIATE")
        self._writing = True
        try:
            yield
            self.rows("COMMIT")
        except BaseException:
            self._rollback()
            raise
        finally:
            self._writing = False

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read one consistent snapshot. Keep it short: an open one lets the WAL grow."""
        if self._apsw.in_transaction:
            yield
            return
        self.rows("BEGIN DEFERRED")
        try:
            yield
        finally:
            self._rollback()

    def _rollback(self) -> None:
        """Roll back unless SQLite already did, as it does when the disk is full."""
        if self._apsw.in_transaction:
            with suppress(FlowctlError):  # the error that brought us here is the one to report
                self.rows("ROLLBACK")


def _nothing() -> None:
    pass
