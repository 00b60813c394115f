"""Schedulers that race and die, many schedules, and two days with everything that happens to a laptop."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from flowctl.core.planning import rule_of
from flowctl.core.recurrence import slots
from flowctl.store import Store
from flowctl.store.schedules import SQL
from tests.engine.rhythm import DAY, HOUR, MINUTE, SECOND, START, Rhythm

# Ticks until the clock that it is given has gone through the hours, whatever the others do meanwhile.
TICKING = """
import sys
from flowctl.core.clock import SystemClock
from flowctl.engine.scheduler import Scheduler
from flowctl.store import Store

path, start, end = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with Store.open(path) as store:
    scheduler = Scheduler(store, SystemClock(), "boot-1")
    print("ready", flush=True)
    sys.stdin.readline()
    for now in range(start, end + 1, 60_000):
        scheduler.tick(now)
"""


def ticking(path: Path, end: int, **env: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", TICKING, str(path / "flow.db"), str(START), str(end)]
    return subprocess.Popen(words, env={**os.environ, **env}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def go(*processes: subprocess.Popen[str]) -> list[int]:
    """Let processes that are ready begin together, and return their exit codes."""
    for process in processes:
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    try:
        for process in processes:
            process.communicate(timeout=100)
    finally:
        for process in processes:
            process.kill()
    return [process.returncode for process in processes]


def test_e01_two_schedulers_on_one_file_make_one_run_for_each_slot(rhythm: Rhythm) -> None:
    names = [f"s{number}" for number in range(5)]
    for name in names:
        rhythm.add(name, "*/5 * * * *", overlap="allow")
    end = START + 4 * HOUR
    assert [0, 0] == go(ticking(rhythm.path, end), ticking(rhythm.path, end))
    expected = [START + number * 5 * MINUTE for number in range(1, 49)]
    for name in names:
        assert expected == [run.due_at for run in rhythm.runs(name)]
        assert [(slot, "fired") for slot in expected] == [(slot.due_at, slot.outcome) for slot in rhythm.slots(name)]


@pytest.mark.parametrize("place", ["slots-recorded", "schedule-planned"])
@pytest.mark.parametrize("count", [1, 3])
def test_e02_a_scheduler_that_dies_while_it_plans_neither_loses_nor_doubles_a_slot(
    rhythm: Rhythm, place: str, count: int
) -> None:
    rhythm.add(overlap="allow")
    end = START + 5 * HOUR
    dying = ticking(rhythm.path, end, FLOWCTL_TESTING="1", FLOWCTL_FAILPOINT=f"{place}@{count}:kill")
    assert [-9] == go(dying)
    planned = count if place == "schedule-planned" else count - 1
    assert (planned, planned) == (len(rhythm.runs()), len(rhythm.slots()))
    assert [0] == go(ticking(rhythm.path, end))
    assert [START + hour * HOUR for hour in range(1, 6)] == [run.due_at for run in rhythm.runs()]
    assert ["fired"] * 5 == rhythm.outcomes()


def test_of_ten_thousand_schedules_a_tick_touches_those_that_are_due(rhythm: Rhythm) -> None:
    with rhythm.store.transaction():
        for number in range(10_000):
            due = START + (MINUTE if number % 4_000 == 0 else DAY)
            rhythm.store.schedules.add(rhythm.new(f"s{number}"), START, planned_to=START, next_at=due)
    raw = rhythm.store.connection.raw
    read: list[str] = []
    raw.exec_trace = lambda _cursor, sql, _bindings: bool(read.append(sql)) or True
    try:
        rhythm.clock.pass_time(HOUR)
        assert START + 2 * HOUR == rhythm.scheduler.tick(rhythm.clock.wall)
    finally:
        raw.exec_trace = None
    assert 3 == sum("INSERT INTO runs" in sql for sql in read)
    assert 3 == sum("FROM schedules WHERE id = " in sql for sql in read)
    assert len(read) < 80, len(read)
    for name in ("due", "next_due_at"):
        plan = [
            row[3] for row in rhythm.store.connection.rows(f"EXPLAIN QUERY PLAN {SQL[name]}", {"now": 1, "limit": 1})
        ]
        assert any("schedules_next" in line for line in plan), plan


def live_two_days(rhythm: Rhythm, seed: int) -> None:
    """Let a laptop be closed, switched off, set back and forward, over the night in which summer time ends."""
    dice = Random(seed)
    end = rhythm.clock.wall + 2 * DAY
    while rhythm.clock.wall < end:
        match dice.choice(["run", "run", "suspend", "off", "back", "forward", "finish"]):
            case "run":
                rhythm.run_for(dice.randrange(MINUTE, 2 * HOUR))
            case "suspend":
                rhythm.clock.suspend(dice.randrange(MINUTE, 6 * HOUR))
                rhythm.look()
            case "off":
                rhythm.be_off(dice.randrange(MINUTE, 6 * HOUR))
            case "back":
                rhythm.clock.wall -= dice.randrange(SECOND, HOUR)
                rhythm.look()
            case "forward":
                rhythm.clock.wall += dice.randrange(SECOND, HOUR)
                rhythm.look()
            case "finish":
                for name in ("real", "fixed", "every", "all"):
                    rhythm.end_all(dice.choice(["succeeded", "failed"]), name)
        for name in ("real", "fixed", "every"):
            assert rhythm.may_run(name) <= 1, name


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_p11_two_days_with_suspends_jumps_and_a_dst_night_give_each_slot_one_row(tmp_path: Path, seed: int) -> None:
    rhythm = Rhythm(tmp_path, now=1_793_404_800_000)  # 2026-10-31T00:00Z: in New York clocks go back in the next night
    zone = "America/New_York"
    rhythm.add("real", "*/30 * * * *", zone=zone, overlap="queue")
    rhythm.add("fixed", "30 1 * * *", zone=zone, overlap="skip", catch_up="all")
    rhythm.add("every", "7m", kind="every", zone=zone, overlap="replace")
    rhythm.add("all", "*/20 * * * *", zone=zone, overlap="allow", catch_up="all", jitter_ms=5 * MINUTE)
    start = rhythm.clock.wall
    live_two_days(rhythm, seed)
    rhythm.look()
    for name in ("real", "fixed", "every", "all"):
        schedule = rhythm.schedule(name)
        ledger = rhythm.slots(name)
        expected = list(slots(rule_of(schedule), start, schedule.planned_to))
        assert expected == [slot.due_at for slot in ledger], name
        runs = [run.due_at for run in rhythm.runs(name)]
        assert [slot.due_at for slot in ledger if slot.outcome == "fired"] == runs, name
        assert {1} == set(Counter(runs).values()), name
        for slot in ledger:
            assert slot.outcome == "fired" or slot.reason, slot
    assert [] == rhythm.store.check()
    rhythm.store.close()


def test_a_reader_that_looks_while_a_slot_fires_sees_the_row_with_its_run(rhythm: Rhythm) -> None:
    rhythm.add()
    rhythm.run_for(HOUR)
    with Store.open(rhythm.path / "flow.db", read_only=True) as reader:
        [slot] = reader.schedules.slots(rhythm.schedule().id, limit=10)
        assert reader.runs.get(slot.run_id or 0).due_at == slot.due_at
