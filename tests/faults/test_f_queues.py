"""F. Limits of queues: kept by several engines, through deaths, and when they are changed under way."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.model import FINAL_STATES, NewRun
from flowctl.engine import commands, offers, timers
from flowctl.engine.claiming import Role
from flowctl.engine.engine import Engine
from flowctl.engine.queues import change_queue
from flowctl.engine.supervisor import Supervisor
from flowctl.sdk import processes
from flowctl.sdk.codec import canonical_hash
from flowctl.store import Store
from tests.conftest import ROOT
from tests.faults.hosted import Hosted, hosted, turn_until

SOURCE = """
@step
def work(host: str, ms: int) -> str:
    run = current_run().run
    note(f"begin {run} {time.monotonic_ns()}")
    while ms < 0 and not (HERE / "go").exists() and not (HERE / f"go-{run}").exists():
        time.sleep(0.005)
    time.sleep(max(ms, 0) / 1000)
    note(f"end {run} {time.monotonic_ns()}")
    return host

@workflow
def mail(host: str, ms: int = 0) -> str:
    return work(host, ms)
"""
FAMILY = """
@workflow
def child(n: int) -> int:
    return n + 1

@workflow
def parent() -> list:
    return [child(1), *gather(child.bind(2), child.bind(3))]
"""


class Lane:
    """A file with a queue, runs that note when they begin and end, and engines on it."""

    def __init__(self, host: Hosted, path: Path) -> None:
        self.host = host
        self.store: Store = host.store
        self.path = path
        template = self.store.runs.get(host.submit(path, host="a"))
        commands.cancel(self.store, template.id, SYSTEM_CLOCK.now())
        fields = {name: getattr(template, name) for name in NewRun._fields if hasattr(template, name)}
        self._template = NewRun(**fields | {"queue": "mail"})
        self._engines: list[subprocess.Popen[bytes]] = []

    def limit(self, **changes: Any) -> None:
        """Change limits as another process does: an engine does not notice what its own connection writes."""
        with Store.open(self.store.path) as other:
            change_queue(other, "default", "mail", changes, SYSTEM_CLOCK.now())

    def submit(self, count: int = 1, *, host: str = "a", ms: int = 0, **fields: Any) -> list[int]:
        text = json.dumps({"host": host, "ms": ms})
        new = self._template._replace(input=text, input_hash=canonical_hash(text), **fields)
        with self.store.transaction():
            return [self.store.runs.create(new, SYSTEM_CLOCK.now())[0] for _ in range(count)]

    def engine(self, capacity: int = 8) -> subprocess.Popen[bytes]:
        """Start an engine as a process of its own."""
        words = [sys.executable, "-m", "tests.faults.draining", self.store.path, str(capacity)]
        self._engines.append(subprocess.Popen(words, cwd=ROOT))
        return self._engines[-1]

    def close(self) -> None:
        tokens = [engine.token for engine in self.store.engines.running()]
        for process in self._engines:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
        for token in tokens:
            processes.kill_engine(token)

    def notes(self) -> list[tuple[str, int, int]]:
        """Return what bodies noted: "begin" or "end", the run, and the nanosecond, in this order of time."""
        path = self.path.parent / "ledger"
        lines = path.read_text().splitlines() if path.exists() else []
        found = [(words[0], int(words[1]), int(words[2])) for words in map(str.split, lines)]
        return sorted(found, key=lambda each: each[2])

    def begun(self) -> list[int]:
        return [run for what, run, _ in self.notes() if what == "begin"]

    def go(self, name: str = "go") -> None:
        (self.path.parent / name).touch()

    def states(self, runs: Iterable[int]) -> set[str]:
        return {self.store.runs.get(run).state for run in runs}

    def running(self) -> list[int]:
        return sorted(run.id for run in self.store.runs.running())


def most_at_once(notes: Iterable[tuple[str, int, int]]) -> int:
    """Return how many bodies ran at once at most."""
    now = most = 0
    for what, _, _ in notes:
        now += 1 if what == "begin" else -1
        most = max(most, now)
    return most


def wait_until(true: Callable[[], Any], seconds: float = 100) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def turn_for(engine: Engine, seconds: float) -> None:
    end = time.monotonic() + seconds
    turn_until(engine, lambda: time.monotonic() >= end)


@pytest.fixture
def lane(write: Callable[[str, str], Path]) -> Iterator[Lane]:
    with hosted() as host:
        lane = Lane(host, write("mail.py", SOURCE))
        try:
            yield lane
        finally:
            lane.close()
        assert [] == host.store.check(full=True)


# -- how many at once


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_f01_cap_never_exceeded_by_two_engines(lane: Lane, limit: int) -> None:
    lane.limit(concurrency=limit)
    runs = lane.submit(limit, ms=-1)  # which wait for each other: on a busy machine short bodies may not meet
    runs += [run for index in range(5 * limit) for run in lane.submit(ms=20 + 13 * index % 40)]
    for _ in range(2):
        lane.engine(capacity=4)
    wait_until(lambda: len(lane.begun()) == limit)
    lane.go()
    wait_until(lambda: lane.states(runs) == {"succeeded"})
    assert limit == most_at_once(lane.notes())
    assert sorted(runs) == sorted(lane.begun())


def test_f01_what_was_offered_before_a_queue_had_limits_does_not_begin_above_them(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offers, "QUICK_S", 60)
    monkeypatch.setattr(offers, "WITHDRAW_S", 60)
    runs = lane.submit(6)
    with lane.host.engine(role=Role(capacity=1)) as engine:
        turn_until(engine, lambda: offers.offered(engine))
        lane.limit(paused_at=SYSTEM_CLOCK.now())
        turn_until(engine, lambda: not engine.busy)
        left = [run for run in runs if lane.store.runs.get(run).state == "queued"]
        assert left
        turn_for(engine, 0.3)
        assert left == [run for run in runs if lane.store.runs.get(run).state == "queued"]
        lane.limit(paused_at=None)
        turn_until(engine, lambda: lane.states(runs) == {"succeeded"})
    assert sorted(runs) == sorted(set(lane.begun()))


def test_f02_a_killed_engine_leaves_no_place_taken(lane: Lane) -> None:
    lane.limit(concurrency=5)
    runs = lane.submit(12, ms=-1)
    for round_ in range(3):
        process = lane.engine()
        wait_until(lambda round_=round_: len(lane.begun()) == 5 * (round_ + 1))
        assert runs[:5] == lane.running()
        process.send_signal(signal.SIGKILL)
        process.wait()
    lane.go()
    lane.engine()
    wait_until(lambda: lane.states(runs) == {"succeeded"})
    assert ([], set(runs)) == (lane.running(), set(lane.begun()))


def test_f05_one_key_is_serial_and_others_are_parallel(lane: Lane) -> None:
    lane.limit(key="input.host", key_limit=1)
    hosts = {run: host for ms in (-1, 60, 60, 60) for host in "abcd" for run in lane.submit(host=host, ms=ms)}
    for _ in range(2):
        lane.engine(capacity=3)
    wait_until(lambda: len(lane.begun()) == 4)
    lane.go()
    wait_until(lambda: lane.states(hosts) == {"succeeded"})
    of_host = defaultdict(list)
    for note in lane.notes():
        of_host[hosts[note[1]]].append(note)
    assert dict.fromkeys("abcd", 1) == {host: most_at_once(notes) for host, notes in of_host.items()}
    assert most_at_once(lane.notes()) >= 4


# -- how many in a time


def test_f03_a_rate_holds_in_every_window_with_two_engines_and_a_kill(lane: Lane) -> None:
    lane.limit(rate=10, rate_ms=1000)
    runs = lane.submit(26)
    first, _ = lane.engine(), lane.engine()
    wait_until(lambda: len(lane.begun()) >= 5)
    first.send_signal(signal.SIGKILL)
    wait_until(lambda: lane.states(runs) == {"succeeded"})
    begun_at = [at for (at,) in lane.store.connection.rows("SELECT at FROM events WHERE state = 'running' ORDER BY at")]
    assert len(begun_at) >= 26
    spans = [later - earlier for earlier, later in zip(begun_at, begun_at[10:], strict=False)]
    assert min(spans) >= 1000
    assert max(begun_at) - min(begun_at) < 90_000


# -- in which order


def test_f04_priority_and_then_age_whichever_engine_takes_them(lane: Lane) -> None:
    lane.limit(concurrency=1)
    priorities = [0, 5, -3, 5, 0, 9, 1, 0]
    runs = [run for priority in priorities for run in lane.submit(priority=priority)]
    for _ in range(2):
        lane.engine()
    wait_until(lambda: lane.states(runs) == {"succeeded"})
    order = sorted(runs, key=lambda run: (-priorities[runs.index(run)], run))
    assert order == lane.begun()


def test_f04_a_free_queue_is_not_kept_waiting_by_a_full_one(lane: Lane) -> None:
    lane.limit(concurrency=1)
    blocked = lane.submit(20, ms=-1, priority=9)
    other = lane.submit(queue="other")
    with lane.host.engine(role=Role(capacity=2)) as engine:
        turn_until(engine, lambda: lane.states(other) == {"succeeded"})
        assert blocked[:1] == lane.running()
        engine.stop()
        engine.stop()


# -- families


def test_f06_parent_and_child_in_a_queue_of_one_neither_lock_nor_linger(
    write: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timers, "HOLD_MS", 3_600_000)  # whoever waits for it would wait for an hour
    with hosted() as host:
        change_queue(host.store, "default", "default", {"concurrency": 1}, SYSTEM_CLOCK.now())
        number = host.submit(write("parent.py", FAMILY))
        with host.engine() as engine:
            engine.drain()
        assert ("succeeded", "[2,3,4]") == (host.store.runs.get(number).state, host.store.runs.get(number).output)
        assert [] == host.store.check(full=True)


def test_f06_a_parent_whose_child_runs_keeps_its_executor(
    write: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timers, "HOLD_MS", 3_600_000)  # however slowly the child begins
    with hosted() as host:
        number = host.submit(write("parent.py", FAMILY))
        with host.engine() as engine:
            engine.drain()
        events = [event.state for event in host.store.events.of_run(number)]
        assert ["queued", "running", "succeeded"] == events


# -- live


def test_f07_a_lower_limit_kills_nothing_and_counts_at_once(lane: Lane) -> None:
    lane.limit(concurrency=5)
    runs = lane.submit(8, ms=-1)
    with lane.host.engine() as engine:
        turn_until(engine, lambda: len(lane.begun()) == 5)
        lane.limit(concurrency=1)
        turn_for(engine, 0.3)
        assert runs[:5] == lane.running()
        for run in runs[:4]:
            lane.go(f"go-{run}")
        turn_until(engine, lambda: lane.running() == [runs[4]])
        turn_for(engine, 0.3)
        assert ([runs[4]], 5) == (lane.running(), len(lane.begun()))
        lane.go()
        turn_until(engine, lambda: lane.states(runs) == {"succeeded"})
    assert 1 == most_at_once([note for note in lane.notes() if note[1] in runs[5:]])
    assert sorted(runs) == sorted(lane.begun())


def test_f07_a_paused_queue_drains_and_begins_nothing_until_it_is_resumed(lane: Lane) -> None:
    lane.limit(concurrency=2)
    runs = lane.submit(4, ms=-1)
    with lane.host.engine() as engine:
        turn_until(engine, lambda: len(lane.begun()) == 2)
        lane.limit(paused_at=SYSTEM_CLOCK.now())
        lane.go()
        turn_until(engine, lambda: lane.states(runs[:2]) == {"succeeded"})
        turn_for(engine, 0.3)
        assert {"queued"} == lane.states(runs[2:])
        lane.limit(paused_at=None)
        turn_until(engine, lambda: lane.states(runs) == {"succeeded"})


# -- labels and sleepers


def test_a_run_is_taken_only_by_an_engine_that_has_what_it_requires(lane: Lane) -> None:
    gpu, ram = (lane.submit(options={"requires": [label]})[0] for label in ("gpu", "ram=32"))
    plain = lane.submit()[0]

    def finished() -> list[int]:
        return [run for run in (gpu, ram, plain) if lane.store.runs.get(run).state in FINAL_STATES]

    for labels, expected in (
        ((), [plain]),
        (("ram=64",), [plain]),
        (("gpu",), [gpu, plain]),
        (("ram=32", "ssd"), [gpu, ram, plain]),
    ):
        with Engine(lane.store, Supervisor(), role=Role("daemon", labels)) as engine:
            engine.drain()
        assert expected == finished()


def test_a_run_that_a_person_follows_here_begins_here_whatever_it_requires(lane: Lane) -> None:
    (number,) = lane.submit(options={"requires": ["gpu"]})
    with lane.host.engine() as engine:
        assert "succeeded" == engine.follow(number).state


def test_d10_a_flood_of_sleepers_respects_the_limit(lane: Lane) -> None:
    lane.limit(concurrency=3)
    soon = SYSTEM_CLOCK.now() + 300
    runs = lane.submit(120, wake_at=soon)
    with lane.host.engine(role=Role(capacity=6)) as engine:
        turn_until(engine, lambda: lane.states(runs) == {"succeeded"})
    assert sorted(runs) == sorted(lane.begun())
    assert most_at_once(lane.notes()) <= 3
    assert soon <= min(lane.store.runs.get(run).started_at or 0 for run in runs)
