"""The store and the commands do what a model of plain dicts says, whatever people, engines, time and the disk do."""

from __future__ import annotations

import faulthandler
import sys

import pytest

from tests.model.exploring import explore

RULES = 15_000  # `make model` makes as many as you like
LONGEST_S = 480  # a batch, and the search for the smallest form of what it has found


@pytest.mark.slow
def test_the_store_and_the_commands_do_what_the_model_says(capfd: pytest.CaptureFixture[str]) -> None:
    """P1-P6, P8, P9, P12-P16, P18, P20, P21 after every operation, and that every run can be brought to its end."""

    def more_time(_: str) -> None:
        faulthandler.dump_traceback_later(LONGEST_S, exit=True, file=sys.stderr)

    with capfd.disabled():  # the report of a hang is to be seen
        statistics = explore(RULES, first_seed=50, tell=more_time)

    assert statistics.rules >= RULES
    assert statistics.never_done() == []
