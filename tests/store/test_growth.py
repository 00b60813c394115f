"""Growth: the twenty-thousandth step costs what the first did."""

from __future__ import annotations

import os
import statistics
import time
from typing import Any

import apsw

from flowctl.core.model import Claim
from tests.store.scene import Scene, new_step

PAYLOAD = f'"{"x" * 198}"'  # 200 bytes


def record(scene: Scene, claim: Claim, seq: int) -> None:
    """Do what a sequential run costs a step: the outcome of the one before, and the input of this one."""
    with scene.store.transaction():
        if seq > 1:
            scene.store.steps.succeed(claim, f"fetch#{seq - 1}", PAYLOAD, scene.now + seq)
        step = new_step(f"fetch#{seq}", seq, input=PAYLOAD, source_hash=b"s" * 16)
        scene.store.steps.begin(claim, step, scene.now + seq)


def work(scene: Scene, claim: Claim, seq: int) -> int:
    """Record a step and return how many instructions SQLite executed: unlike time, the same on a busy machine."""
    counts: list[int] = []

    def profile(event: dict[str, Any]) -> None:
        counts.append(event["stmt_status"]["SQLITE_STMTSTATUS_VM_STEP"])

    raw = scene.store.connection.raw
    raw.trace_v2(apsw.SQLITE_TRACE_PROFILE, profile)
    record(scene, claim, seq)
    raw.trace_v2(0, None)
    return sum(counts)


def file_size(scene: Scene) -> int:
    scene.store.connection.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    return os.stat(scene.store.path).st_size


def test_k11_the_last_of_20_000_steps_costs_what_the_first_did(scene: Scene) -> None:
    scene.store.connection.rows("PRAGMA synchronous = OFF")  # the disk's moods are not the question
    before, claim = file_size(scene), scene.held()
    seconds: list[float] = []
    instructions: list[int] = []
    for seq in range(1, 20_001):
        began = time.perf_counter()
        if seq in (100, 20_000):
            instructions.append(work(scene, claim, seq))
        else:
            record(scene, claim, seq)
        seconds.append(time.perf_counter() - began)
    scene.succeed(claim, "fetch#20000", PAYLOAD)
    first, last = instructions
    per_step = (file_size(scene) - before) / 20_000
    medians = [statistics.median(part) * 1e6 for part in (seconds[:1_000], seconds[-1_000:])]
    print(f"\n{first} and {last} instructions, {medians[0]:.0f} and {medians[1]:.0f} µs, {per_step:.0f} bytes")
    assert 0 < last <= 1.1 * first
    assert per_step <= 900
    assert os.stat(scene.store.path + "-wal").st_size <= 16 << 20
    assert 20_000 == sum(1 for _ in scene.store.steps.history(claim.run_id))
    assert [] == scene.store.check()
