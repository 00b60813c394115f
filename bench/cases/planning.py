"""What the scheduler costs: a month of minutes at once, and a look at many schedules of which few or none are due."""

from __future__ import annotations

from pathlib import Path

from bench.measuring import clock
from bench.model import Case, Figures, Goal
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.model import NewSchedule
from flowctl.engine.scheduler import Scheduler
from flowctl.store import Store

START = 1_767_225_600_000  # 2026-01-01 in UTC
MINUTE, DAY = 60_000, 86_400_000
DUE = 3
MINUTELY = NewSchedule("minutely", "cron", "* * * * *", '{"argv":["true"]}', "/", zone="UTC", catch_up="all")

CASE = Case(
    name="planning",
    about="43,200 missed minutes planned and written; a tick over 10,000 schedules with three due, and with none",
    figures={"month": "ms", "tick": "ms", "nothing_due": "ms"},
    contenders=("flowctl",),
    size=10_000,
    quick=1_000,
    goals=(Goal("month", 200, at_most=True),),
)


def measure(_contender: str, size: int, folder: Path) -> Figures:
    """Return how long one tick takes in each of the three."""
    with Store.open(folder / "month.db") as store:
        _add(store, MINUTELY, START + MINUTE)
        month = _tick(Scheduler(store, SYSTEM_CLOCK, ""), START + 30 * DAY)
    with Store.open(folder / "many.db") as store:
        with store.transaction():
            for number in range(size):
                due = START + (MINUTE if number < DUE else DAY)
                store.schedules.add(MINUTELY._replace(name=f"s{number}"), START, planned_to=START, next_at=due)
        scheduler = Scheduler(store, SYSTEM_CLOCK, "")
        scheduler.tick(START)
        return {
            "month": month,
            "tick": _tick(scheduler, START + MINUTE),
            "nothing_due": _tick(scheduler, START + MINUTE + 1),
        }


def _add(store: Store, new: NewSchedule, next_at: int) -> None:
    with store.transaction():
        store.schedules.add(new, START, planned_to=START, next_at=next_at)


def _tick(scheduler: Scheduler, now: int) -> float:
    began = clock()
    scheduler.tick(now)
    return (clock() - began) * 1000
