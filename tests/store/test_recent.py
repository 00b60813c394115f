"""The newest slots and runs of many schedules and workflows, in one question each."""

from __future__ import annotations

from flowctl.core.model import NewSchedule, SlotGroup
from flowctl.store import Store
from tests.store.scene import Scene


def make(store: Store, name: str, due: list[int]) -> int:
    with store.transaction():
        new = NewSchedule(name, "every", "1h", "{}", "/work")
        made = store.schedules.add(new, 1_000, planned_to=1_000, next_at=None)
        store.schedules.record(made.id, SlotGroup(due, "missed", "off"), 9_000)
    return made.id


def test_the_newest_slots_of_each_schedule_are_found_newest_first(store: Store) -> None:
    many, few, none = make(store, "many", [1, 2, 3, 4]), make(store, "few", [7]), make(store, "none", [])
    found = store.recent.slots([many, few, none], 3)
    assert {many: [4, 3, 2], few: [7]} == {of: [slot.due_at for slot in slots] for of, slots in found.items()}
    assert [4, 3, 2, 1] == store.schedules.slot_times(many)


def test_the_newest_runs_of_each_workflow_are_found_newest_first(scene: Scene) -> None:
    for workflow in ("a", "b", "a", "a"):
        scene.submit(workflow=workflow)
    scene.submit(workflow="a", namespace="home")
    assert {"a": [4, 3], "b": [2]} == scene.store.recent.runs_of_workflows("default", ["a", "b", "c"], 2)


def test_the_newest_run_of_each_schedule_is_found(scene: Scene) -> None:
    for schedule in ("a", "b", "a", None):
        scene.submit(schedule=schedule)
    assert {"a": 3, "b": 2} == scene.store.recent.run_of_schedules("default", ["a", "b", "c"])
