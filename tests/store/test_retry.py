"""Retries: what is kept, what runs anew, with which code and when."""

from __future__ import annotations

import pytest

from flowctl.core.errors import Conflict, NotFound
from flowctl.core.model import Claim, Snapshot
from tests.store.scene import Scene, claimable


def failed_run(scene: Scene) -> int:
    claim = scene.held()
    for seq, key in enumerate(("fetch", "parse", "mail"), 1):
        scene.begin(claim, key, seq)
        if key == "parse":
            scene.fail(claim, key)
        else:
            scene.succeed(claim, key)
    return scene.finish(claim, "failed", failed_steps=["parse"]).id


def parent(scene: Scene, *keys: str) -> tuple[Claim, *tuple[int, ...]]:
    """Return a run with a child run for each of these steps, and the numbers of the children."""
    claim = scene.held()
    for seq, key in enumerate(keys, 1):
        scene.begin(claim, key, seq, kind="child")
    family = {"root_id": claim.run_id, "parent_id": claim.run_id}
    return claim, *(scene.submit(parent_step=key, **family) for key in keys)


def test_h08_a_retry_keeps_what_succeeded_and_counts_attempts_on(scene: Scene) -> None:
    number = failed_run(scene)
    scene.write(lambda: scene.store.runs.retry(number, scene.now + 5, replay="newest"))
    run = scene.store.runs.get(number)
    assert ("queued", 2, "newest", None, None, []) == (
        run.state, run.attempt, run.replay, run.error, run.finished_at, run.failed_steps,
    )  # fmt: skip
    assert {"fetch": "succeeded", "mail": "succeeded"} == scene.states(number)
    claim = scene.claim(number)
    again = scene.begin(claim, "parse", 2)
    assert (2, 2) == (again.attempt, again.first_attempt)
    scene.succeed(claim, "parse")
    assert "succeeded" == scene.finish(claim).state
    assert [("parse", 1, "failed")] == [(a.key, a.attempt, a.state) for a in scene.store.steps.attempts(number)]
    assert [] == scene.store.check(full=True)


def test_a_retry_from_a_step_runs_that_one_and_all_after_it_anew(scene: Scene) -> None:
    number = failed_run(scene)
    scene.write(lambda: scene.store.runs.retry(number, scene.now, replay="pinned", from_step="fetch"))
    assert {} == scene.states(number)
    claim = scene.claim(number)
    assert 2 == scene.begin(claim, "fetch", 1).attempt  # a number is never given twice
    scene.succeed(claim, "fetch")
    assert [] == scene.store.check()


def test_a_retry_from_a_step_starts_its_child_runs_anew(scene: Scene) -> None:
    claim, first, second = parent(scene, "first", "second")
    for child, key in ((first, "first"), (second, "second")):
        scene.finish(scene.claim(child))
        scene.succeed(claim, key)
    scene.finish(claim, "failed")
    scene.write(lambda: scene.store.runs.retry(claim.run_id, scene.now, replay="newest", from_step="second"))
    kept = scene.store.runs.child_of(claim.run_id, "first")
    assert kept is not None
    assert (first, None) == (kept.id, scene.store.runs.child_of(claim.run_id, "second"))
    anew = scene.submit(parent_step="second", root_id=claim.run_id, parent_id=claim.run_id)
    assert [first, second, anew] == [run.id for run in scene.store.runs.children(claim.run_id)]


def test_a_run_of_which_steps_are_pruned_already_is_not_retried(scene: Scene) -> None:
    going, whole = failed_run(scene), failed_run(scene)
    scene.write(
        lambda: scene.store.connection.write(
            "INSERT INTO meta (key, value) VALUES ('pruned_family', :run)", {"run": str(going)}
        )
    )
    with pytest.raises(Conflict, match=f"run {going} is being pruned"):
        scene.write(lambda: scene.store.runs.retry(going, scene.now, replay="newest"))
    scene.write(lambda: scene.store.runs.retry(whole, scene.now, replay="newest"))
    assert ["failed", "queued"] == [scene.store.runs.get(number).state for number in (going, whole)]


def test_a_retry_leaves_a_child_run_that_has_not_ended_and_when_another_was_set_aside(scene: Scene) -> None:
    claim, going, done = parent(scene, "going", "done")
    scene.finish(scene.claim(done), "failed")
    scene.finish(claim, "failed")
    scene.write(lambda: scene.store.runs.retry(claim.run_id, scene.now, replay="newest", from_step="going"))
    children = scene.store.runs.children(claim.run_id)
    assert [(going, None), (done, scene.now)] == [(run.id, detached_at(scene, run.id)) for run in children]
    claim, first = scene.claim(claim.run_id), scene.now
    scene.now += 5
    scene.begin(claim, "going", 1, kind="child")
    scene.begin(claim, "done", 2, kind="child")
    scene.finish(claim, "failed")
    scene.write(lambda: scene.store.runs.retry(claim.run_id, scene.now, replay="newest", from_step="going"))
    assert first == detached_at(scene, done)


def detached_at(scene: Scene, number: int) -> object:
    return scene.store.connection.value("SELECT detached_at FROM runs WHERE id = :run", {"run": number})


def test_a_cancelled_and_a_blocked_run_may_be_retried_with_other_code(scene: Scene) -> None:
    for state in ("cancelled", "blocked"):
        claim = scene.held()
        scene.begin(claim, "fetch", 1)
        if state == "blocked":
            scene.release(claim, "blocked", reason="code changed")
        else:
            scene.write(lambda claim=claim: scene.store.steps.cancel(claim, scene.now))
            scene.finish(claim, "cancelled")
        code = scene.store.runs.get(claim.run_id).code
        scene.write(
            lambda run=claim.run_id, code=code: scene.store.runs.retry(run, scene.now, replay="accept", code=code)
        )
        run = scene.store.runs.get(claim.run_id)
        assert ("queued", 2, "accept") == (run.state, run.attempt, run.replay)
        assert {} == scene.states(run.id)


def test_a_retry_with_newer_code_that_does_not_fit_gets_its_earlier_code_back(scene: Scene) -> None:
    number, newest = failed_run(scene), Snapshot("f" * 64, "/flows/digest.py", {})
    earlier = scene.store.runs.get(number).code
    scene.write(lambda: scene.store.snapshots.put(newest, scene.now))
    scene.write(lambda: scene.store.runs.retry(number, scene.now, replay="newest", code=newest.code))
    assert newest.code == scene.store.runs.get(number).code
    claim = scene.claim(number)
    for _ in range(2):  # the second time there is nothing to take back
        scene.write(lambda: scene.store.runs.take_back_code(claim, scene.now))
        assert earlier == scene.store.runs.get(number).code


def test_a_retry_may_be_for_later(scene: Scene) -> None:
    number = failed_run(scene)
    scene.write(lambda: scene.store.runs.retry(number, scene.now, replay="pinned", wake_at=scene.now + 50))
    assert [] == claimable(scene.store.runs, scene.now, limit=9)
    assert [number] == claimable(scene.store.runs, scene.now + 50, limit=9)


def test_b09_the_second_of_two_retries_is_refused(scene: Scene) -> None:
    number = failed_run(scene)
    scene.write(lambda: scene.store.runs.retry(number, scene.now, replay="newest"))
    with pytest.raises(Conflict) as caught:
        scene.write(lambda: scene.store.runs.retry(number, scene.now, replay="newest"))
    assert "is queued" in caught.value.message
    assert 2 == scene.store.runs.get(number).attempt


def test_a_retry_from_an_unknown_step_changes_nothing(scene: Scene) -> None:
    number = failed_run(scene)
    with pytest.raises(NotFound):
        scene.write(lambda: scene.store.runs.retry(number, scene.now, replay="newest", from_step="nowhere"))
    assert "failed" == scene.store.runs.get(number).state
