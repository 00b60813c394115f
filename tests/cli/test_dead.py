"""Dead letters: failures that nobody has dealt with, what they have in common, and how they are dealt with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flowctl.core.policy import error_text
from flowctl.store import Store
from tests.conftest import Outcome
from tests.store.scene import Scene


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Runs 1 to 4 have failed, 1 and 2 for the same reason; run 5 has not."""
    with Store.open(tmp_path / "flow.db") as store:
        scene = Scene(store)
        late = "step fetch failed: StepTimedOut: it took longer than 1 s"
        for workflow, kind, message in (
            ("digest", "StepFailed", late),
            ("digest", "StepFailed", late),
            ("digest", "CrashLoop", "no"),
            ("order", "KeyError", "'x'"),
        ):
            scene.finish(scene.held(workflow=workflow), "failed", error=error_text(kind, message))
        scene.finish(scene.held(workflow="order"))
        yield scene


@pytest.fixture
def call(quick: Callable[..., Outcome], scene: Scene) -> Callable[..., Outcome]:
    return lambda *words, code=0: quick(*words, "--db", scene.store.path, code=code)


def dead(call: Callable[..., Outcome]) -> list[int]:
    return [run["run"] for run in call("ls", "--dead", "--json").json]


def test_what_was_dropped_rerun_or_retried_is_no_dead_letter(call: Callable[..., Outcome], scene: Scene) -> None:
    assert [4, 3, 2, 1] == dead(call)
    call("drop", "1")
    scene.submit(rerun_of=2)
    scene.write(lambda: scene.store.runs.retry(3, scene.now, replay="pinned"))
    assert [4] == dead(call)
    assert [] == scene.store.check()


def test_the_failure_of_a_child_is_its_parents_to_deal_with(call: Callable[..., Outcome], scene: Scene) -> None:
    scene.finish(scene.held(parent_id=5, parent_step="child", root_id=5), "failed")
    assert [4, 3, 2, 1] == dead(call)


def test_a_failure_handler_that_fails_is_a_dead_letter_of_its_own(call: Callable[..., Outcome], scene: Scene) -> None:
    handler = scene.held(workflow="rescue", handles=1, root_id=1)
    scene.finish(handler, "failed")
    assert [handler.run_id, 4, 3, 2, 1] == dead(call)
    assert ["rescue"] == [workflow for _, workflow, _ in scene.store.runs.dead_errors() if workflow == "rescue"]


def test_a_dropped_run_fails_anew_after_a_retry(call: Callable[..., Outcome], scene: Scene) -> None:
    call("drop", "4")
    assert call("show", "4", "--json").json["dropped_at"] is not None
    scene.write(lambda: scene.store.runs.retry(4, scene.now, replay="pinned"))
    scene.finish(scene.claim(4), "failed")
    assert [4, 3, 2, 1] == dead(call)
    lines = call("events", "4", "--json").json
    assert ["dropped"] == [line["reason"] for line in lines if line["subject"] == "run 4" and line["state"] is None]


def test_failures_are_counted_by_workflow_and_kind(call: Callable[..., Outcome]) -> None:
    expected = [
        {"workflow": "digest", "class": "timeout", "type": "StepTimedOut", "runs": 2},
        {"workflow": "digest", "class": "crashed", "type": "CrashLoop", "runs": 1},
        {"workflow": "order", "class": "user error", "type": "KeyError", "runs": 1},
    ]
    counts = call("ls", "--dead", "--count", "--json").json
    assert sorted(expected, key=repr) == sorted(counts, key=repr)
    assert expected[0] == counts[0]
    lines = call("ls", "--dead", "--count", "--workflow", "digest").stdout.splitlines()
    assert ["RUNS  WORKFLOW  FAILURE  TYPE", "   2  digest    timeout  StepTimedOut"] == lines[:2]
    assert "flowctl ls --dead --count" in call("ls", "--count", code=2).stderr


def test_a_failure_has_its_class_in_lists_and_pages_and_metrics(call: Callable[..., Outcome]) -> None:
    classes = {run["run"]: run["error_class"] for run in call("ls", "--json").json}
    assert {1: "timeout", 2: "timeout", 3: "crashed", 4: "user error", 5: None} == classes
    assert "failure   timeout" in call("show", "1").stdout
    expected = 'flowctl_dead_runs{namespace="default",workflow="digest",class="timeout"} 2'
    assert expected in call("metrics").stdout.splitlines()


def test_several_are_dropped_by_selector_after_a_look(call: Callable[..., Outcome]) -> None:
    seen = call("drop", "--dead", "--workflow", "digest", "--dry-run", "--json").json
    assert [3, 2, 1] == [run["run"] for run in seen]
    assert [4, 3, 2, 1] == dead(call)
    assert "say so with --yes" in call("drop", "--dead", "--workflow", "digest", code=2).stderr
    call("drop", "--dead", "--workflow", "digest", "--yes")
    assert [4] == dead(call)
    assert "no run is selected" in call("drop", "--dead", "--workflow", "digest", "--yes", code=4).stderr


def test_only_a_failed_run_is_dropped_and_twice_is_as_once(call: Callable[..., Outcome], scene: Scene) -> None:
    assert "only a failed run can be dropped" in call("drop", "5", code=5).stderr
    call("drop", "1")
    before = scene.store.runs.get(1)
    call("drop", "1")
    assert before == scene.store.runs.get(1)
    assert 1 == sum(event.reason == "dropped" for event in scene.store.events.of_subject("run 1"))


def test_a_retry_of_the_dead_shows_first_which_are_meant(call: Callable[..., Outcome]) -> None:
    outcome = call("retry", "--dead", "--workflow", "order", "--dry-run")
    assert outcome.stdout.startswith("run 4  order")
    assert "nothing was changed: 1 run is meant" in outcome.stderr
    assert [4, 3, 2, 1] == dead(call)


def test_the_dead_are_retried_by_selector(quick: Callable[..., Outcome], failing: Path) -> None:
    quick("run", failing, "--db", "flow.db", code=1)
    quick("run", failing, "by=2", "--db", "flow.db")
    failing.write_text(failing.read_text().replace("1 / by", "1.0"))
    quick("retry", "--dead", "--workflow", "fails", "--db", "flow.db")
    assert {"succeeded"} == {run["state"] for run in quick("ls", "--db", "flow.db", "--json").json}
    assert [] == quick("ls", "--dead", "--db", "flow.db", "--json").json
