"""Schedules and slots as rows: what the file keeps, refuses, and finds by its indexes."""

from __future__ import annotations

import apsw
import pytest

from flowctl.core.errors import Conflict, Damaged, NotFound
from flowctl.core.model import NewSchedule, Schedule, Slot, SlotGroup
from flowctl.store import Store
from flowctl.store.schedules import SQL
from tests.store.scene import Scene

NEW = NewSchedule("nightly", "cron", "30 2 * * *", '{"argv":["true"]}', "/work", zone="UTC", options={"queue": "slow"})


def added(store: Store, new: NewSchedule = NEW, planned_to: int = 1_000, next_at: int | None = 5_000) -> Schedule:
    with store.transaction():
        return store.schedules.add(new, 1_000, planned_to=planned_to, next_at=next_at)


def test_a_schedule_is_found_as_it_was_made(store: Store) -> None:
    made = added(store)
    assert made == store.schedules.get("default", "nightly") == store.schedules.read(made.id)
    assert NEW == NewSchedule(**{name: getattr(made, name) for name in NewSchedule._fields})
    assert (5_000, 1_000, None, 1_000) == (made.next_at, made.planned_to, made.paused_at, made.created_at)
    assert [made] == store.schedules.all("default")
    assert [] == store.schedules.all("other")


def test_a_name_is_taken_once_in_each_namespace(store: Store) -> None:
    added(store)
    added(store, NEW._replace(namespace="other"))
    with pytest.raises(Conflict, match="there is a schedule nightly already"):
        added(store)
    with pytest.raises(NotFound) as caught:
        store.schedules.get("default", "nihgtly")
    assert "did you mean nightly?" == caught.value.hint


def test_an_update_keeps_what_is_planned_and_the_pause(store: Store) -> None:
    made = added(store)
    with store.transaction():
        store.schedules.pause(made.id, 2_000, "why")
        changed = store.schedules.update(NEW._replace(overlap="queue"), 3_000)
    assert made._replace(overlap="queue", paused_at=2_000, pause_reason="why", changed_at=3_000) == changed
    with store.transaction():
        assert store.schedules.resume(made.id, 4_000)
        assert not store.schedules.resume(made.id, 4_000)


def test_p11_a_slot_has_one_row_for_ever(store: Store) -> None:
    made = added(store)
    with store.transaction():
        store.schedules.record(made.id, SlotGroup([2_000, 3_000], "missed", "off"), 9_000)
    with pytest.raises(apsw.ConstraintError), store.transaction():
        store.schedules.record(made.id, SlotGroup([3_000, 4_000], "fired", None, 1), 9_000)
    assert [Slot(made.id, at, "missed", "off", None, 9_000) for at in (3_000, 2_000)] == store.schedules.slots(
        made.id, limit=10
    )
    assert [3_000] == [slot.due_at for slot in store.schedules.slots(made.id, limit=1)]
    assert [3_000] == [slot.due_at for slot in store.schedules.slots(made.id, limit=9, since=2_001)]
    assert [2_000] == [slot.due_at for slot in store.schedules.slots(made.id, limit=9, before=3_000)]


def test_a_backfill_never_takes_the_run_of_a_slot_away(store: Store) -> None:
    made = added(store)
    with store.transaction():
        store.schedules.record(made.id, SlotGroup([2_000], "missed", "off"), 9_000)
        store.schedules.fill(Slot(made.id, 2_000, "fired", None, 7, 9_500))
        store.schedules.fill(Slot(made.id, 2_000, "fired", None, 8, 9_900))
    assert [7] == [slot.run_id for slot in store.schedules.slots(made.id, limit=9)]
    assert [2_000] == store.schedules.fired(made.id, 0, 2_000)
    assert [] == store.schedules.fired(made.id, 2_001, 9_000)


@pytest.mark.parametrize(
    "group",
    [SlotGroup([1], "fired"), SlotGroup([1], "coalesced"), SlotGroup([1], "missed"), SlotGroup([1], "skipped", "x", 3)],
)
def test_a_row_without_its_run_or_its_reason_is_refused(store: Store, group: SlotGroup) -> None:
    made = added(store)
    with pytest.raises(apsw.ConstraintError), store.transaction():
        store.schedules.record(made.id, group, 9_000)


def test_what_is_planned_stays_planned(store: Store) -> None:
    made = added(store, planned_to=5_000)
    with store.transaction():
        store.schedules.advance(made.id, 4_000, 6_000)
    found = store.schedules.get("default", "nightly")
    assert (5_000, 6_000) == (found.planned_to, found.next_at)


def test_due_are_those_whose_slot_has_come_the_longest_overdue_first(store: Store) -> None:
    for name, next_at in (("c", 3_000), ("a", 2_000), ("later", 9_000), ("never", None)):
        added(store, NEW._replace(name=name), next_at=next_at)
    assert ["a", "c"] == [due.name for due in store.schedules.due(3_000, 10)]
    assert ["a"] == [due.name for due in store.schedules.due(3_000, 1)]
    assert 2_000 == store.schedules.next_due_at()


def test_active_runs_of_a_schedule_are_found_without_those_that_have_ended(scene: Scene) -> None:
    schedules = scene.store.schedules
    scene.finish(scene.held(schedule="nightly"))
    second = scene.submit(schedule="nightly")
    third = scene.submit(schedule="nightly", after_id=second)
    scene.submit(schedule="other")
    assert [(second, "queued", None), (third, "waiting", second)] == [
        tuple(run) for run in schedules.active("default", "nightly")
    ]
    sql = SQL["active"]
    plan = [row[3] for row in scene.store.connection.rows(f"EXPLAIN QUERY PLAN {sql}", {"namespace": "", "name": ""})]
    assert ["SEARCH runs USING INDEX runs_overlap (namespace=? AND schedule=?)"] == plan


def test_outcomes_are_of_the_newest_runs_made_since_and_leave_out_what_did_not_end_so(scene: Scene) -> None:
    made = added(scene.store)
    for state in ("failed", "succeeded", "cancelled", "failed"):
        scene.now += 10
        scene.finish(scene.held(schedule="nightly"), state)
    scene.submit(schedule="nightly", due_at=77)
    outcomes = scene.store.schedules.outcomes
    assert ["failed", "succeeded", "failed"] == outcomes(made, 0, 9)
    assert ["failed", "succeeded"] == outcomes(made, 0, 2)
    assert ["failed"] == outcomes(made, scene.now, 9)
    assert 77 == scene.store.schedules.last_start(made)


def test_removing_takes_the_slots_and_the_boot_along(store: Store) -> None:
    made = added(store)
    with store.transaction():
        store.schedules.record(made.id, SlotGroup([2_000], "missed", "off"), 9_000)
        store.schedules.set_booted(made.id, "boot")
    assert "boot" == store.schedules.booted(made.id)
    with store.transaction():
        store.schedules.remove(made)
    assert store.schedules.booted(made.id) is None
    assert [] == store.schedules.slots(made.id, limit=9)
    again = added(store)
    assert again.id > made.id  # never reused: an old slot is never taken for one of its own


def test_a_damaged_row_says_so(store: Store) -> None:
    made = added(store)
    raw = store.connection.raw
    raw.execute("PRAGMA ignore_check_constraints = ON").fetchall()
    raw.execute("UPDATE schedules SET options = '{'").fetchall()
    with pytest.raises(Damaged, match="options of schedule nightly"):
        store.schedules.read(made.id)
    assert [made.id] == [due.id for due in store.schedules.due(9_000, 5)]  # it is found, so that others go on
