"""Notices: which ends of runs count."""

from __future__ import annotations

from tests.store.scene import Scene, error


def test_runs_that_have_not_failed_or_succeeded_say_nothing_of_a_workflow(scene: Scene) -> None:
    failed = scene.finish(scene.held(), "failed", error=error())
    scene.finish(scene.held(), "cancelled")
    scene.submit()
    found = scene.store.notices.outcomes("default", "digest", 1)
    assert [(failed.id, "failed")] == [(each.run_id, each.state) for each in found]
