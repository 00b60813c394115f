"""Schedules on a real file, with slots that a real scheduler has decided."""

from __future__ import annotations

from collections.abc import Callable

from flowctl.core.clock import SystemClock
from flowctl.core.model import Schedule
from flowctl.engine.scheduler import Scheduler
from flowctl.store import Store

HOUR = 3_600_000


def schedule_the_shop(flowctl: Callable[..., str]) -> None:
    """Register the workflows, and make the schedules `hourly` (of the shop, with page 3) and `tidy` (of a command)."""
    flowctl("workflows", "add", "flows.py")
    flowctl("schedules", "add", "hourly", "--every", "1h", "--workflow", "shop", "page:=3")
    flowctl("schedules", "add", "tidy", "--cron", "30 2 * * *", "--tz", "Asia/Tokyo", "--", "true")


def tick(db: str, *hours: float) -> None:
    """Let a scheduler look so many hours after `hourly` was made: that is due once in each of them."""
    with Store.open(db) as store:
        scheduler = Scheduler(store, SystemClock(), "boot")
        made_at = next(each.created_at for each in store.schedules.all("default") if each.name == "hourly")
        for each in hours:
            scheduler.tick(made_at + int(each * HOUR))


def schedule_of(db: str, name: str) -> Schedule | None:
    """Return a schedule as the file has it."""
    with Store.open(db, create=False, read_only=True) as store:
        return store.schedules.find("default", name)
