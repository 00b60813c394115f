"""`flowctl schedules backfill` where there is nothing to fill: it says why."""

from __future__ import annotations

from flowctl.core.clock import SystemClock
from flowctl.engine.scheduler import Scheduler
from flowctl.store import Store

ALL = ("--from", "2020-01-01", "--dry-run")


def said(quick, name: str, *words: str) -> str:
    """Return why no slot of a schedule would be filled."""
    text: str = quick("schedules", "backfill", name, *words).stderr
    return text.strip()


def test_what_no_clock_makes_due_has_no_slots_to_fill(quick, tmp_path) -> None:
    quick("schedules", "add", "boot", "--cron", "@reboot", "--", "true")
    quick("schedules", "add", "inbox", "--on-change", "in/*", "--", "true")
    assert "it has no slots by the clock: it is due @reboot" == said(quick, "boot", *ALL)
    assert f"it has no slots by the clock: it is due when {tmp_path}/in/* changes" == said(quick, "inbox", *ALL)
    assert [] == quick("schedules", "backfill", "boot", *ALL, "--json").json


def test_a_slot_that_is_due_and_not_decided_is_the_daemon_s(quick, tmp_path) -> None:
    quick("schedules", "add", "past", "--once", "2020-01-31T09:30", "--tz", "UTC", "--", "true")
    undecided = "the slot of 2020-01-31 09:30:00 UTC is not decided yet: flowctl daemon does that"
    assert undecided == said(quick, "past", *ALL)
    assert undecided == said(quick, "past", "--from", "2020-01-31T09:30", "--dry-run")
    with Store.open(tmp_path / ".xdg" / "state" / "flowctl" / "flowctl.db") as store:
        Scheduler(store, SystemClock(), "boot").tick(SystemClock().now())
    assert "every slot of that time has its run" == said(quick, "past", *ALL)


def test_a_span_without_a_slot_says_so(quick) -> None:
    quick("schedules", "add", "yearly", "--cron", "@yearly", "--tz", "UTC", "--", "true")
    span = ("--from", "2020-02-01", "--to", "2020-03-01")
    assert "no slot is due in that time" == said(quick, "yearly", *span, "--yes")
    backwards = ("--from", "2020-03-01", "--to", "2020-02-01")
    assert "there is no past between" in quick("schedules", "backfill", "yearly", *backwards, code=2).stderr
