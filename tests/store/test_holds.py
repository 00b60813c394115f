"""Holds: runs that wait for their conditions, and not those that sleep for a thousand years."""

from __future__ import annotations

from flowctl.core.model import HELD_AT
from tests.store.scene import Scene


def test_a_held_run_says_why_until_it_may_begin(scene: Scene) -> None:
    held = scene.submit(wake_at=HELD_AT)
    holds = scene.store.holds
    assert (True, False) == tuple(scene.write(lambda: holds.keep(held, "on battery")) for _ in range(2))
    assert "on battery" == scene.store.runs.get(held).reason
    assert (True, False) == tuple(scene.write(lambda: holds.release(held)) for _ in range(2))
    run = scene.store.runs.get(held)
    assert (None, None) == (run.wake_at, run.reason)


def test_a_run_that_sleeps_longer_than_that_is_not_held(scene: Scene) -> None:
    asleep = scene.release(scene.held(), "sleeping", wake_at=HELD_AT + 1)
    assert not scene.write(lambda: scene.store.holds.keep(asleep.id, "on battery"))
    assert not scene.write(lambda: scene.store.holds.release(asleep.id))
    assert asleep == scene.store.runs.get(asleep.id)
