"""Queues: which runs an engine may take, in which order, and what looking for them costs."""

from __future__ import annotations

from typing import Any

import apsw

from flowctl.core.model import Queue
from flowctl.engine.admission import Admission, Keys
from flowctl.store.runs import Due, Reach
from tests.store.scene import Scene, new_run

PERIOD = 60_000


def limit(scene: Scene, name: str = "mail", **limits: Any) -> Queue:
    queue = Queue("default", name, **limits)
    scene.write(lambda: scene.store.queues.set(queue, scene.now))
    return queue


def submit(scene: Scene, count: int, **fields: Any) -> list[int]:
    with scene.store.transaction():
        return [scene.store.runs.create(new_run(**fields), scene.now)[0] for _ in range(count)]


def chosen(scene: Scene, count: int = 8, keys: Keys | None = None) -> list[int]:
    """Return the runs that an engine without labels would claim now."""
    return Admission(scene.store, scene.now, keys or Keys(scene.store)).choose(Reach(1), count)


def begin(scene: Scene, run_id: int, at: int) -> None:
    scene.write(lambda: scene.store.queues.begin(Due(run_id, "default", "mail"), PERIOD, at))


def instructions(scene: Scene, action: Any) -> int:
    """Return how many instructions SQLite executes for an action."""
    counts: list[int] = []
    raw = scene.store.connection.raw
    raw.trace_v2(
        apsw.SQLITE_TRACE_PROFILE, lambda event: counts.append(event["stmt_status"]["SQLITE_STMTSTATUS_VM_STEP"])
    )
    action()
    raw.trace_v2(0, None)
    return sum(counts)


# -- order


def test_f04_priority_then_age_across_queues_and_namespaces(scene: Scene) -> None:
    first = scene.submit(queue="a")
    urgent = scene.submit(queue="b", priority=5)
    other = scene.submit(queue="a", namespace="other")
    later = scene.submit(queue="c", priority=5)
    last = scene.submit(queue="b", priority=-1)
    due = scene.submit(queue="b", wake_at=scene.now, priority=1)
    assert [urgent, later, due, first, other, last] == chosen(scene)
    assert [urgent, later, due] == chosen(scene, 3)


def test_f01_what_is_chosen_together_keeps_the_limits_too(scene: Scene) -> None:
    limit(scene, concurrency=2)
    mail = submit(scene, 5, queue="mail")
    free = submit(scene, 3)
    assert [*mail[:2], *free] == chosen(scene)
    scene.claim(mail[0])
    assert [mail[1], *free] == chosen(scene)
    scene.claim(mail[1])
    assert free == chosen(scene)


def test_f05_each_key_has_its_own_room_and_runs_without_one_are_not_held(scene: Scene) -> None:
    limit(scene, key="tags.host", key_limit=1)
    busy = submit(scene, 3, queue="mail", tags={"host": "a"})
    other = scene.submit(queue="mail", tags={"host": "b"})
    without = submit(scene, 2, queue="mail")
    keys = Keys(scene.store)
    assert [busy[0], other, *without] == chosen(scene, keys=keys)
    claim = scene.claim(busy[0])
    assert [other, *without] == chosen(scene, keys=keys)
    scene.finish(claim)
    assert [busy[1], other, *without] == chosen(scene, keys=keys)


def test_f05_another_attribute_counts_as_soon_as_it_is_set(scene: Scene) -> None:
    limit(scene, key="tags.host", key_limit=1)
    runs = [scene.submit(queue="mail", tags={"host": "a", "site": site}) for site in ("x", "y")]
    keys = Keys(scene.store)
    assert runs[:1] == chosen(scene, keys=keys)
    limit(scene, key="tags.site", key_limit=1)
    assert runs == chosen(scene, keys=keys)


def test_an_engine_takes_only_runs_whose_labels_it_has(scene: Scene) -> None:
    plain = scene.submit()
    gpu = scene.submit(options={"requires": ["gpu"]})
    ram = scene.submit(options={"requires": ["ram=32"]})
    both = scene.submit(options={"requires": ["gpu", "ram=32"]})

    def claimable(*labels: str) -> list[int]:
        return [run.id for run in scene.store.runs.claimable(scene.now, Reach(1, labels), limit=9)]

    assert [plain] == claimable()
    assert [plain, gpu] == claimable("gpu")
    assert [plain, ram] == claimable("ram=32", "ram")
    assert [plain] == claimable("ram=64", "ram")
    assert [plain, gpu, ram, both] == claimable("gpu", "ram=32")


# -- rates


def test_f03_a_rate_lets_so_many_begin_within_any_period(scene: Scene) -> None:
    limit(scene, rate=3, rate_ms=PERIOD)
    runs = submit(scene, 5, queue="mail")
    for index, run in enumerate(runs[:3]):
        begin(scene, run, scene.now + index * 1000)
    began_at = scene.now
    scene.now = began_at + PERIOD - 1
    admission = Admission(scene.store, scene.now, Keys(scene.store))
    assert ([], began_at + PERIOD) == (admission.choose(Reach(1), 8), admission.opens_at)
    scene.now = began_at + PERIOD
    assert 1 == len(chosen(scene))
    scene.now = began_at + PERIOD + 1000
    assert 2 == len(chosen(scene))


def test_f03_a_lower_rate_counts_what_began_before_it(scene: Scene) -> None:
    limit(scene, rate=5, rate_ms=PERIOD)
    runs = submit(scene, 6, queue="mail")
    for index, run in enumerate(runs[:4]):
        begin(scene, run, scene.now + index)
    limit(scene, rate=2, rate_ms=PERIOD)
    admission = Admission(scene.store, scene.now + 10, Keys(scene.store))
    assert ([], scene.now + 2 + PERIOD) == (admission.choose(Reach(1), 8), admission.opens_at)


def test_f03_a_clock_that_is_set_back_holds_a_rate_up_for_two_periods_at_most(scene: Scene) -> None:
    limit(scene, rate=1, rate_ms=PERIOD)
    first, _ = submit(scene, 2, queue="mail")
    begin(scene, first, scene.now)
    scene.now -= PERIOD // 2  # by less than a period, as between engines that read the clock at other moments
    assert [] == chosen(scene)
    scene.now -= 10 * PERIOD
    assert 1 == len(chosen(scene))
    begin(scene, first, scene.now)
    assert 1 == scene.store.connection.value("SELECT count(*) FROM starts")


def test_a_run_claimed_twice_within_a_millisecond_counts_once(scene: Scene) -> None:
    queue = limit(scene, rate=3, rate_ms=PERIOD)
    run = scene.submit(queue="mail")
    begin(scene, run, scene.now)
    begin(scene, run, scene.now)
    assert 1 == scene.store.queues.starts(queue, PERIOD, scene.now)


# -- what has found no place


def test_d10_what_is_due_and_found_no_place_stands_in_its_queue(scene: Scene) -> None:
    sleeping = scene.release(scene.held(), "sleeping", wake_at=scene.now + 5).id
    delayed = scene.submit(wake_at=scene.now + 5)
    later = scene.submit(wake_at=scene.now + 6)
    watched = scene.submit(wake_at=scene.now, followed_by=scene.engine_id)
    changed_at = scene.now
    scene.now += 5
    assert 2 == scene.write(lambda: scene.store.runs.line_up(scene.now))
    found = {run: scene.store.runs.get(run) for run in (sleeping, delayed, later, watched)}
    assert {sleeping: ("queued", None, scene.now), delayed: ("queued", None, changed_at)} == {
        run: (found[run].state, found[run].wake_at, found[run].changed_at) for run in (sleeping, delayed)
    }
    assert (changed_at + 6, changed_at) == (found[later].wake_at, found[watched].wake_at)
    assert [sleeping, delayed] == chosen(scene)


def test_d10_a_long_queue_that_is_full_costs_no_more_than_a_short_one(scene: Scene) -> None:
    limit(scene, concurrency=1)
    scene.claim(scene.submit(queue="mail"))
    submit(scene, 10, queue="mail")
    last = scene.submit()
    short = instructions(scene, lambda: chosen(scene))
    submit(scene, 5_000, queue="mail")
    assert [last] == chosen(scene)
    assert instructions(scene, lambda: chosen(scene)) <= 1.1 * short


def test_d10_runs_that_wait_for_a_key_are_looked_at_once(scene: Scene) -> None:
    limit(scene, key="tags.host", key_limit=1)
    scene.claim(scene.submit(queue="mail", tags={"host": "a"}))
    submit(scene, 2_000, queue="mail", tags={"host": "a"})
    last = scene.submit(queue="mail", tags={"host": "b"})
    keys = Keys(scene.store)
    first = instructions(scene, lambda: chosen(scene, keys=keys))
    assert [last] == chosen(scene, keys=keys)
    assert instructions(scene, lambda: chosen(scene, keys=keys)) < first / 3


def test_the_load_of_a_queue_is_what_has_not_ended(scene: Scene) -> None:
    scene.finish(scene.held(queue="done"))
    scene.finish(scene.held(queue="mail"))
    scene.held(queue="mail")
    scene.now += 1_000
    scene.submit(queue="mail")
    scene.release(scene.held(queue="asleep"), "sleeping", wake_at=scene.now + 60_000)
    loads = scene.store.queues.loads("default", scene.now)
    assert [("asleep", 0, 0, None), ("mail", 1, 1, scene.now)] == [tuple(each) for each in loads]
