"""Finding runs: by number, name, state, tag, text and page."""

from __future__ import annotations

from typing import Any

import pytest

from flowctl.core.errors import NotFound
from flowctl.core.listing import RunFilter
from tests.store.scene import Scene, error


def ids(scene: Scene, **fields: Any) -> list[int]:
    return [run.id for run in scene.store.runs.find(RunFilter(**fields))]


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
    ({"queue": "default"}, [4, 3, 2, 1]),
    ({"queue": "mail"}, []),
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


def test_only_failures_that_nobody_has_dealt_with_have_errors_to_count(scene: Scene) -> None:
    scene.finish(scene.held(), "failed", error=error("it went wrong"))
    scene.finish(scene.held())
    scene.submit()
    assert [("default", "digest", error("it went wrong"))] == scene.store.runs.dead_errors()


def test_counts_are_of_one_namespace(scene: Scene) -> None:
    scene.held()
    scene.submit()
    scene.submit(namespace="home")
    assert {"running": 1, "queued": 1} == scene.store.runs.counts("default")
