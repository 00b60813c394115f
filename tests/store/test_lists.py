"""Lists of many runs: their order, what they failed of, and the names of their workflows."""

from __future__ import annotations

import pytest

from flowctl.core.listing import RunFilter
from flowctl.core.policy import error_text
from flowctl.store.lists import Order
from tests.store.scene import Scene


@pytest.mark.parametrize(
    ("by", "expected"),
    [("started", [1, 2, 3, 4]), ("duration", [4, 3, 2, 1]), ("workflow", [3, 1, 2, 4]), ("state", [3, 4, 1, 2])],
)
def test_runs_are_put_in_an_order(scene: Scene, by: Order, expected: list[int]) -> None:
    claims = []
    for workflow in ("b", "b", "a"):
        claims.append(scene.held(workflow=workflow))
        scene.now += 10
    scene.submit(workflow="c")
    scene.finish(claims[1])
    scene.finish(claims[2], "failed", error=error_text("KeyError", "'x'"))
    assert expected == scene.store.lists.ordered([4, 3, 2, 1], by, scene.now + 100)


def test_failures_are_grouped_by_workflow_and_error(scene: Scene) -> None:
    for workflow in ("a", "a", "b"):
        scene.finish(scene.held(workflow=workflow), "failed", error=error_text("KeyError", "'x'"))
    scene.finish(scene.held(workflow="a"))
    error = error_text("KeyError", "'x'")
    assert [("a", error, 2), ("b", error, 1)] == scene.store.lists.failures([1, 2, 3, 4])
    assert [("a", error, 1)] == scene.store.lists.failures([1])


def test_the_workflows_that_have_runs_are_named_once(scene: Scene) -> None:
    assert [] == scene.store.lists.workflows("default")
    for workflow in ("b", "a", "b"):
        scene.submit(workflow=workflow)
    scene.submit(workflow="other", namespace="home")
    assert ["a", "b"] == scene.store.lists.workflows("default")


@pytest.mark.parametrize(
    "filter",
    [
        RunFilter(),
        RunFilter(limit=2),
        RunFilter(namespace=None),
        RunFilter(states=("failed", "succeeded", "running")),
        RunFilter(workflow="a", states=("succeeded",)),
        RunFilter(before=3),
    ],
    ids=str,
)
def test_the_numbers_of_a_list_are_those_of_its_runs(scene: Scene, filter: RunFilter) -> None:
    for workflow, namespace in (("a", "default"), ("b", "default"), ("a", "home"), ("a", "default")):
        claim = scene.held(workflow=workflow, namespace=namespace)
        if workflow == "b":
            scene.finish(claim, "failed", error=error_text("KeyError", "'x'"))
        elif claim.run_id == 1:
            scene.finish(claim)
    assert [run.id for run in scene.store.runs.find(filter)] == scene.store.runs.numbers(filter)
    assert scene.store.runs.numbers(RunFilter()), "there are some"
