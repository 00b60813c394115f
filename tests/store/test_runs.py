"""Runs: their creation, their states, and how they are found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowctl.core.errors import Conflict, NotFound
from flowctl.core.model import Claim, RunFilter
from flowctl.store import Store
from tests.store.scene import Children, Scene, error, new_run


def ids(scene: Scene, **fields: Any) -> list[int]:
    return [run.id for run in scene.store.runs.find(RunFilter(**fields))]


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
    for fields in ({"input_hash": b"other"}, {"workflow": "other"}):
        with pytest.raises(Conflict) as caught:
            scene.submit(key="today", **fields)
        assert f"run {number}" in caught.value.message
    assert number != scene.submit(key="today", namespace="home")


def test_b06_a_key_still_names_its_run_when_that_is_finished(scene: Scene) -> None:
    run = scene.finish(scene.held(key="today"))
    assert run.id == scene.submit(key="today")


# -- claiming


def test_runs_are_claimed_by_priority_and_then_by_age(scene: Scene) -> None:
    plain, urgent, late, later = (scene.submit(priority=p) for p in (0, 5, 5, -1))
    assert [urgent, late, plain, later] == scene.store.runs.claimable(scene.now, limit=9)
    assert [urgent, late] == scene.store.runs.claimable(scene.now, limit=2)


def test_a_run_for_later_and_a_sleeping_run_are_claimed_when_they_are_due_and_not_before(scene: Scene) -> None:
    due = scene.now + 100
    delayed = scene.submit(wake_at=due, priority=3)
    sleeping = scene.release(scene.held(), "sleeping", wake_at=due + 1).id
    ready = scene.submit()
    runs = scene.store.runs
    assert [ready] == runs.claimable(scene.now, limit=9)
    assert due == runs.next_wake(scene.now)
    assert [delayed, ready] == runs.claimable(due, limit=9)
    assert due + 1 == runs.next_wake(due)
    assert {delayed, sleeping, ready} == set(runs.claimable(due + 1, limit=9))
    assert runs.next_wake(due + 1) is None
    for run_id, wake_at in ((delayed, due), (sleeping, due + 1)):
        assert scene.write(lambda run_id=run_id, at=wake_at - 1: runs.claim(run_id, scene.engine_id, at)) is None
        claimed = scene.write(lambda run_id=run_id, at=wake_at: runs.claim(run_id, scene.engine_id, at))
        assert ("running", None) == (claimed.state, claimed.wake_at)


def test_what_waits_is_claimable_when_it_is_woken(scene: Scene) -> None:
    run = scene.release(scene.held(), "waiting", reason="for child 7")
    assert [] == scene.store.runs.claimable(scene.now, limit=9)
    assert scene.write(lambda: scene.store.runs.wake(run.id, scene.now))
    assert not scene.write(lambda: scene.store.runs.wake(run.id, scene.now))
    assert [run.id] == scene.store.runs.claimable(scene.now, limit=9)
    assert scene.store.runs.get(run.id).reason is None


def test_a_family_is_claimed_apart_from_other_runs(scene: Scene) -> None:
    root, other = scene.held(), scene.submit()
    children = [
        scene.submit(parent_id=root.run_id, parent_step=f"child#{n}", root_id=root.run_id, wake_at=at)
        for n, at in enumerate((None, None, scene.now + 50))
    ]
    runs = scene.store.runs
    assert children[:2] == runs.claimable(scene.now, root_id=root.run_id, limit=9)
    assert children[:1] == runs.claimable(scene.now, root_id=root.run_id, limit=1)
    assert scene.now + 50 == runs.next_wake(scene.now, root_id=root.run_id)
    assert runs.next_wake(scene.now, root_id=other) is None
    assert [other] == runs.claimable(scene.now, root_id=other, limit=9)
    assert [root.run_id, *children] == [run.id for run in runs.family(root.run_id)]
    assert children == [run.id for run in runs.children(root.run_id)]
    found = runs.child_of(root.run_id, "child#1")
    assert found is not None
    assert (children[1], None) == (found.id, runs.child_of(root.run_id, "child#9"))


@pytest.mark.parametrize("state", ["paused", "blocked"])
def test_what_a_person_holds_back_is_not_claimed(scene: Scene, state: str) -> None:
    run = scene.release(scene.held(), state, reason="held back")
    assert [] == scene.store.runs.claimable(scene.now + 10**9, limit=9)
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


def test_a_paused_run_goes_on_when_it_is_resumed(scene: Scene) -> None:
    run = scene.release(scene.held(), "sleeping", wake_at=scene.now + 9)
    assert scene.write(lambda: scene.store.runs.pause_idle(run.id, scene.now, "asked"))
    paused = scene.store.runs.get(run.id)
    assert ("paused", "asked", None) == (paused.state, paused.reason, paused.wake_at)
    assert scene.write(lambda: scene.store.runs.resume(run.id, scene.now))
    assert [run.id] == scene.store.runs.claimable(scene.now, limit=9)


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


# -- retry


def failed_run(scene: Scene) -> int:
    claim = scene.held()
    for seq, key in enumerate(("fetch", "parse", "mail"), 1):
        scene.begin(claim, key, seq)
        if key == "parse":
            scene.fail(claim, key)
        else:
            scene.succeed(claim, key)
    return scene.finish(claim, "failed", failed_steps=["parse"]).id


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
    claim = scene.held()
    scene.begin(claim, "first", 1, kind="child")
    scene.begin(claim, "second", 2, kind="child")
    family = {"root_id": claim.run_id, "parent_id": claim.run_id}
    first, second = (scene.submit(parent_step=key, **family) for key in ("first", "second"))
    for child, key in ((first, "first"), (second, "second")):
        scene.finish(scene.claim(child))
        scene.succeed(claim, key)
    scene.finish(claim, "failed")
    scene.write(lambda: scene.store.runs.retry(claim.run_id, scene.now, replay="newest", from_step="second"))
    kept = scene.store.runs.child_of(claim.run_id, "first")
    assert kept is not None
    assert (first, None) == (kept.id, scene.store.runs.child_of(claim.run_id, "second"))
    anew = scene.submit(parent_step="second", **family)
    assert [first, second, anew] == [run.id for run in scene.store.runs.children(claim.run_id)]


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


def test_a_retry_may_be_for_later(scene: Scene) -> None:
    number = failed_run(scene)
    scene.write(lambda: scene.store.runs.retry(number, scene.now, replay="pinned", wake_at=scene.now + 50))
    assert [] == scene.store.runs.claimable(scene.now, limit=9)
    assert [number] == scene.store.runs.claimable(scene.now + 50, limit=9)


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


# -- finding


def test_runs_are_found_newest_first_page_by_page(scene: Scene) -> None:
    for _ in range(5):
        scene.submit()
    assert [5, 4] == ids(scene, limit=2)
    assert [3, 2] == ids(scene, limit=2, before=4)
    assert [1] == ids(scene, limit=2, before=2)


FILTERS: list[tuple[dict[str, Any], list[int]]] = [
    ({}, [4, 3, 2, 1]),
    ({"namespace": "home"}, [5]),
    ({"namespace": None}, [5, 4, 3, 2, 1]),
    ({"namespace": None, "states": ("failed", "queued")}, [5, 3, 2, 1]),
    ({"states": ("queued",)}, [3, 2]),
    ({"states": ("queued", "succeeded")}, [4, 3, 2]),
    ({"states": ("queued", "succeeded"), "limit": 2}, [4, 3]),
    ({"dead": True}, [1]),
    ({"workflow": "report"}, [3]),
    ({"workflow": "report", "states": ("succeeded",)}, []),
    ({"workflow": "nothing"}, []),
    ({"tags": {"team": "a"}}, [3, 2]),
    ({"tags": {"team": "a", "env": "prod"}}, [3]),
    ({"tags": {"team": "b"}}, []),
    ({"since": 1_000_060}, [4]),
    ({"search": "REPORT"}, [3]),
    ({"search": 'say "hi"'}, [2]),
    ({"search": "100%"}, [2]),
    ({"search": "1000"}, []),
    ({"search": "needle"}, [3]),
    ({"search": "a_b"}, []),
    ({"search": "went wrong"}, [1]),
    ({"search": "well done"}, [4]),
]


@pytest.mark.parametrize(("fields", "expected"), FILTERS, ids=[str(fields) for fields, _ in FILTERS])
def test_runs_are_found_by_what_is_known_of_them(scene: Scene, fields: dict[str, Any], expected: list[int]) -> None:
    failed, done = scene.held(), None
    scene.submit(tags={"team": "a"}, input='{"text":"say \\"hi\\" 100% axb"}')
    large = f'{{"text":"{"x" * 300_000} needle"}}'
    scene.submit(workflow="report", tags={"team": "a", "env": "prod"}, input=large)
    scene.now += 60
    done = scene.held()
    scene.submit(namespace="home")
    scene.finish(failed, "failed", error=error("it went wrong"))
    scene.finish(done, output='"well done"')
    assert expected == ids(scene, **fields)


def test_the_last_run_is_found_by_name_and_state(scene: Scene) -> None:
    scene.finish(scene.held(), "failed")
    scene.submit(workflow="report")
    runs = scene.store.runs
    assert (2, 2, 1) == (runs.last("default").id, runs.last("default", "report").id, runs.last("default", "digest").id)
    assert 1 == runs.last("default", states=("failed",)).id
    for arguments in (("home",), ("default", "nothing"), ("default", None, ("paused",))):
        with pytest.raises(NotFound):
            runs.last(*arguments)


def test_counts_are_of_one_namespace(scene: Scene) -> None:
    scene.held()
    scene.submit()
    scene.submit(namespace="home")
    assert {"running": 1, "queued": 1} == scene.store.runs.counts("default")


def test_b07_of_racing_ends_one_stands(path: Path, children: Children) -> None:
    with Store.open(path) as store:
        scene = Scene(store)
        claims = [scene.held() for _ in range(40)]

    def end(state: str) -> Callable[[], int]:
        def finish_all() -> int:
            won = 0
            with Store.open(path, busy_timeout=30_000) as store:
                for claim in claims:
                    try:
                        with store.transaction():
                            store.runs.finish(claim, 5, state, output='"x"' if state == "succeeded" else None)  # type: ignore[arg-type]
                            won += 1
                    except Exception as lost:  # noqa: BLE001 - counted below
                        assert "ClaimLost" == type(lost).__name__
            return won

        return finish_all

    assert 40 == sum(children.race([end("succeeded"), end("cancelled")] * 2))
    with Store.open(path) as store:
        for claim in claims:
            assert 3 == len(store.events.of_run(claim.run_id))
        assert [] == store.check()
