"""The word to stop: what runs may end, and nothing begins after it."""

from __future__ import annotations

import textwrap
from pathlib import Path

from tests.faults.hosted import hosted

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


def test_a14_no_step_begins_after_the_word_to_stop_though_it_was_asked_for_before_that_was_heard(
    tmp_path: Path,
) -> None:
    path = tmp_path / "chain.py"
    path.write_text(textwrap.dedent(SOURCE))
    with hosted() as host:
        number = host.submit(path)
        with host.engine() as engine:
            engine.tick()
            while [step.state for step in host.store.steps.of_run(number)] != ["running"]:
                engine.listen(0.05)
                engine.tick()
            engine.listen(60)  # the end of the first step, and that the second one is asked for
            engine.stop()
            while engine.busy:
                engine.tick()
                engine.listen(0.05)
        assert ["succeeded"] == [step.state for step in host.store.steps.of_run(number)]
        assert "paused" == host.store.runs.get(number).state
        assert not (tmp_path / "second").exists()
        assert [] == host.store.check(full=True)
