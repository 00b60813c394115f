"""Workflows and engines: what is registered, and who decides."""

from __future__ import annotations

from typing import Any

import pytest

from flowctl.core.errors import Conflict
from flowctl.core.model import NewWorkflow
from tests.store.scene import SNAPSHOT, Scene


def workflow(**fields: Any) -> NewWorkflow:
    usual: dict[str, Any] = {
        "name": "digest",
        "path": "/flows/digest.py",
        "function": "digest",
        "parameters": {"feeds": {"type": "array"}},
        "options": {"attempts": 2},
        "doc": "Read the feeds.",
        "code": SNAPSHOT.code,
        "directory": "/flows",
    }
    return NewWorkflow(**(usual | fields))


def add(scene: Scene, **fields: Any) -> Any:
    replace = fields.pop("replace", False)
    return scene.write(lambda: scene.store.workflows.add(workflow(**fields), scene.now, replace=replace))


def test_a_workflow_comes_back_as_it_was_registered(scene: Scene) -> None:
    added = add(scene, python="/usr/bin/python3")
    assert added == scene.store.workflows.find("default", "digest")
    assert ({"feeds": {"type": "array"}}, {"attempts": 2}) == (added.parameters, added.options)
    assert ("/usr/bin/python3", scene.now) == (added.python, added.added_at)
    assert scene.store.workflows.find("home", "digest") is None


def test_registering_the_same_file_again_brings_it_up_to_date(scene: Scene) -> None:
    first = add(scene)
    again = add(scene, doc="Read them all.")
    assert (first.id, "Read them all.") == (again.id, again.doc)


def test_l12_a_name_that_two_files_define_is_a_conflict_that_names_both(scene: Scene) -> None:
    add(scene)
    with pytest.raises(Conflict) as caught:
        add(scene, path="/flows/other.py")
    assert "/flows/digest.py" in caught.value.message
    assert "/flows/other.py" in caught.value.message
    assert "/flows/other.py" == add(scene, path="/flows/other.py", replace=True).path


def test_namespaces_are_apart_and_lists_are_in_order(scene: Scene) -> None:
    for name in ("beta", "alpha"):
        add(scene, name=name)
    add(scene, name="other", namespace="home", path="/home/other.py")
    assert ["alpha", "beta"] == [found.name for found in scene.store.workflows.list("default")]
    assert ["other"] == [found.name for found in scene.store.workflows.list("home")]


def test_a_removed_workflow_leaves_its_runs(scene: Scene) -> None:
    add(scene)
    run = scene.submit()
    assert scene.write(lambda: scene.store.workflows.remove("default", "digest"))
    assert not scene.write(lambda: scene.store.workflows.remove("default", "digest"))
    assert "digest" == scene.store.runs.get(run).workflow


def test_engines_are_running_until_they_are_stopped(scene: Scene) -> None:
    first, second = scene.engine(), scene.engine()
    assert [first, second] == [engine.id for engine in scene.store.engines.running()]
    scene.write(lambda: scene.store.engines.stop(first, scene.now + 5))
    scene.write(lambda: scene.store.engines.stop(first, scene.now + 9))
    assert [second] == [engine.id for engine in scene.store.engines.running()]
    stopped = scene.store.engines.get(first)
    assert stopped is not None
    assert (scene.now + 5, "boot", "foreground") == (stopped.stopped_at, stopped.boot_id, stopped.kind)
    assert scene.store.engines.get(99) is None


def test_the_audit_log_knows_when_each_attempt_of_a_run_was_first_worked_on(scene: Scene) -> None:
    claim = scene.held()
    began = [scene.now]
    scene.release(claim, "queued")
    scene.now += 5
    scene.finish(scene.claim(claim.run_id), "failed")
    scene.write(lambda: scene.store.runs.retry(claim.run_id, scene.now, replay="newest"))
    assert scene.store.events.attempt_began(claim.run_id, 2) is None
    scene.now += 5
    scene.claim(claim.run_id)
    began.append(scene.now)
    assert began == [scene.store.events.attempt_began(claim.run_id, attempt) for attempt in (1, 2)]
