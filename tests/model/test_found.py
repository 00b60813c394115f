"""What the model has found, each as small as it gets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flowctl.core.model import Claim
from flowctl.engine import recovery
from flowctl.store import Store
from tests.store.scene import Scene

LATER = 2_000_000


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Store.open(tmp_path / "flow.db") as store:
        yield Scene(store)


def held_by(scene: Scene, engine: int, run: int) -> Claim:
    found = scene.write(lambda: scene.store.runs.claim(run, engine, scene.now))
    return Claim(run, found.epoch)


def with_child(scene: Scene, engine: int) -> tuple[Claim, int]:
    """Return the claim on a run that an engine works on, and the run that one of its steps waits for."""
    parent = held_by(scene, engine, scene.submit())
    scene.begin(parent, "part", 1, kind="child")
    return parent, scene.submit(parent_id=parent.run_id, parent_step="part", root_id=parent.run_id)


def states(scene: Scene) -> list[str]:
    return [run.state for run in scene.store.runs.family(1)]


def test_a04_a_run_that_is_given_up_takes_the_child_along_that_died_with_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "CRASH_LIMIT", 2)
    first, second = scene.engine(), scene.engine()
    parent, child = with_child(scene, first)
    recovery.retire(scene.store, first, scene.now)
    held_by(scene, second, parent.run_id)
    held_by(scene, second, child)

    recovery.retire(scene.store, second, LATER)

    assert states(scene) == ["failed", "cancelled"]


def test_g01_a_cancelled_run_whose_engine_dies_takes_the_child_along_that_it_started_meanwhile(scene: Scene) -> None:
    engine = scene.engine()
    parent, _ = with_child(scene, engine)
    scene.write(lambda: scene.store.runs.request(parent.run_id, "cancel", scene.now))

    recovery.retire(scene.store, engine, LATER)

    assert states(scene) == ["cancelled", "cancelled"]
