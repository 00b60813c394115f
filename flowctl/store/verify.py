"""Checks of a whole file, for `flowctl db check` and after every test of a fault."""

from __future__ import annotations

import os
import stat
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from flowctl.core.digests import sha256
from flowctl.core.errors import Damaged, DiskTrouble
from flowctl.store import files, migrate
from flowctl.store.connection import Connection, Parameters, Row
from flowctl.store.payloads import REFERENCE_BYTES, reference
from flowctl.store.queries import load

SQL = load("verify")

_INVARIANTS = (
    "missing_sources",
    "one_outcome",
    "one_place",
    "one_key",
    "one_child",
    "no_holes",
    "final_is_final",
    "one_after_the_other",
    "woken",
    "attempts_in_a_row",
    "attempts_of_steps",
    "failure_recorded",
    "shared_steps",
    "interruptions_counted",
    "held_by_a_running_engine",
    "families",
    "waiting_for_something",
    "signals_taken",
    "audit_log",
    "audit_begins",
    "audit_moves",
    "search_index",
    "slots_of_runs",
    "next_slot",
    "queue_limits",
    "reserved_by_a_running_engine",
)
_PAYLOADS = ("input", "output", "error")
_LONGEST_LOG = 64 * 1024 * 1024  # four times what a checkpoint cuts it to: something holds it
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong: which check found it, where, and what it is."""

    check: str
    subject: str
    message: str


Check = Callable[[Connection], Iterator[Finding]]


def check(connection: Connection, full: bool, now: int | None = None) -> list[Finding]:
    """Run every check; given the time, also look for what happened after tomorrow.

    Two at a time, each on a snapshot of its own: SQLite reads without Python's lock, and large files take a while.
    """
    checks = list(_checks(full, now).items())
    findings: list[list[Finding]] = [[] for _ in checks]
    left = deque(range(len(checks)))

    def work(connection: Connection) -> None:
        with connection.reading(), suppress(IndexError):
            while True:
                number = left.popleft()
                findings[number] = _survived(*checks[number], connection)

    with closing(Connection(connection.path, read_only=True)) as another, ThreadPoolExecutor(1) as thread:
        beside = thread.submit(work, another)
        try:
            work(connection)
        except BaseException:  # such as ctrl-C: else the rest would be checked first
            left.clear()
            another.raw.interrupt()
            raise
        beside.result()
    return [finding for each in findings for finding in each]


def _checks(full: bool, now: int | None) -> dict[str, Check]:
    checks: dict[str, Check] = {
        "pages": _integrity if full else _quick,
        "foreign_keys": _foreign_keys,
        "application_id": _application_id,
        "user_version": _user_version,
        "schema": _schema,
        "journal_mode": _journal_mode,
        "log_size": _log_size,
        "free_space": _free_space,
        "permissions": _permissions,
        "payloads": payloads,
        "sources": _sources,
    }
    checks |= {name: _invariant(name) for name in _INVARIANTS}
    if now is not None:
        checks["future"] = _invariant("future", {"latest": now + _DAY_MS})
    return checks


def _survived(name: str, run: Check, connection: Connection) -> list[Finding]:
    """Return what a check finds, and the damage that stopped it, if any."""
    findings: list[Finding] = []
    try:
        for finding in run(connection):
            findings.append(finding)
    except (Damaged, DiskTrouble) as error:
        findings.append(Finding(name, connection.path, error.message))
    except (TypeError, ValueError) as error:  # from a damaged page any column may come as NULL, or as another type
        findings.append(Finding(name, connection.path, f"holds what cannot be read: {error}"))
    return findings


# -- structure


def _quick(connection: Connection) -> Iterator[Finding]:
    return _pages(connection, "PRAGMA quick_check")


def _integrity(connection: Connection) -> Iterator[Finding]:
    return _pages(connection, "PRAGMA integrity_check")


def _pages(connection: Connection, pragma: str) -> Iterator[Finding]:
    for (line,) in connection.rows(pragma):
        if line != "ok":
            yield Finding("pages", connection.path, line)


def _foreign_keys(connection: Connection) -> Iterator[Finding]:
    for table, rowid, parent, _ in connection.rows("PRAGMA foreign_key_check"):
        yield Finding("foreign_keys", f"{table} row {rowid}", f"refers to a row of {parent} that is not there")


def _application_id(connection: Connection) -> Iterator[Finding]:
    found = connection.value("PRAGMA application_id")
    if found != migrate.APPLICATION_ID:
        yield Finding("application_id", connection.path, f"is {found:#x}, not flowctl's {migrate.APPLICATION_ID:#x}")


def _user_version(connection: Connection) -> Iterator[Finding]:
    found = migrate.version_of(connection)
    if found != migrate.latest():
        yield Finding("user_version", connection.path, f"is {found}, this flowctl writes {migrate.latest()}")


def _schema(connection: Connection) -> Iterator[Finding]:
    for kind, name in migrate.strangers(migrate.objects(connection)):
        yield Finding("schema", f"{kind} {name}", "is missing, altered or not flowctl's")


def _journal_mode(connection: Connection) -> Iterator[Finding]:
    found = connection.value("PRAGMA journal_mode")
    if found != "wal":
        yield Finding("journal_mode", connection.path, f"is {found}, not wal")


def _log_size(connection: Connection) -> Iterator[Finding]:
    found = files.size(connection.path + "-wal")
    if found > _LONGEST_LOG:
        yield Finding(
            "log_size", connection.path + "-wal", f"has grown to {found:,} bytes: some process reads too long"
        )


def _free_space(connection: Connection) -> Iterator[Finding]:
    free, log = files.free_space(connection.path), files.size(connection.path + "-wal")
    if free < log:
        yield Finding(
            "free_space", connection.path, f"has {free:,} bytes of disk left, and its log is {log:,} bytes long"
        )


def _permissions(connection: Connection) -> Iterator[Finding]:
    for path in (connection.path, *(connection.path + side for side in files.SIDE_FILES)):
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            continue
        if found.st_mode & 0o077:
            yield Finding("permissions", path, f"has mode {stat.S_IMODE(found.st_mode):04o}: others may use it")
        if found.st_uid != os.geteuid():
            yield Finding("permissions", path, f"belongs to user {found.st_uid}")
        if found.st_nlink > 1 or not stat.S_ISREG(found.st_mode):
            yield Finding("permissions", path, "is not a file with one name")


# -- payloads: bytes are compared, because a flipped bit may leave text that is not UTF-8


def payloads(connection: Connection) -> Iterator[Finding]:
    """Yield every payload that is not what was stored; its subject names run and step."""
    sums = _Sums(connection)
    for row in _pages_of(connection, "run_payloads"):
        for name, wrong in sums.wrong(_PAYLOADS, row[2:]):
            yield Finding("payloads", f"run {row[0]} {name}", wrong)
    for row in _pages_of(connection, "step_payloads"):
        for name, wrong in sums.wrong(_PAYLOADS, row[4:]):
            yield Finding("payloads", f"run {row[1]} step {row[2]} {name}", wrong)
    for row in _pages_of(connection, "signal_payloads"):
        for name, wrong in sums.wrong(("input",), row[2:]):
            yield Finding("payloads", f"run {row[1]} signal {row[0]} {name}", wrong)
    for run_id, key, attempt, *columns in _attempts(connection):
        for name, wrong in sums.wrong(("error",), columns):
            yield Finding("payloads", f"run {run_id} step {key} attempt {attempt} {name}", wrong)


def _pages_of(connection: Connection, name: str) -> Iterator[Row]:
    after = 0
    while rows := connection.rows(SQL[name], {"after": after, "reference": REFERENCE_BYTES}):
        yield from rows
        after = _onward(connection, after, rows[-1][0])


def _attempts(connection: Connection) -> Iterator[Row]:
    place: Row = (0, "", 0)
    names = ("run", "key", "attempt", "reference")
    while rows := connection.rows(SQL["attempt_payloads"], dict(zip(names, (*place, REFERENCE_BYTES), strict=True))):
        yield from rows
        place = _onward(connection, place, rows[-1][:3])


def _onward(connection: Connection, place: Any, last: Any) -> Any:
    """Return where the next page begins. The order of a damaged table can lead in a circle. Raises Damaged."""
    if last <= place:
        raise Damaged(f"the database {connection.path} is damaged: its rows are out of order")
    return last


class _Sums:
    """Compares payloads with their checksums, each large one once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[str, str | None] = {}

    def wrong(self, names: Sequence[str], columns: Sequence[Any]) -> list[tuple[str, str]]:
        """Return what is wrong with the payloads of one row, given as text, checksum, text, …, by their names."""
        found = []
        for name, data, crc in zip(names, columns[::2], columns[1::2], strict=True):
            if wrong := self._wrong(data, crc):
                found.append((name, wrong))
        return found

    def _wrong(self, data: bytes | None, crc: int | None) -> str | None:
        if data is None:
            return None if crc is None else "is gone, its checksum is not"
        if zlib.crc32(data) != crc:
            return "is not what was stored: its checksum differs"
        digest = reference(data.decode(errors="replace"))
        return None if digest is None else self._large(digest)

    def _large(self, digest: str) -> str | None:
        if digest not in self._known:
            data: bytes | None = self._connection.value(SQL["payload"], {"hash": digest})
            wrong = None if data is not None and sha256(data) == digest else "is not what was stored: its hash differs"
            self._known[digest] = "is missing" if data is None else wrong
        return self._known[digest]


def _sources(connection: Connection) -> Iterator[Finding]:
    for (digest,) in connection.rows(SQL["source_hashes"]):
        data: bytes | None = connection.value(SQL["source"], {"hash": digest})
        if data is None:  # its index is damaged
            yield Finding("sources", f"source {digest[:12]}", "is not found by its hash")
        elif sha256(data) != digest:
            yield Finding("sources", f"source {digest[:12]}", "is not what was stored: its hash differs")


# -- the state of runs and steps


def _invariant(name: str, parameters: Parameters | None = None) -> Check:
    def run(connection: Connection) -> Iterator[Finding]:
        half_gone = {row[0] for row in connection.rows(SQL["half_pruned"])}
        for run_id, key, message in connection.rows(SQL[name], parameters):
            if run_id in half_gone:
                continue
            subject = connection.path if run_id is None else f"run {run_id}" + ("" if key is None else f" step {key}")
            yield Finding(name, subject, message)

    return run
