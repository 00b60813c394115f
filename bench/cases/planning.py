"""The scheduler: a tick costs what is due, not what exists; a month of missed minutes is planned at once."""

from __future__ import annotations

from pathlib import Path

from bench.measuring import clock
from bench.model import Case, Figures, Goal
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.model import NewSchedule
from flowctl.engine import schedules
from flowctl.engine.scheduler import Scheduler
from flowctl.store import Store

DUE = 10
MONTH_MS = 43_200 * 60_000
NOW = 1_800_000_000_000 - 1_800_000_000_000 % 60_000

CASE = Case(
    name="planning",
    about=f"a tick in which {DUE} schedules are due, among few and among many; 43,200 missed minutes",
    figures={"few": "ms", "many": "ms", "times": "", "month": "ms"},
    contenders=("flowctl",),
    size=10_000,
    quick=1_000,
    goals=(Goal("times", 2, at_most=True), Goal("month", 200, at_most=True)),
)


def measure(_contender: str, size: int, folder: Path) -> Figures:
    """Return how long ticks take with few and with many schedules, and the planning of a month."""
    few, many = (_tick_ms(folder / f"{count}.db", count) for count in (DUE, size))
    return {"few": few, "many": many, "times": many / few, "month": _month_ms(folder / "month.db")}


def _tick_ms(path: Path, count: int) -> float:
    with Store.open(path) as store:
        with store.transaction():
            for number in range(count):
                expression = "* * * * *" if number < DUE else "30 2 1 1 *"
                schedules.add_within(store, _new(f"s{number}", expression), NOW)
        scheduler = Scheduler(store, SYSTEM_CLOCK, "boot")
        scheduler.tick(NOW)
        return min(_timed(scheduler, NOW + 60_000 * minute) for minute in range(1, 6))


def _month_ms(path: Path) -> float:
    with Store.open(path) as store:
        with store.transaction():
            schedules.add_within(store, _new("minutely", "* * * * *")._replace(catch_up="all"), NOW)
        scheduler = Scheduler(store, SYSTEM_CLOCK, "boot")
        return _timed(scheduler, NOW + MONTH_MS)


def _timed(scheduler: Scheduler, now: int) -> float:
    began = clock()
    scheduler.tick(now)
    return (clock() - began) * 1000


def _new(name: str, expression: str) -> NewSchedule:
    return NewSchedule(name, "cron", expression, '{"argv": ["true"]}', "/", overlap="allow")
