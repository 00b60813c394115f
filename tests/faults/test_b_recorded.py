"""B: a step has one outcome, recorded once, whatever fails or races while it is recorded."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from pathlib import Path

import pytest

from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import DiskTrouble
from flowctl.core.model import FINAL_STATES, Claim
from flowctl.engine import commands
from flowctl.store import Store
from tests.faults.conftest import Bench
from tests.faults.hosted import Hosted, MovedClock, hosted, summary, trouble
from tests.faults.seen import CHAIN, LEDGER, ONCE, WAITING, attempts_of, stopped

EVERYTHING = """
@step(retries=1, backoff=0)
def flaky(run: int) -> int:
    note(f"flaky {run}")
    if (HERE / "ledger").read_text().split("\\n").count(f"flaky {run}") == 1:
        raise OSError("once")
    return 2

@step
def plain(run: int, n: int) -> int:
    note(f"plain {run}")
    return n

@workflow
def child(run: int) -> int:
    return plain(run, 5)

@workflow
def everything() -> int:
    run = current_run().run
    total = sum(gather(plain.bind(run, 1), plain.bind(run, 1)))
    sleep("5m")
    return total + flaky(run) + child(run)
"""
BODIES = {"plain": 3, "flaky": 2}
SUMMARY = (
    "succeeded",
    dict.fromkeys(["plain", "plain#2", "sleep", "flaky", "child"], "succeeded"),
    {"flaky": ["failed"]},
)


def _follow_under_trouble(bench: Bench, after_commit: bool) -> int:
    """Work on one run for each write (or commit) there is, with trouble at that one; return how many there are."""
    clock = MovedClock(speed=3000)
    with hosted() as host, host.engine(clock) as engine:
        number = host.submit(bench.write("everything.py", EVERYTHING))
        for nth in range(1, 500):
            with trouble(host.store, nth.__eq__, after_commit=after_commit) as count:
                run = engine.follow(number)
            assert (nth, run.output, run.error) == (nth, "9", None)
            assert (nth, *summary(host.store, run)) == (nth, *SUMMARY)
            noted = Counter(line.split()[0] for line in bench.ledger() if line.split()[1] == str(number))
            assert (nth, noted) == (nth, BODIES)
            states = [event.state for event in host.store.events.of_run(number)]
            assert (nth, states.count("succeeded")) == (nth, 1)
            if count[0] < nth:
                return nth
            number = host.again(number)
    raise AssertionError("the run never ended without trouble")


def test_b02_whichever_write_fails_once_nothing_is_lost_and_no_body_runs_twice(bench: Bench) -> None:
    assert _follow_under_trouble(bench, after_commit=False) > 25


def test_b03_a_commit_that_happened_although_it_was_reported_as_failed_is_not_done_again(bench: Bench) -> None:
    assert _follow_under_trouble(bench, after_commit=True) > 8
