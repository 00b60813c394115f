"""A02: random kills, and nothing lost, recorded twice, or left over. The long form is `make soak`."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.soak.__main__ import soak
from tests.soak.judgement import table, wrong_in_ledger
from tests.soak.world import RUNS, STEPS, Body

KILLS = 20


def test_a02_killed_at_random_moments_everything_is_recorded_once_and_comes_to_its_end(tmp_path: Path) -> None:
    figures = soak(KILLS, seed=3, folder=tmp_path, tell=lambda _: None)

    assert figures.clean, table(figures)
    assert KILLS == figures.kills.total()
    assert 0 < figures.runs <= 20 * RUNS
    assert figures.runs * STEPS <= figures.bodies <= figures.runs * STEPS + KILLS
    assert figures.restarts
    assert figures.replacements


def body(run: int, place: int, attempt: int = 1, alone: int = 1) -> Body:
    return Body(run, place, attempt, 100, time.monotonic_ns(), alone)


@pytest.mark.parametrize(
    ("kind", "bodies"),
    [
        ("lost", [body(1, 0), body(1, 1), body(1, 0, attempt=2)]),
        ("executed too often", [body(1, 0), body(1, 0)]),
        ("executed too often", [body(1, 0), body(1, 0, attempt=2), body(1, 0, attempt=3)]),
        ("overlapping", [body(1, 0), body(1, 0, attempt=2, alone=0)]),
    ],
)
def test_a02_a_soak_sees_what_must_not_be(kind: str, bodies: list[Body]) -> None:
    assert {kind} == {found for found, _ in wrong_in_ledger(bodies, kills=1)}


def test_a02_a_soak_sees_nothing_in_a_body_that_ran_again_after_a_kill() -> None:
    bodies = [body(1, 0), body(2, 0), body(1, 1), body(1, 1, attempt=2), body(1, 2)]

    assert [] == list(wrong_in_ledger(bodies, kills=1))
