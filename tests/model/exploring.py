"""How the machine is run: so many rule calls, from a seed, in batches that keep hypothesis's memory small."""

from __future__ import annotations

import functools
import itertools
import tempfile
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.rules import Machine
from tests.model.statistics import Statistics

STEPS = 60  # rules in one example
BATCH = 60  # examples

SETTINGS = settings(
    max_examples=BATCH,
    stateful_step_count=STEPS,
    database=None,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
    print_blob=False,
    report_multiple_bugs=False,
)


def explore(rules: int, first_seed: int, tell: Callable[[str], None] = lambda _: None) -> Statistics:
    """Make at least so many rule calls and return what was seen. Raises what the machine finds, made small.

    It goes on, to three times as many, until everything that should be seen was seen: the rarest is a step that fails
    while it is interrupted, once in some five thousand calls. Tells how to begin each batch again.
    """
    statistics = Statistics()
    with tempfile.TemporaryDirectory() as folder:
        for batch in itertools.count(first_seed):
            left = rules - statistics.rules
            if left <= 0 and (not statistics.never_done() or left <= -2 * rules):
                break
            tell(f"{statistics.rules} rule calls; the next ones again: python -m tests.model --rules 1 --seed {batch}")
            machine: Any = functools.partial(Machine, folder, statistics)  # anything that makes one will do
            run_state_machine_as_test(seed(batch)(machine), settings=SETTINGS)
    return statistics
