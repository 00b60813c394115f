"""The word to stop: what runs may end, and nothing begins after it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowctl.core.model import Claim
from flowctl.engine.engine import Engine
from tests.faults.hosted import Hosted, hosted

SOURCE = """
from flowctl import step, workflow

@step
def first() -> int:
    return 1

@step
def second(n: int) -> int:
    (__import__("pathlib").Path(__file__).parent / "second").touch()
    return n + 1

@workflow
def chain() -> int:
    return second(first())
"""


@pytest.fixture
def said(tmp_path: Path) -> Iterator[tuple[Hosted, Engine, int]]:
    """An engine that has heard the end of a run's first step, and that the second is asked for, and has not turned."""
    path = tmp_path / "chain.py"
    path.write_text(textwrap.dedent(SOURCE))
    with hosted() as host:
        number = host.submit(path)
        with host.engine() as engine:
            engine.tick()
            while [step.state for step in host.store.steps.of_run(number)] != ["running"]:
                engine.listen(0.05)
                engine.tick()
            engine.listen(60)
            yield host, engine, number
        assert [] == host.store.check(full=True)


def turn_to_the_end(engine: Engine) -> None:
    """Have the engine turn until it works on nothing."""
    while engine.busy:
        engine.tick()
        engine.listen(0.05)


def test_a14_no_step_begins_after_the_word_to_stop_though_it_was_asked_for_before_that_was_heard(
    said: tuple[Hosted, Engine, int], tmp_path: Path
) -> None:
    host, engine, number = said
    engine.stop()
    turn_to_the_end(engine)
    assert ["succeeded"] == [step.state for step in host.store.steps.of_run(number)]
    assert "paused" == host.store.runs.get(number).state
    assert not (tmp_path / "second").exists()


def test_a14_what_was_said_before_a_second_word_to_stop_counts_though_that_comes_during_the_turn(
    said: tuple[Hosted, Engine, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    host, engine, number = said
    require = host.store.steps.require

    def press(claim: Claim) -> None:
        monkeypatch.undo()
        engine.stop()
        require(claim)

    monkeypatch.setattr(host.store.steps, "require", press)  # at the beginning of a turn
    engine.look_for_runs()
    engine.stop()
    turn_to_the_end(engine)
    assert ["succeeded"] == [step.state for step in host.store.steps.of_run(number)]
    assert "paused" == host.store.runs.get(number).state
