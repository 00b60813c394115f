"""The floor: what SQLite takes for the same rows with nothing around it, synchronous=FULL, on one thread.

Run as `python -m bench.floor CASE CONTENDER SIZE FOLDER`. "floor" makes a transaction of each change, as a peer without
groups does: a run is inserted, claimed, its step recorded, done. "floor-merged" takes a run in two: inserted; the rest.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from bench.measuring import PAYLOAD, Figures, clock, report

_SCHEMA = """
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, uid TEXT NOT NULL UNIQUE, flow TEXT NOT NULL, state TEXT NOT NULL,
    priority INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL, owner TEXT, lease REAL, attempt INTEGER NOT NULL DEFAULT 0,
    input TEXT, output TEXT, created REAL NOT NULL, started REAL, ended REAL) STRICT;
CREATE INDEX runs_ready ON runs (priority DESC, due, id) WHERE state = 'queued';
CREATE INDEX runs_live ON runs (lease) WHERE state = 'running';
CREATE TABLE steps (
    run INTEGER NOT NULL, seq INTEGER NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL, attempt INTEGER NOT NULL,
    input TEXT, output TEXT, error TEXT, started REAL, ended REAL, PRIMARY KEY (run, seq)) STRICT, WITHOUT ROWID;
"""
_INSERT = "INSERT INTO runs (uid, flow, state, due, input, created) VALUES (?, 'noop', 'queued', ?, ?, ?)"
_CLAIM = """
UPDATE runs SET state = 'running', owner = 'w1', lease = ?, started = ?, attempt = attempt + 1 WHERE id = (
    SELECT id FROM runs WHERE state = 'queued' AND due <= ? ORDER BY priority DESC, due, id LIMIT 1)
RETURNING id, input
"""
_STEP = "INSERT INTO steps VALUES (?, ?, 'noop', 'ok', 1, ?, ?, NULL, ?, ?)"
_DONE = "UPDATE runs SET state = 'ok', output = ?, ended = ?, owner = NULL, lease = NULL WHERE id = ?"


def measure(case: str, contender: str, size: int, folder: Path) -> Figures:
    """Return what this case takes."""
    path = folder / "floor.db"
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL").fetchall()
    connection.execute(_SCHEMA)
    if case == "steps":
        figures = _steps(connection, size)
        connection.close()
        return {**figures, "bytes": os.stat(path).st_size / size}
    return _workflows(connection, size, merged=contender == "floor-merged")


def _steps(connection: apsw.Connection, size: int) -> Figures:
    began = clock()
    for number in range(size):
        with _transaction(connection):
            _step(connection, 1, number, PAYLOAD)
    return {"rate": size / (clock() - began)}


def _workflows(connection: apsw.Connection, size: int, *, merged: bool) -> Figures:
    began = clock()
    for number in range(size):
        with _transaction(connection):
            connection.execute(_INSERT, (f"{number:032x}", _now(), PAYLOAD, _now()))
    enqueued = clock()
    for _ in range(size):
        _merged_run(connection) if merged else _run(connection)
    ended = clock()
    return {
        "rate": size / (ended - began),
        "enqueue": (enqueued - began) / size * 1e6,
        "drain": (ended - enqueued) / size * 1e6,
    }


def _run(connection: apsw.Connection) -> None:
    with _transaction(connection):
        run_id, text = _claim(connection)
    with _transaction(connection):
        _step(connection, run_id, 0, text)
    with _transaction(connection):
        connection.execute(_DONE, (PAYLOAD, _now(), run_id))


def _merged_run(connection: apsw.Connection) -> None:
    with _transaction(connection):
        run_id, text = _claim(connection)
        _step(connection, run_id, 0, text)
        connection.execute(_DONE, (PAYLOAD, _now(), run_id))


def _claim(connection: apsw.Connection) -> tuple[int, str]:
    now = _now()
    ((run_id, text),) = connection.execute(_CLAIM, (now + 60, now, now)).fetchall()
    return int(run_id or 0), str(text)


def _step(connection: apsw.Connection, run_id: int, seq: int, text: str) -> None:
    now = _now()
    connection.execute(_STEP, (run_id, seq, text, PAYLOAD, now, now))


@contextmanager
def _transaction(connection: apsw.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    yield
    connection.execute("COMMIT")


def _now() -> float:
    return time.time()  # noqa: TID251 — the floor has a clock of its own


if __name__ == "__main__":
    report(lambda contender, size, folder: measure(sys.argv[1], contender, size, folder), sys.argv[2:])
