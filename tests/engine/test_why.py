"""Why: one true sentence for every state a run can be in, and for every instant of a schedule."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flowctl.core.instants import local
from flowctl.core.model import Queue
from flowctl.engine.why import Answer, why_run
from flowctl.engine.why_schedule import why_schedule
from flowctl.store import Store
from tests.engine.living import add_schedule, add_slot, claimed, live_daemon, live_engine
from tests.store.scene import Scene, error

HOUR = 3_600_000


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Store.open(tmp_path / "flow.db") as store:
        yield Scene(store)


def why(scene: Scene, run: int) -> str:
    """Return the sentence about a run, without its beginning."""
    return answer(scene, run).sentence.removeprefix(f"run {run} ")


def answer(scene: Scene, run: int) -> Answer:
    return why_run(scene.store, scene.store.runs.get(run), scene.now)


def limit(scene: Scene, **fields: Any) -> None:
    with scene.store.transaction():
        scene.store.queues.set(Queue("default", "default", **fields), scene.now)


# -- queued


def test_a_run_that_no_daemon_would_begin(scene: Scene) -> None:
    run = scene.submit()
    assert "is queued, and no daemon runs that would begin it" == why(scene, run)
    assert ("flowctl daemon start", f"flowctl resume {run}") == answer(scene, run).commands
    with live_engine(scene, "foreground"):  # takes only what it is watched for
        assert "is queued, and no daemon runs that would begin it" == why(scene, run)
    with live_engine(scene):
        assert "is queued and about to begin: nothing is in its way" == why(scene, run)


def test_a_run_that_a_daemon_which_hangs_does_not_begin(scene: Scene) -> None:
    run, behind = scene.submit(), scene.submit()
    scene.now += HOUR
    with live_engine(scene):
        scene.now += 9_999  # a daemon that has just started is given its time
        assert "is queued and about to begin: nothing is in its way" == why(scene, run)
        scene.now += 1
        for each in (run, behind):
            hangs = "is queued and ready for 10.0s, and process 4711 has not begun it: it hangs, or cannot write"
            assert hangs == why(scene, each)
        assert "flowctl daemon stop --now" in answer(scene, run).commands
        limit(scene, paused_at=scene.now)
        assert "is paused since" in why(scene, run)


def test_a_run_that_is_to_begin_later(scene: Scene) -> None:
    run = scene.submit(wake_at=scene.now + HOUR)
    assert f"is queued, and not to begin before {local(scene.now + HOUR)}, in 1h00m" == why(scene, run)
    assert scene.now + HOUR == answer(scene, run).evidence["wake_at"]


def test_a_run_that_a_person_watches(scene: Scene) -> None:
    with live_engine(scene, "foreground") as engine:
        run = scene.submit(followed_by=engine)
        assert "is queued for process 4711, the foreground flowctl that a person watches it in" == why(scene, run)
    assert why(scene, run).startswith("is queued for process 4711, a foreground flowctl that is gone")


def test_a_run_that_requires_what_no_engine_has(scene: Scene) -> None:
    run = scene.submit(options={"requires": ["gpu", "ram=32"]})
    with live_engine(scene, labels=("ram=32",)):
        expected = "is queued, and no engine has what it requires, gpu: process 4711 has ram=32"
        assert expected == why(scene, run)
        with live_engine(scene, labels=("gpu",)):  # neither has both
            assert "is queued, and no engine has what it requires, gpu, ram=32: process" in why(scene, run)
            with live_engine(scene, labels=("gpu", "ram=32")):
                assert "is queued and about to begin: nothing is in its way" == why(scene, run)


def test_a_run_whose_queue_no_engine_serves(scene: Scene) -> None:
    run = scene.submit(queue="slow")
    with live_engine(scene, queues=("fast",)):
        assert "is queued, and no engine serves the queue slow: process 4711 serves fast" == why(scene, run)


def test_a_run_whose_queue_is_full_paused_or_has_begun_too_many(scene: Scene) -> None:
    with live_engine(scene) as engine:
        held, run = scene.submit(), scene.submit()
        claimed(scene, engine, held)
        limit(scene, concurrency=1)
        assert f"is queued, and its queue default is full: run {held} of 1 at once" == why(scene, run)
        limit(scene, concurrency=2, paused_at=scene.now)
        assert f"is queued, and its queue default is paused since {local(scene.now)}" == why(scene, run)
        limit(scene, rate=1, rate_ms=HOUR)
        assert "is queued and about to begin: nothing is in its way" == why(scene, run)
        with scene.store.transaction():
            scene.store.connection.write(
                "INSERT INTO starts VALUES ('default', 'default', :at, 1)", {"at": scene.now - 60_000}
            )
        opens = local(scene.now - 60_000 + HOUR)
        expected = f"is queued, and its queue default has begun 1 in 1h00m: the next may begin at {opens}"
        assert expected == why(scene, run)


def test_a_run_that_shares_a_key_with_those_that_run(scene: Scene) -> None:
    limit(scene, key="tags.site", key_limit=1)
    with live_engine(scene) as engine:
        held = scene.submit(tags={"site": "a"})
        same, other = scene.submit(tags={"site": "a"}, priority=9), scene.submit(tags={"site": "b"}, priority=10)
        claimed(scene, engine, held)
        assert f'is queued, and run {held} has the same tags.site, "a": 1 at once' == why(scene, same)
        assert "is queued and about to begin: nothing is in its way" == why(scene, other)


def test_a_run_behind_others(scene: Scene) -> None:
    with live_engine(scene):
        scene.submit()
        run = scene.submit()
        scene.submit()
        scene.submit(priority=5)
        expected = "is queued behind 2 runs that are older or of a higher priority, while 0 are running"
        assert expected == why(scene, run)
        assert 2 == answer(scene, run).evidence["ahead"]


# -- under way


def test_a_run_that_runs_and_one_whose_engine_is_gone(scene: Scene) -> None:
    with live_engine(scene) as engine:
        claim = claimed(scene, engine, scene.submit())
        scene.begin(claim, "fetch", 1)
        scene.now += 5_000
        expected = 'is running in process 4711, a daemon engine, for 5.0s: step "fetch" has taken 5.0s'
        assert expected == why(scene, claim.run_id)
        assert [{"step": "fetch", "attempt": 1, "started_at": scene.now - 5_000}] == answer(
            scene, claim.run_id
        ).evidence["steps"]
        with scene.store.transaction():
            scene.store.runs.request(claim.run_id, "pause", scene.now)
        assert "for 5.0s, and is asked to pause: step" in why(scene, claim.run_id)
    assert "was running in process 4711, which is gone: whoever looks next frees it" == why(scene, claim.run_id)


def test_a_run_that_sleeps_because_of_a_step_that_sleeps_or_failed(scene: Scene) -> None:
    asleep, backing_off = scene.held(), scene.held()
    scene.begin(asleep, "sleep", 1, kind="sleep", wake_at=scene.now + HOUR)
    scene.release(asleep, "sleeping", wake_at=scene.now + HOUR)
    assert f'sleeps until {local(scene.now + HOUR)}, for 1h00m more, because of step "sleep"' == why(scene, asleep[0])
    scene.begin(backing_off, "fetch", 1)
    with scene.store.transaction():
        scene.store.steps.fail_attempt(backing_off, "fetch", error("no net"), scene.now + HOUR, scene.now)
    scene.release(backing_off, "sleeping", wake_at=scene.now + HOUR)
    expected = 'more, when attempt 2 of step "fetch" begins: attempt 1, ValueError: no net'
    assert why(scene, backing_off[0]).endswith(expected)
    scene.now += HOUR
    assert why(scene, asleep[0]).endswith(', because of step "sleep", and no daemon runs that would let it')


def test_a_run_that_waits_for_another_one(scene: Scene) -> None:
    parent, earlier = scene.held(), scene.submit()
    scene.begin(parent, "child", 1, kind="child")
    child = scene.submit(parent_id=parent[0], parent_step="child", root_id=parent[0], workflow="part")
    scene.release(parent, "waiting")
    later = scene.submit(after_id=earlier)
    assert f"waits for the child run {child} (part, queued)" == why(scene, parent[0])
    assert (f"flowctl why {child}",) == answer(scene, parent[0]).commands
    assert f"waits until run {earlier} of the same schedule has ended, which is queued" == why(scene, later)


def test_a_run_that_waits_for_a_breaker_which_no_daemon_would_ask_again(scene: Scene) -> None:
    run = scene.held()
    with scene.store.transaction():
        scene.store.breakers.wait("default", "the mail", run[0])
    scene.release(run, "waiting", wake_at=scene.now + HOUR, reason="breaker the mail is open until 12:00:00")
    assert "waits, because breaker the mail is open until 12:00:00" == why(scene, run[0])
    assert ("flowctl breakers reset 'the mail'",) == answer(scene, run[0]).commands
    scene.now += HOUR
    with live_engine(scene):
        assert "waits, because breaker the mail is open until 12:00:00" == why(scene, run[0])
    assert why(scene, run[0]).endswith("12:00:00, and no daemon runs that would let it go on")
    begins = ("flowctl daemon start", f"flowctl resume {run[0]}", "flowctl breakers reset 'the mail'")
    assert begins == answer(scene, run[0]).commands


# -- ended, or for a person


def test_a_run_that_is_paused_blocked_or_over(scene: Scene) -> None:
    paused = scene.submit()
    with scene.store.transaction():
        scene.store.runs.pause_idle(paused, scene.now, "paused by a person")
    blocked, failed, succeeded, cancelled = scene.held(), scene.held(), scene.held(), scene.submit()
    scene.release(blocked, "blocked", reason="step 1 changed")
    scene.finish(failed, "failed", failed_steps=["fetch"], error=error("no net"))
    scene.now += 61_000
    scene.finish(succeeded)
    with scene.store.transaction():
        scene.store.runs.cancel_idle(cancelled, scene.now, "cancelled")
    before, now = local(scene.now - 61_000), local(scene.now)
    assert f"is paused since {before}: paused by a person" == why(scene, paused)
    assert f"is blocked since {before}, and needs a person: step 1 changed" == why(scene, blocked[0])
    assert f"flowctl retry {blocked[0]} --accept" in answer(scene, blocked[0]).commands
    assert f"failed at {before}, in step fetch: ValueError: no net" == why(scene, failed[0])
    assert f"succeeded at {now}, after 1m01s" == why(scene, succeeded[0])
    assert f"was cancelled at {now}" == why(scene, cancelled)


# -- schedules


def in_utc(instant: int) -> str:
    return datetime.fromtimestamp(instant / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def why_slot(scene: Scene, at: int | None = None) -> str:
    schedule = scene.store.schedules.find("default", "nightly")
    assert schedule is not None
    return why_schedule(scene.store, schedule, scene.now, at).sentence.removeprefix("schedule nightly: ")


def test_every_slot_of_the_ledger_says_what_became_of_it(scene: Scene) -> None:
    scene.now = 100 * HOUR
    schedule, run = add_schedule(scene, created_at=0), scene.submit()
    night = "machine suspended 22:10-07:41"
    add_slot(scene, schedule, 10 * HOUR, "fired", run=run)
    add_slot(scene, schedule, 11 * HOUR, "coalesced", night, run)
    add_slot(scene, schedule, 12 * HOUR, "skipped", "overlap, run 1 is still running")
    add_slot(scene, schedule, 13 * HOUR, "missed", night)
    add_slot(scene, schedule, 14 * HOUR, "fired", run=99)
    said = [why_slot(scene, hour * HOUR) for hour in range(10, 15)]
    assert [
        f"the slot of {in_utc(10 * HOUR)} fired run {run}, which is queued",
        f"the slot of {in_utc(11 * HOUR)} was coalesced into run {run}, which is queued: {night}",
        f"the slot of {in_utc(12 * HOUR)} was skipped: overlap, run 1 is still running",
        f"the slot of {in_utc(13 * HOUR)} was missed: {night}",
        f"the slot of {in_utc(14 * HOUR)} fired run 99, which was pruned since",
    ] == said


def test_a_slot_whose_run_was_pruned_offers_no_command_about_it(scene: Scene) -> None:
    scene.now = 100 * HOUR
    number, run = add_schedule(scene, created_at=0), scene.submit()
    add_slot(scene, number, 10 * HOUR, "fired", run=run)
    add_slot(scene, number, 11 * HOUR, "fired", run=99)
    schedule = scene.store.schedules.get("default", "nightly")
    asked = [why_schedule(scene.store, schedule, scene.now, hour * HOUR) for hour in (10, 11)]
    assert [(f"flowctl why {run}",), ()] == [answer.commands for answer in asked]


def test_an_instant_without_a_slot_names_those_around_it(scene: Scene) -> None:
    scene.now = 100 * HOUR
    add_schedule(scene, created_at=50 * HOUR, planned_to=90 * HOUR)
    at = 60 * HOUR + 120_000
    around = f"before at {in_utc(60 * HOUR)} and after at {in_utc(61 * HOUR)}"
    assert f"no slot is due at {in_utc(at)}: the nearest is due {around}" == why_slot(scene, at)
    assert f"the slot of {in_utc(101 * HOUR)} is not due yet, but in 1h00m" == why_slot(scene, 101 * HOUR)
    assert f"it was made only at {in_utc(50 * HOUR)}, after {in_utc(HOUR)}" == why_slot(scene, HOUR)
    assert (
        why_slot(scene, 95 * HOUR) == f"the slot of {in_utc(95 * HOUR)} is due, and no daemon runs that would decide it"
    )
    assert "by its rule of today, but none was recorded" in why_slot(scene, 80 * HOUR)


def test_a_schedule_says_what_it_waits_for(scene: Scene) -> None:
    scene.now = 100 * HOUR
    schedule = add_schedule(scene, next_at=101 * HOUR)
    assert f"is not due before {in_utc(101 * HOUR)}, in 1h00m" == why_slot(scene)
    add_slot(scene, schedule, 100 * HOUR, "skipped", "overlap")
    last = f"; the last slot, {in_utc(100 * HOUR)}, was skipped: overlap"
    assert f"is not due before {in_utc(101 * HOUR)}, in 1h00m{last}" == why_slot(scene)
    scene.now = 103 * HOUR
    assert f"the slot of {in_utc(101 * HOUR)} is due, and no daemon runs that would decide it" == why_slot(scene)
    with live_daemon(scene):
        assert why_slot(scene).endswith("is 2h00m late, and the daemon has not decided it")
    change(scene, "next_at = NULL, kind = 'cron', expression = '@reboot'")
    assert f"fires once after each start of the machine{last}" == why_slot(scene)
    change(scene, "kind = 'every', expression = '1h'")
    assert f"has no further slot{last}" == why_slot(scene)
    change(scene, "paused_at = changed_at, pause_reason = '5 failed runs in a row'")
    assert f"is paused since {in_utc(100 * HOUR)}: 5 failed runs in a row{last}" == why_slot(scene)


def change(scene: Scene, what: str) -> None:
    with scene.store.transaction():
        scene.store.connection.write(f"UPDATE schedules SET {what}")


# -- the command


def test_the_command_prints_the_sentence_the_facts_and_what_helps(flowctl: Any, tmp_path: Path) -> None:
    flowctl("exec", "--", "true")
    said = flowctl("why", "@last", "--json").json
    assert {"run": 1, "state": "succeeded", "attempt": 1} == {
        key: said["evidence"][key] for key in ("run", "state", "attempt")
    }
    assert "run 1" == said["subject"]
    assert said["sentence"].startswith("run 1 succeeded at ")
    assert said["evidence"]["finished_at"].endswith("Z")
    flowctl("exec", "--detach", "--", "true")
    waits = flowctl("why", "2")
    assert "run 2 is queued, and no daemon runs that would begin it\n" == waits.stdout
    assert "flowctl daemon start" in waits.stderr
    assert "there is no schedule nightly" in flowctl("why", "nightly", code=4).stderr
    flowctl("why", "3", code=4)
    flowctl("why", "1", "--at", "03:00", code=2)
    with Store.open(flowctl("db", "path").stdout.strip()) as store:
        add_schedule(Scene(store), created_at=0)
    assert "no slot is due at" in flowctl("why", "nightly", "--at", "03:30").stdout
    flowctl("why", "nightly", "--at", "soon", code=2)
