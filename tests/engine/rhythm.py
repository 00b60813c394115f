"""A file with schedules, a clock that is moved, and a scheduler that looks; the engine is imitated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flowctl.core.clock import SystemClock
from flowctl.core.listing import RunFilter
from flowctl.core.model import (
    Claim,
    NewEngine,
    NewSchedule,
    NewWorkflow,
    Run,
    Schedule,
    Slot,
    Snapshot,
    code_of,
)
from flowctl.core.policy import error_text
from flowctl.engine import schedules
from flowctl.engine.scheduler import Scheduler
from flowctl.engine.suspend import Watch
from flowctl.store import Store

START = 1_767_225_600_000  # 2026-01-01T00:00Z
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
SOURCE = "from flowctl import workflow\n\n@workflow\ndef digest(top: int = 5) -> int:\n    return top\n"


class MovedClock(SystemClock):
    """Clocks that stand still until they are moved."""

    def __init__(self, now: int = START) -> None:
        self.wall, self.running, self.asleep = now, 0, 0

    def now(self) -> int:
        return self.wall

    def monotonic(self) -> float:
        return self.running / 1000

    def uptime(self) -> float:
        return (self.running + self.asleep) / 1000

    def pass_time(self, ms: int) -> None:
        self.wall += ms
        self.running += ms

    def suspend(self, ms: int) -> None:
        self.wall += ms
        self.asleep += ms


class Rhythm:
    """Verbs over one file. Time passes in looks of at most 15 s, as a daemon has them, or at once while it is off."""

    def __init__(self, path: Path, now: int = START) -> None:
        self.path = path
        self.clock = MovedClock(now)
        self.store = Store.open(path / "flow.db")
        self.file = path / "digest.py"
        self.file.write_text(SOURCE)
        self.boot = "boot-1"
        self.start()

    def start(self) -> None:
        """Start the daemon, or start it again."""
        self.scheduler = Scheduler(self.store, self.clock, self.boot)
        self.watch = Watch(self.store, self.clock)

    def register(self, name: str = "digest", **fields: Any) -> None:
        files = {str(self.file): self.file.read_text()}
        snapshot = Snapshot(code_of(str(self.file), files), str(self.file), files)
        options = fields.pop("options", {})
        new = NewWorkflow(name, str(self.file), "digest", {}, options, "", snapshot.code, str(self.path), **fields)
        with self.store.transaction():
            self.store.snapshots.put(snapshot, self.clock.wall)
            self.store.workflows.add(new, self.clock.wall)

    def add(self, name: str = "nightly", expression: str = "0 * * * *", **fields: Any) -> Schedule:
        return schedules.add(self.store, self.new(name, expression, **fields), self.clock.wall)

    def new(self, name: str = "nightly", expression: str = "0 * * * *", **fields: Any) -> NewSchedule:
        usual: dict[str, Any] = {"kind": "cron", "input": '{"argv":["true"]}', "directory": "/", "zone": "UTC"}
        return NewSchedule(name=name, expression=expression, **(usual | fields))

    def look(self) -> int | None:
        self.watch.look()
        return self.scheduler.tick(self.clock.wall)

    def run_for(self, ms: int) -> None:
        """Let the daemon run so long: it looks when a slot is due, and every 15 s where that is soon."""
        end = self.clock.wall + ms
        while self.clock.wall < end:
            due = self.look()
            wake = min(end, max(due or end, self.clock.wall + 1))
            while self.clock.wall < wake:
                self.clock.pass_time(min(15 * SECOND, wake - self.clock.wall))
                self.watch.look()
        self.look()

    def be_off(self, ms: int) -> None:
        """Let time pass without a daemon, then start it."""
        self.clock.pass_time(ms)
        self.start()
        self.look()

    def schedule(self, name: str = "nightly") -> Schedule:
        return self.store.schedules.get("default", name)

    def slots(self, name: str = "nightly", limit: int = 1_000_000) -> list[Slot]:
        """Return what became of slots, the oldest first."""
        return self.store.schedules.slots(self.schedule(name).id, limit=limit)[::-1]

    def outcomes(self, name: str = "nightly") -> list[str]:
        return [slot.outcome for slot in self.slots(name)]

    def told(self, name: str = "nightly") -> list[tuple[str, str | None]]:
        return [(slot.outcome, slot.reason) for slot in self.slots(name)]

    def runs(self, name: str = "nightly") -> list[Run]:
        """Return the runs of a schedule, the oldest first."""
        return self.store.runs.find(RunFilter(schedule=name, limit=1_000_000))[::-1]

    def states(self, name: str = "nightly") -> list[str]:
        return [run.state for run in self.runs(name)]

    def begin(self, run: int) -> None:
        with self.store.transaction():
            token = f"token-{run}"
            engine = self.store.engines.start(NewEngine(token, "daemon", 1, "boot"), self.clock.wall)
            assert self.store.runs.claim(run, engine, self.clock.wall) is not None

    def end(self, run: int, state: Any = "succeeded") -> None:
        """End a run, having begun it if it was not."""
        if self.store.runs.get(run).state != "running":
            self.begin(run)
        found = self.store.runs.get(run)
        outcome = {"succeeded": {"output": "1"}, "failed": {"error": error_text("E", "no")}, "cancelled": {}}[state]
        with self.store.transaction():
            self.store.runs.finish(Claim(run, found.epoch), self.clock.wall, state, **outcome)

    def end_all(self, state: Any = "succeeded", name: str = "nightly") -> None:
        """End the runs of a schedule that are due."""
        for run in self.runs(name):
            if run.state == "running" or (run.state == "queued" and (run.wake_at or 0) <= self.clock.wall):
                self.end(run.id, state)

    def may_run(self, name: str) -> int:
        """Return how many runs of a schedule may be worked on at this moment."""
        return sum(run.state in ("queued", "running") for run in self.runs(name))

    def notes(self, subject: str) -> list[str]:
        return [str(event.reason) for event in self.store.events.of_subject(subject)]
