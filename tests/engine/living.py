"""A scene with live engines and schedules: what commands that look at a file need to see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flowctl.core.model import Claim, NewEngine
from flowctl.engine.claim import EngineLock, boot_id
from flowctl.engine.daemon_lock import DaemonLock
from tests.store.scene import Scene


@contextmanager
def live_engine(scene: Scene, kind: Any = "daemon", **fields: Any) -> Iterator[int]:
    """Hold the lock of an engine that is recorded in the file."""
    token = f"live-{kind}-{scene.store.connection.value('SELECT count(*) FROM engines')}"
    lock = EngineLock(scene.store.path, token)
    try:
        with scene.store.transaction():
            yield_id = scene.store.engines.start(NewEngine(token, kind, 4711, boot_id(), **fields), scene.now)
        yield yield_id
    finally:
        lock.release()


def live_daemon(scene: Scene) -> DaemonLock:
    """Hold the lock of the daemon of the file, which plans schedules."""
    return DaemonLock(scene.store.path, scene.now)


def claimed(scene: Scene, engine: int, run_id: int) -> Claim:
    """Let that engine claim a run."""
    with scene.store.transaction():
        run = scene.store.runs.claim(run_id, engine, scene.now)
    assert run is not None
    return Claim(run.id, run.epoch)


def add_schedule(scene: Scene, name: str = "nightly", **fields: Any) -> int:
    """Record a schedule; the test names what matters to it."""
    usual: dict[str, Any] = {
        "namespace": "default",
        "name": name,
        "kind": "every",
        "expression": "1h",
        "zone": "UTC",
        "catch_up": "latest",
        "catch_up_cap": 100,
        "overlap": "skip",
        "workflow": "digest",
        "input": "{}",
        "options": "{}",
        "directory": "/",
        "source": "person",
        "planned_to": scene.now,
        "created_at": scene.now,
        "changed_at": scene.now,
    }
    columns = usual | fields
    names = ", ".join(columns)
    with scene.store.transaction():
        rows = scene.store.connection.write(
            f"INSERT INTO schedules ({names}) VALUES ({', '.join(f':{each}' for each in columns)}) RETURNING id",
            columns,
        )
    return int(rows[0][0])


def add_slot(
    scene: Scene, schedule: int, due_at: int, outcome: str, reason: str | None = None, run: int | None = None
) -> None:
    """Record what became of a slot."""
    with scene.store.transaction():
        scene.store.connection.write(
            "INSERT INTO slots VALUES (:schedule, :due_at, :outcome, :reason, :run, :due_at)",
            {"schedule": schedule, "due_at": due_at, "outcome": outcome, "reason": reason, "run": run},
        )
