"""Runs: their creation, their states, and how they are found."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from flowctl.core.errors import ClaimLost, Conflict, NotFound
from flowctl.core.model import Claim, RunState
from flowctl.store import Store
from flowctl.store.runs import Reach
from tests.store.scene import Children, Scene, claimable, error, new_run

# -- creation


def test_a_run_comes_back_as_it_was_created(scene: Scene) -> None:
    fields: dict[str, Any] = {
        "namespace": "home",
        "options": {"timeout_ms": 5, "attempts": 2},
        "python": "/usr/bin/python3",
        "env_file": ".env",
        "queue": "slow",
        "priority": 7,
        "key": "today",
        "tags": {"team": "a"},
        "wake_at": scene.now + 5,
    }
    run = scene.store.runs.get(scene.submit(**fields))
    assert fields == {name: getattr(run, name) for name in fields}
    assert ("queued", 1, 0, 0, "pinned", []) == (
        run.state,
        run.attempt,
        run.epoch,
        run.crashes,
        run.replay,
        run.failed_steps,
    )
    assert (scene.now, scene.now) == (run.created_at, run.changed_at)


def test_an_unknown_run_is_not_found_and_the_hint_says_where_to_look(scene: Scene) -> None:
    scene.submit(namespace="home")
    for arguments in ((2,), (1, "default")):
        with pytest.raises(NotFound) as caught:
            scene.store.runs.get(*arguments)
        assert "flowctl ls" in caught.value.hint


def test_b05_twenty_processes_with_one_key_create_one_run(path: Path, children: Children) -> None:
    with Store.open(path) as store:
        Scene(store)

    def submit() -> tuple[int, bool]:
        with Store.open(path, busy_timeout=30_000) as store, store.transaction():
            return store.runs.create(new_run(key="today"), 5)

    answers = children.race([submit] * 20)
    assert {1} == {number for number, _ in answers}
    assert 1 == sum(created for _, created in answers)


def test_b05_a_key_with_other_input_or_workflow_is_a_conflict(scene: Scene) -> None:
    number = scene.submit(key="today")
    assert number == scene.submit(key="today")
    for fields, what in (
        ({"input_hash": b"other"}, "other input"),
        ({"workflow": "other"}, "another workflow, digest"),
    ):
        with pytest.raises(Conflict) as caught:
            scene.submit(key="today", **fields)
        assert f"the key today belongs to run {number}, which has {what}" == caught.value.message
    assert number != scene.submit(key="today", namespace="home")


def test_b06_a_key_still_names_its_run_when_that_is_finished(scene: Scene) -> None:
    run = scene.finish(scene.held(key="today"))
    assert run.id == scene.submit(key="today")


# -- claiming


def test_runs_are_claimed_by_priority_and_then_by_age(scene: Scene) -> None:
    plain, urgent, late, later = (scene.submit(priority=p) for p in (0, 5, 5, -1))
    assert [urgent, late, plain, later] == claimable(scene.store.runs, scene.now, limit=9)
    assert [urgent, late] == claimable(scene.store.runs, scene.now, limit=2)


def test_a_run_for_later_and_a_sleeping_run_are_claimed_when_they_are_due_and_not_before(scene: Scene) -> None:
    due = scene.now + 100
    delayed = scene.submit(wake_at=due, priority=3)
    sleeping = scene.release(scene.held(), "sleeping", wake_at=due + 1).id
    ready = scene.submit()
    runs = scene.store.runs
    assert [ready] == claimable(runs, scene.now, limit=9)
    assert due == runs.next_wake(scene.now)
    assert [delayed, ready] == claimable(runs, due, limit=9)
    assert due + 1 == runs.next_wake(due)
    assert {delayed, sleeping, ready} == set(claimable(runs, due + 1, limit=9))
    assert runs.next_wake(due + 1) is None
    for run_id, wake_at in ((delayed, due), (sleeping, due + 1)):
        assert scene.write(lambda run_id=run_id, at=wake_at - 1: runs.claim(run_id, scene.engine_id, at)) is None
        claimed = scene.write(lambda run_id=run_id, at=wake_at: runs.claim(run_id, scene.engine_id, at))
        assert ("running", None) == (claimed.state, claimed.wake_at)


def test_what_waits_is_claimable_when_it_is_woken(scene: Scene) -> None:
    run = scene.release(scene.held(), "waiting", reason="for child 7")
    assert [] == claimable(scene.store.runs, scene.now, limit=9)
    assert scene.write(lambda: scene.store.runs.wake(run.id, scene.now))
    assert not scene.write(lambda: scene.store.runs.wake(run.id, scene.now))
    assert [run.id] == claimable(scene.store.runs, scene.now, limit=9)
    assert scene.store.runs.get(run.id).reason is None


def test_what_waits_until_an_instant_is_claimable_then(scene: Scene) -> None:
    run = scene.release(scene.held(), "waiting", wake_at=scene.now + 50)
    runs = scene.store.runs
    for root in (None, run.id):
        if root is not None:
            scene.write(lambda: runs.follow(run.id, 1, scene.now))
        assert [] == claimable(runs, scene.now, root_id=root, limit=9)
        assert scene.now + 50 == runs.next_wake(scene.now, root_id=root)
        assert [run.id] == claimable(runs, scene.now + 50, root_id=root, limit=9)


def test_a_family_is_claimed_apart_from_other_runs(scene: Scene) -> None:
    root, other = scene.held(), scene.submit()
    children = [
        scene.submit(parent_id=root.run_id, parent_step=f"child#{n}", root_id=root.run_id, wake_at=at)
        for n, at in enumerate((None, None, scene.now + 50))
    ]
    runs = scene.store.runs
    for top in (root.run_id, other):
        scene.write(lambda top=top: runs.follow(top, 1, scene.now))
    assert [] == claimable(runs, scene.now, limit=9)
    assert children[:2] == claimable(runs, scene.now, root_id=root.run_id, limit=9)
    assert children[:1] == claimable(runs, scene.now, root_id=root.run_id, limit=1)
    assert scene.now + 50 == runs.next_wake(scene.now, root_id=root.run_id)
    assert runs.next_wake(scene.now, root_id=other) is None
    assert [other] == claimable(runs, scene.now, root_id=other, limit=9)
    assert [root.run_id, *children] == [run.id for run in runs.family(root.run_id)]
    assert children == [run.id for run in runs.children(root.run_id)]
    found = runs.child_of(root.run_id, "child#1")
    assert found is not None
    assert (children[1], None) == (found.id, runs.child_of(root.run_id, "child#9"))


@pytest.mark.parametrize("state", ["paused", "blocked"])
def test_what_a_person_holds_back_is_not_claimed(scene: Scene, state: str) -> None:
    run = scene.release(scene.held(), state, reason="held back")
    assert [] == claimable(scene.store.runs, scene.now + 10**9, limit=9)
    assert scene.write(lambda: scene.store.runs.claim(run.id, scene.engine_id, scene.now)) is None


def test_a_clock_that_went_back_does_not_make_a_run_end_before_it_began(scene: Scene) -> None:
    claim = scene.held()
    scene.begin(claim, "fetch", 1)
    scene.now -= 3_600_000
    scene.succeed(claim, "fetch")
    run = scene.finish(claim)
    (step,) = scene.store.steps.of_run(run.id)
    assert run.finished_at == run.started_at
    assert step.finished_at == step.started_at


# -- changes from outside


def test_g01_a_run_that_no_engine_holds_is_cancelled_with_its_open_steps(scene: Scene) -> None:
    claim = scene.held()
    scene.begin(claim, "fetch", 1)
    scene.succeed(claim, "fetch")
    scene.begin(claim, "sleep", 2, kind="sleep", wake_at=scene.now + 9)
    scene.release(claim, "sleeping", wake_at=scene.now + 9)
    assert scene.write(lambda: scene.store.runs.cancel_idle(claim.run_id, scene.now, "asked"))
    run = scene.store.runs.get(claim.run_id)
    assert ("cancelled", "asked", None, scene.now) == (run.state, run.reason, run.wake_at, run.finished_at)
    assert {"fetch": "succeeded", "sleep": "cancelled"} == scene.states(run.id)
    assert ["sleep"] == [attempt.key for attempt in scene.store.steps.attempts(run.id)]
    assert not scene.write(lambda: scene.store.runs.cancel_idle(claim.run_id, scene.now, "again"))


def test_g01_a_held_or_final_run_is_not_cancelled_behind_its_engine(scene: Scene) -> None:
    held, final = scene.held(), scene.finish(scene.held())
    scene.begin(held, "fetch", 1)
    for run_id in (held.run_id, final.id):
        for change in (scene.store.runs.cancel_idle, scene.store.runs.pause_idle):
            assert not scene.write(lambda run_id=run_id, change=change: change(run_id, scene.now, "asked"))
        assert not scene.write(lambda run_id=run_id: scene.store.runs.resume(run_id, scene.now))
    assert {"fetch": "running"} == scene.states(held.run_id)


def test_only_a_run_that_no_engine_holds_is_queued_to_undo_what_it_has_done(scene: Scene) -> None:
    idle, held, plain = scene.held(), scene.held(), scene.held()
    for claim in (idle, held):
        scene.begin(claim, "undo", 1, kind="value", undoes=1)
        scene.succeed(claim, "undo")
    scene.release(idle, "sleeping", wake_at=scene.now + 9)
    scene.release(plain, "queued")

    def undo(claim: Claim) -> bool:
        return bool(scene.write(lambda: scene.store.runs.undo_idle(claim.run_id, scene.now, "being undone")))

    assert [True, False, False] == [undo(idle), undo(held), undo(plain)]
    states = [scene.store.runs.get(claim.run_id) for claim in (idle, held, plain)]
    assert [("queued", "cancel"), ("running", None), ("queued", None)] == [(run.state, run.request) for run in states]


def test_only_a_blocked_run_gets_another_reason_to_be_blocked(scene: Scene) -> None:
    blocked, held = scene.held(), scene.held()
    scene.release(blocked, "blocked", reason="first")
    for claim in (blocked, held):
        scene.write(lambda claim=claim: scene.store.runs.block_again(claim.run_id, "second"))
    assert ["second", None] == [scene.store.runs.get(claim.run_id).reason for claim in (blocked, held)]


def test_what_is_due_is_what_is_queued_and_what_should_have_woken(scene: Scene) -> None:
    due = scene.submit()
    scene.held()
    scene.finish(scene.held())
    asleep = scene.held()
    scene.release(asleep, "sleeping", wake_at=scene.now + 9)
    assert 1 == scene.store.runs.due_count(scene.now)
    assert 2 == scene.store.runs.due_count(scene.now + 9)
    scene.claim(due)
    assert 0 == scene.store.runs.due_count(scene.now)


def test_a_paused_run_goes_on_when_it_is_resumed(scene: Scene) -> None:
    run = scene.release(scene.held(), "sleeping", wake_at=scene.now + 9)
    assert scene.write(lambda: scene.store.runs.pause_idle(run.id, scene.now, "asked"))
    paused = scene.store.runs.get(run.id)
    assert ("paused", "asked", None) == (paused.state, paused.reason, paused.wake_at)
    assert scene.write(lambda: scene.store.runs.resume(run.id, scene.now))
    assert [run.id] == claimable(scene.store.runs, scene.now, limit=9)


def test_a_request_reaches_the_engine_and_a_wish_to_cancel_stands(scene: Scene) -> None:
    claim = scene.held()
    engine = scene.store.runs.get(claim.run_id).engine_id
    assert engine is not None

    def ask(what: Any) -> bool:
        return bool(scene.write(lambda: scene.store.runs.request(claim.run_id, what, scene.now)))

    assert [] == scene.store.runs.requests(engine)
    assert ask("pause")
    assert [(claim.run_id, "pause")] == scene.store.runs.requests(engine)
    assert ask("cancel")
    assert ask("pause")
    assert [(claim.run_id, "cancel")] == scene.store.runs.requests(engine)
    assert "cancel" == scene.release(claim, "queued").request
    assert not ask("cancel")
    assert [(claim.run_id, "cancel")] == scene.store.runs.requests(
        scene.store.runs.get(scene.claim(claim.run_id).run_id).engine_id or 0
    )


@pytest.mark.parametrize("state", ["paused", "blocked"])
def test_a_request_is_done_when_the_run_is_held_back(scene: Scene, state: str) -> None:
    claim = scene.held()
    scene.write(lambda: scene.store.runs.request(claim.run_id, "pause", scene.now))
    assert scene.release(claim, state, reason="asked").request is None


# -- crashes


def test_an_orphan_is_queued_again_and_its_bodies_are_interrupted(scene: Scene) -> None:
    claim = scene.held()
    scene.begin(claim, "body", 1)
    scene.begin(claim, "sh", 2, kind="shell")
    scene.begin(claim, "sleep", 3, kind="sleep", wake_at=scene.now + 9)
    scene.begin(claim, "child", 4, kind="child")
    engine = scene.store.runs.get(claim.run_id).engine_id
    assert [claim.run_id] == [run.id for run in scene.store.runs.orphans([engine or 0, 99])]
    assert scene.write(
        lambda: scene.store.runs.orphan(claim.run_id, claim.epoch, scene.now, "queued", "its engine died")
    )
    run = scene.store.runs.get(claim.run_id)
    assert ("queued", 1, None, "its engine died") == (run.state, run.crashes, run.engine_id, run.reason)
    assert {"body": "interrupted", "sh": "interrupted", "sleep": "running", "child": "running"} == scene.states(run.id)
    assert {("body", "interrupted"), ("sh", "interrupted")} == {
        (a.key, a.state) for a in scene.store.steps.attempts(run.id)
    }
    assert [] == scene.store.runs.orphans([engine or 0])


def test_a04_engine_deaths_are_counted_until_an_outcome_is_recorded(scene: Scene) -> None:
    claim = scene.held()
    scene.begin(claim, "fetch", 1)

    def crash() -> Claim:
        assert scene.write(lambda: scene.store.runs.orphan(claim.run_id, claim.epoch, scene.now, "queued", "died"))
        return scene.claim(claim.run_id)

    claim = crash()
    claim = crash()
    assert 2 == scene.store.runs.get(claim.run_id).crashes
    scene.write(lambda: scene.store.steps.start_attempt(claim, "fetch", scene.now))
    scene.succeed(claim, "fetch")
    assert 0 == scene.store.runs.get(claim.run_id).crashes


def test_a04_an_orphan_that_has_died_too_often_fails_with_a_text(scene: Scene) -> None:
    claim = scene.held()
    scene.begin(claim, "body", 1)
    scene.begin(claim, "sleep", 2, kind="sleep", wake_at=scene.now + 9)
    assert scene.write(lambda: scene.store.runs.orphan(claim.run_id, claim.epoch, scene.now, "failed", "died 10 times"))
    run = scene.store.runs.get(claim.run_id)
    assert "failed" == run.state
    assert "died 10 times" in (run.error or "")
    assert "running" not in scene.states(run.id).values()
    assert [] == scene.store.check()


def test_b13_an_orphan_may_be_blocked_for_a_person(scene: Scene) -> None:
    claim = scene.held()
    scene.begin(claim, "pay", 1)
    assert scene.write(
        lambda: scene.store.runs.orphan(claim.run_id, claim.epoch, scene.now, "blocked", "unknown outcome")
    )
    run = scene.store.runs.get(claim.run_id)
    assert ("blocked", "unknown outcome") == (run.state, run.reason)
    assert {"pay": "interrupted"} == scene.states(run.id)


# -- races


def test_b07_of_racing_ends_one_stands(path: Path, children: Children) -> None:
    with Store.open(path) as store:
        scene = Scene(store)
        claims = [scene.held() for _ in range(40)]

    def end(state: RunState) -> Callable[[], int]:
        def finish_all() -> int:
            won = 0
            with Store.open(path, busy_timeout=30_000) as store:
                for claim in claims:
                    with suppress(ClaimLost), store.transaction():
                        output = '"x"' if state == "succeeded" else None
                        store.runs.finish(claim, 5, state, output=output)
                        won += 1
            return won

        return finish_all

    assert 40 == sum(children.race([end("succeeded"), end("cancelled")] * 2))
    with Store.open(path) as store:
        for claim in claims:
            assert 3 == len(store.events.of_run(claim.run_id))
        assert [] == store.check()


def test_only_a_failure_is_dropped_and_once(scene: Scene) -> None:
    failed = scene.finish(scene.held(), "failed").id
    succeeded = scene.finish(scene.held()).id
    dropped = [
        scene.write(lambda run=run: scene.store.runs.drop(run, scene.now))
        for run in (scene.submit(), succeeded, failed, failed)
    ]
    assert [False, False, True, False] == dropped


def test_a_family_moves_while_one_of_it_goes_on_by_itself_or_a_signal_may_come(scene: Scene) -> None:
    runs = scene.store.runs
    root = scene.held()

    def child(**fields: Any) -> int:
        return scene.submit(root_id=root.run_id, parent_id=root.run_id, **fields)

    assert runs.family_moves(root.run_id)
    scene.release(root, "waiting")
    assert not runs.family_moves(root.run_id)
    queued = child(parent_step="a")
    assert runs.family_moves(root.run_id)
    claim = scene.claim(queued)
    assert runs.family_moves(root.run_id)
    scene.release(claim, "waiting", wake_at=scene.now + 50)
    assert runs.family_moves(root.run_id)
    scene.now += 50
    claim = scene.claim(queued)
    scene.begin(claim, "approval", 1, kind="signal")
    scene.release(claim, "waiting")
    assert runs.family_moves(root.run_id)
    scene.write(lambda: runs.pause_idle(queued, scene.now, "by hand"))
    assert not runs.family_moves(queued)  # nobody takes the signal until a person lets it go on
    scene.write(lambda: runs.resume(queued, scene.now))
    claim = scene.claim(queued)
    scene.succeed(claim, "approval")
    scene.release(claim, "waiting")
    assert not runs.family_moves(root.run_id)
    scene.write(lambda: runs.wake(queued, scene.now))
    scene.finish(scene.claim(queued))
    assert not runs.family_moves(root.run_id)


def test_a_run_waits_for_another_of_its_schedule_until_that_has_ended(scene: Scene) -> None:
    earlier = scene.held()
    later = scene.submit(after_id=earlier.run_id)
    runs = scene.store.runs
    assert (False, 0, "waiting") == (
        runs.wakes_after(),
        scene.write(lambda: runs.wake_after(scene.now)),
        runs.get(later).state,
    )
    scene.finish(earlier)
    assert (True, 1, "queued") == (
        runs.wakes_after(),
        scene.write(lambda: runs.wake_after(scene.now)),
        runs.get(later).state,
    )


def test_what_an_engine_does_not_serve_it_does_not_take_when_that_is_due_either(scene: Scene) -> None:
    asleep = scene.release(scene.held(queue="slow"), "sleeping", wake_at=scene.now + 50)
    scene.now += 50
    for root in (None, asleep.id):
        reach = Reach(1, root_id=root)
        serves = [reach, reach._replace(queues=("mail",)), reach._replace(full=frozenset({("default", "slow")}))]
        found = [[run.id for run in scene.store.runs.claimable(scene.now, each, limit=5)] for each in serves]
        assert [[asleep.id], [], []] == found


def test_the_running_runs_are_those_that_engines_hold(scene: Scene) -> None:
    held = scene.held()
    scene.submit()
    scene.finish(scene.held())
    assert [(held.run_id, "default", "default")] == [tuple(each) for each in scene.store.runs.running()]


def test_only_a_run_that_was_never_begun_is_failed_where_it_stands(scene: Scene) -> None:
    def fail(run: int) -> Any:
        return scene.write(lambda: scene.store.runs.fail_idle(run, scene.now, error()))

    paused, begun, fresh = scene.submit(), scene.held(), scene.submit()
    scene.write(lambda: scene.store.runs.pause_idle(paused, scene.now, None))
    scene.release(begun, "queued")
    assert [False, False, True, False] == [fail(paused), fail(begun.run_id), fail(fresh), fail(fresh)]
