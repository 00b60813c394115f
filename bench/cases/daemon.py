"""A warm daemon: from enqueueing in another process to the step's body, and what it costs while nothing is due."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench.hosting import Host, host
from bench.measuring import clock, percentile, resident_mib, wait_until
from bench.model import Case, Figures, Goal
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.model import NewSchedule
from flowctl.core.notices import Channel
from flowctl.engine import schedules
from flowctl.engine.doorbell import ring

SCHEDULES = 100
IDLE_S = 20.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")

CASE = Case(
    name="daemon",
    about=f"start latency in a warm daemon, and its cost while it idles with {SCHEDULES} schedules and a channel",
    figures={"p50": "ms", "p99": "ms", "rss": "MiB", "idle": "% of a core"},
    contenders=("flowctl",),
    size=200,
    quick=50,
    goals=(
        Goal("p50", 3, at_most=True),
        Goal("p99", 15, at_most=True),
        Goal("rss", 32, at_most=True),
        Goal("idle", 0.2, at_most=True),
    ),
)


def measure(_contender: str, size: int, folder: Path) -> Figures:
    """Return latencies, and memory and processor time of the idle daemon."""
    with host(folder) as flowctl:
        _make_schedules(flowctl)
        _make_channel(flowctl)
        with _daemon(folder) as pid:
            _latencies(flowctl, 10)  # its executor is warm then
            found = sorted(_latencies(flowctl, size))
            began, used = clock(), _used_s(pid)
            time.sleep(IDLE_S)
            idle = (_used_s(pid) - used) / (clock() - began)
            return {
                "p50": percentile(found, 50) * 1000,
                "p99": percentile(found, 99) * 1000,
                "rss": resident_mib(pid),
                "idle": idle * 100,
            }


def _make_schedules(flowctl: Host) -> None:
    for count in range(SCHEDULES):
        new = NewSchedule(f"nightly{count}", "cron", "30 2 1 1 *", '{"argv": ["true"]}', "/")
        schedules.add(flowctl.store, new, SYSTEM_CLOCK.now())


def _make_channel(flowctl: Host) -> None:
    new = Channel(0, "default", "me", "command", {"command": "true"}, workflow=None, failures=1, created_at=0)
    with flowctl.store.transaction():
        flowctl.store.notices.add_channel(new, SYSTEM_CLOCK.now())


def _latencies(flowctl: Host, count: int) -> Iterator[float]:
    """Yield the seconds from before the run is enqueued until its step's body runs."""
    for _ in range(count):
        new = flowctl.new_run("clocked")
        began = clock()
        number = flowctl.submit(new)
        ring(flowctl.store.path)
        wait_until(partial(_has_ended, flowctl, number))
        yield json.loads(flowctl.store.runs.get(number).output or "0") - began


def _has_ended(flowctl: Host, number: int) -> bool:
    time.sleep(0.02)  # whoever asks all the time takes the processor from what is measured
    return flowctl.store.runs.get(number).state == "succeeded"


@contextmanager
def _daemon(folder: Path) -> Iterator[int]:
    words = [sys.executable, "-m", "flowctl", "--db", str(folder / "flowctl.db")]
    started = subprocess.run([*words, "daemon", "start", "--json"], stdout=subprocess.PIPE, text=True, check=True)
    try:
        yield int(json.loads(started.stdout)["pid"])
    finally:
        subprocess.run([*words, "daemon", "stop", "--now"], stdout=subprocess.DEVNULL, check=True)


def _used_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S
