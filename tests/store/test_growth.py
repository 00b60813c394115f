"""Growth: the twenty-thousandth step costs what the first did."""

from __future__ import annotations

import os
import statistics
import time

from flowctl.core.model import Claim
from tests.store.scene import Scene, new_step

PAYLOAD = f'"{"x" * 198}"'  # 200 bytes


def grow(scene: Scene, steps: int) -> tuple[Claim, list[float]]:
    """Record steps one by one, each in a commit of its own, and return the seconds that each took."""
    claim, seconds = scene.held(), []
    for seq in range(1, steps + 1):
        began = time.perf_counter()
        with scene.store.transaction():
            if seq > 1:
                scene.store.steps.succeed(claim, f"fetch#{seq - 1}", PAYLOAD, scene.now + seq)
            step = new_step(f"fetch#{seq}", seq, input=PAYLOAD, source_hash=b"s" * 16)
            scene.store.steps.begin(claim, step, scene.now + seq)
        seconds.append(time.perf_counter() - began)
    scene.succeed(claim, f"fetch#{steps}", PAYLOAD)
    return claim, seconds


def file_size(scene: Scene) -> int:
    scene.store.connection.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    return os.stat(scene.store.path).st_size


def test_a_step_with_400_bytes_of_payload_takes_at_most_900_bytes(scene: Scene) -> None:
    before = file_size(scene)
    grow(scene, 1_000)
    assert (file_size(scene) - before) / 1_000 <= 900


def test_k11_the_last_of_20_000_steps_costs_what_the_first_did(scene: Scene) -> None:
    scene.store.connection.rows("PRAGMA synchronous = OFF")  # compare the work, not the disk's moods
    before = file_size(scene)
    claim, seconds = grow(scene, 20_000)
    first, last = statistics.median(seconds[:2_000]), statistics.median(seconds[-2_000:])
    per_step = (file_size(scene) - before) / 20_000
    print(f"\nfirst {first * 1e6:.0f} µs, last {last * 1e6:.0f} µs, {per_step:.0f} bytes a step")
    assert last <= 1.3 * first
    assert per_step <= 900
    assert os.stat(scene.store.path + "-wal").st_size <= 16 << 20
    began = time.perf_counter()
    assert 20_000 == sum(1 for _ in scene.store.steps.history(claim.run_id))
    assert 1 == len(scene.store.steps.of_run(claim.run_id, after_seq=19_999))
    print(f"read in {(time.perf_counter() - began) * 1e3:.0f} ms")
