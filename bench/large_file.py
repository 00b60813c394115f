"""A database with very many runs and steps, written by SQL through the store's own schema, and kept for next time."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

from bench.contenders import ROOT
from flowctl.store import Store

STEPS_PER_RUN = 10
WORKFLOWS = 20

_FIRST_AT = 1_700_000_000_000  # UTC milliseconds; a run every second since
_SNAPSHOT = "INSERT INTO snapshots (code, path, files, created_at) VALUES (:code, '/flows.py', '{}', :at)"
_ENGINE = """
INSERT INTO engines (token, kind, pid, boot_id, started_at, stopped_at) VALUES ('large', 'foreground', 1, '', :at, :at)
"""
_QUEUED = """
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)
INSERT INTO runs (
    namespace, workflow, path, function, code, options, directory, queue, priority, tags, input, input_crc, input_hash,
    state, created_at, changed_at)
SELECT 'default', 'flow_' || (n % :workflows), '/flows.py', 'flow', :code, '{}', '/', 'default', 0,
    CASE WHEN n % 50 = 0 THEN '{"env":"prod"}' ELSE '{}' END, :payload, :crc, zeroblob(16),
    'queued', :at + n * 1000, :at + n * 1000
FROM numbers
"""
_RUNNING = """
UPDATE runs SET state = 'running', epoch = 1, engine_id = (SELECT id FROM engines), started_at = created_at + 1,
    changed_at = created_at + 1
"""
# Of 100 runs, 3 failed, 1 was cancelled and the rest succeeded; the last step of a failed run failed too.
_FINISHED = """
UPDATE runs SET engine_id = NULL, changed_at = created_at + 900, finished_at = created_at + 900,
    state = CASE WHEN id % 100 < 3 THEN 'failed' WHEN id % 100 = 3 THEN 'cancelled' ELSE 'succeeded' END,
    output = CASE WHEN id % 100 > 3 THEN :payload END, output_crc = CASE WHEN id % 100 > 3 THEN :crc END,
    error = CASE WHEN id % 100 < 3 THEN :error END, error_crc = CASE WHEN id % 100 < 3 THEN :error_crc END
"""
_STEPS = """
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :per_run)
INSERT INTO steps (
    run_id, seq, key, name, kind, state, attempt, first_attempt, input, input_crc, input_hash, output, output_crc,
    error, error_crc, begun_at, started_at, finished_at, on_crash)
SELECT id, n, CASE WHEN n = 1 THEN 'fetch' ELSE 'fetch#' || n END, 'fetch', 'step',
    CASE WHEN failed THEN 'failed' ELSE 'succeeded' END, 1, 1, :payload, :crc, zeroblob(16),
    CASE WHEN NOT failed THEN :payload END, CASE WHEN NOT failed THEN :crc END,
    CASE WHEN failed THEN :error END, CASE WHEN failed THEN :error_crc END,
    started_at + n * 80, started_at + n * 80, started_at + n * 80 + 70, 'rerun'
FROM (SELECT id, n, started_at, state = 'failed' AND n = :per_run AS failed FROM runs, numbers)
"""
_ATTEMPTS = """
INSERT INTO attempts (run_id, key, attempt, state, error, error_crc, started_at, finished_at)
SELECT run_id, key, attempt, 'failed', error, error_crc, started_at, finished_at FROM steps WHERE state = 'failed'
"""


def large_file(folder: Path, steps: int) -> Path:
    """Return the database with so many steps in this folder, made when the schema has changed or it is not there."""
    schema = sha256((ROOT / "schema.sql").read_bytes() + Path(__file__).read_bytes()).hexdigest()[:12]
    path = folder / f"large-{steps}-{schema}.db"
    if not path.exists():
        draft = path.with_suffix(".draft")
        for left in folder.glob(f"large-{steps}-*"):
            left.unlink()
        _build(draft, steps)
        os.rename(draft, path)
    return path


def write_runs(store: Store, count: int) -> dict[str, object]:
    """Write so many finished runs without steps inside an open transaction, and return what steps are filled with."""
    from zlib import crc32

    payload, error = '{"x":"' + "x" * 200 + '"}', '{"type":"ValueError","message":"no","traceback":""}'
    given = {
        "payload": payload,
        "crc": crc32(payload.encode()),
        "error": error,
        "error_crc": crc32(error.encode()),
        "code": "0" * 64,
        "at": _FIRST_AT,
        "count": count,
        "per_run": STEPS_PER_RUN,
        "workflows": WORKFLOWS,
    }
    for sql in (_SNAPSHOT, _ENGINE, _QUEUED, _RUNNING, _FINISHED):
        store.connection.write(sql, given)
    return given


def _build(path: Path, steps: int) -> None:
    with Store.open(path) as store:
        with store.transaction():
            given = write_runs(store, steps // STEPS_PER_RUN)
            for sql in (_STEPS, _ATTEMPTS):
                store.connection.write(sql, given)
        store.connection.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        findings = store.check()
        if findings:
            raise RuntimeError(f"the large file is not in order: {findings[:3]}")
