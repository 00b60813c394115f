"""What a person asks while the engine is about to write: it is done, and not forgotten, whichever write it precedes."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.engine import commands
from flowctl.store import Store
from tests.faults.hosted import hosted

SLEEPY = """
from flowctl import sleep, workflow

@workflow
def sleepy() -> None:
    sleep("1h")
"""


@pytest.mark.parametrize("place", range(1, 8))
def test_g01_a_cancel_just_before_a_commit_of_the_engine_is_not_forgotten(place: int, tmp_path: Path) -> None:
    path = tmp_path / "sleepy.py"
    path.write_text(SLEEPY)
    with hosted() as host, Store.open(host.store.path) as person:
        number = host.submit(path)
        begun, begin = [0], host.store.transaction

        def begin_after_the_person() -> AbstractContextManager[None]:
            begun[0] += 1
            if begun[0] == place:
                commands.cancel(person, number, SYSTEM_CLOCK.now())
            return begin()

        def give_up() -> None:
            if person.runs.get(number).state == "sleeping" and begun[0] >= place:
                engine.stop()

        engine = host.engine(on_idle=give_up)
        host.store.transaction = begin_after_the_person  # type: ignore[method-assign]
        with engine:
            run = engine.follow(number)

    assert (run.state, begun[0] >= place) == ("cancelled", True)
