"""How the daemon is, for a person who asks: read from its lock, the system and the file."""

from __future__ import annotations

import os
from typing import NamedTuple

from flowctl.engine.claim import engine_alive
from flowctl.engine.daemon_lock import running_daemon
from flowctl.store import Store, files


class EngineFacts(NamedTuple):
    """One engine that works on the file now."""

    pid: int
    kind: str
    queues: list[str] | None
    labels: list[str]
    running: int


class DaemonStatus(NamedTuple):
    """How the daemon and the other engines are. Without a daemon `pid` and what is about its process are None."""

    pid: int | None
    uptime_ms: int | None
    version: str | None
    memory_bytes: int | None
    engines: list[EngineFacts]
    running: int
    due: int
    last_fire_at: int | None
    lag_ms: int
    db: str
    db_bytes: int
    wal_bytes: int


def daemon_status(path: str, now: int) -> DaemonStatus:
    """Return how the daemon of a database is. There may be no database yet."""
    facts = running_daemon(os.path.realpath(path))
    pid, started_at, version = facts[:3] if facts is not None else (None, None, None)
    engines: list[EngineFacts] = []
    running = due = lag_ms = 0
    last_fire_at: int | None = None
    if os.path.lexists(path):
        with Store.open(path, create=False, read_only=True) as store, store.reading():
            held = [run.id for run in store.runs.running()]
            running, due = len(held), store.runs.due_count(now)
            engines = live_engines(store)
            last_fire_at, next_at = store.schedules.last_fire_at(), store.schedules.next_due_at()
            lag_ms = max(0, now - next_at) if next_at is not None else 0
    return DaemonStatus(
        pid, None if started_at is None else max(0, now - started_at), version, None if pid is None else memory_of(pid),
        engines, running, due, last_fire_at, lag_ms, os.path.realpath(path),
        files.size(path), files.size(f"{path}-wal"),
    )  # fmt: skip


def live_engines(store: Store) -> list[EngineFacts]:
    """Return the engines that work on a file now."""
    return [
        EngineFacts(each.pid, each.kind, each.queues, each.labels, len(store.runs.orphans([each.id])))
        for each in store.engines.running()
        if engine_alive(store.path, each)
    ]


def memory_of(pid: int) -> int | None:
    """Return the resident memory of a process in bytes, None where the system does not tell."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
