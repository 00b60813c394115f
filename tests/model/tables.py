"""The tables as plain dicts, and the few moves that everything else is made of."""

from __future__ import annotations

import copy
import hashlib
import json
from typing import Any, Self

from flowctl.core.errors import NotFound
from flowctl.core.model import Claim, NewRun, Run, Snapshot

Row = dict[str, Any]

FINAL = {"succeeded", "failed", "cancelled"}
OPEN = {"running", "interrupted"}
IDLE = {"queued", "sleeping", "waiting", "paused", "blocked"}
BY = "somebody"  # who decides
BODIES = {"step", "shell", "value"}
CRASH_LIMIT = 2  # what the world is set to, so that a run is often given up
SPILL_BYTES = 200  # likewise, so that payloads often go to a table of their own
NOTHING: Row = dict.fromkeys(
    (
        "earlier_code",
        "output",
        "error",
        "reason",
        "request",
        "engine_id",
        "started_at",
        "finished_at",
        "detached_at",
        "requires",
        "dropped_at",
        "handles",
        "verdict",
    )
)


def until(run: int | None) -> str | None:
    """Return why a run waits for another."""
    return None if run is None else f"until run {run} has ended"


class Tables:
    """The rows of one file, and which engines are alive."""

    def __init__(self, now: int, boot: str) -> None:
        self.now = now
        self.boot = boot
        self.alive: set[int] = set()
        self.runs: dict[int, Row] = {}
        self.steps: list[Row] = []
        self.attempts: dict[tuple[int, str, int], Row] = {}
        self.events: list[Row] = []
        self.engines: dict[int, Row] = {}
        self.logs: list[Row] = []
        self.signals: list[Row] = []
        self.payloads: set[str] = set()
        self.snapshots: dict[str, Row] = {}
        self.sources: set[str] = set()
        self.commits: list[Any] | None = None  # where a fault may cut an operation, while one is expected

    def copy(self) -> Self:
        """Return all of it as it is now."""
        commits, self.commits = self.commits, None
        made = copy.deepcopy(self)
        self.commits = commits
        return made

    def commit(self) -> None:
        """Note that a transaction ends here, and its operation does not."""
        if self.commits is not None:
            self.commits.append(self.copy())

    def tables(self) -> dict[str, list[Row]]:
        """Return every row of every table, in the order of their numbers."""
        return {
            "runs": list(self.runs.values()),
            "steps": self.steps,
            "attempts": [self.attempts[place] for place in sorted(self.attempts)],
            "events": self.events,
            "engines": list(self.engines.values()),
            "logs": self.logs,
            "signals": self.signals,
            "payloads": [{"text": text} for text in sorted(self.payloads)],
            "snapshots": [self.snapshots[code] for code in sorted(self.snapshots)],
            "sources": [{"text": text} for text in sorted(self.sources)],
            "workflows": [],
        }

    # -- questions

    def holds(self, claim: Claim) -> bool:
        """Tell whether a claim is the one that counts."""
        run = self.runs[claim.run_id]
        return (run["state"], run["epoch"]) == ("running", claim.epoch)

    def current(self, run: int) -> list[Row]:
        """Return the steps of a run that count, in the program's order."""
        found = [step for step in self.steps if step["run_id"] == run and step["superseded_at"] is None]
        return sorted(found, key=lambda step: int(step["seq"]))

    def step(self, run: int, key: str) -> Row | None:
        """Return the step of a run with that key, or None."""
        return next((step for step in self.current(run) if step["key"] == key), None)

    def child_of(self, run: int, key: str) -> Row | None:
        """Return the run that answers a step, or None."""
        place = (run, key, None)
        found = [
            row for row in self.runs.values() if (row["parent_id"], row["parent_step"], row["detached_at"]) == place
        ]
        return found[0] if found else None

    def family(self, run: int) -> list[Row]:
        """Return a run and all below it, parents first. Raises NotFound."""
        found = [self.run(run)]
        for parent in found:
            found += [row for row in self.runs.values() if row["parent_id"] == parent["id"]]
        return found

    def claimable(self, engine: int | None = None, root: int | None = None) -> list[int]:
        """Return the runs that are due: by priority, then by age.

        An engine takes those that its labels are enough for and nobody has reserved, or of a family its own too.
        """
        labels = [] if engine is None else json.loads(self.engines[engine]["labels"])
        due = [
            run
            for run in self.runs.values()
            if self.is_due(run)
            and set(json.loads(run["requires"] or "[]")) <= set(labels)
            and run["followed_by"] in ((None,) if root is None else (None, engine))
            and (root is None or root in (run["id"], run["root_id"]))
        ]
        return [run["id"] for run in sorted(due, key=lambda run: (-run["priority"], run["id"]))]

    def is_due(self, run: Row) -> bool:
        """Tell whether a run may go on now."""
        if run["wake_at"] is None:
            return bool(run["state"] == "queued")
        return bool(run["wake_at"] <= self.now)

    def over_after(self) -> list[Row]:
        """Return the runs that waited for an earlier one which has ended."""
        waiting = [run for run in self.runs.values() if run["state"] == "waiting" and run["after_id"] is not None]
        return [run for run in waiting if not self.stands_behind(run)]

    def behind(self) -> list[int]:
        """Return the runs that wait for an earlier one of their schedule."""
        return [run["id"] for run in self.runs.values() if run["state"] == "waiting" and self.stands_behind(run)]

    def stands_behind(self, run: Row) -> bool:
        """Tell whether a run is to wait for an earlier one of its schedule."""
        earlier = self.runs.get(run["after_id"])
        return earlier is not None and earlier["state"] not in FINAL

    def next_wake(self) -> int | None:
        """Return the next instant at which a run is due."""
        wakes = [run["wake_at"] for run in self.runs.values() if run["wake_at"] is not None]
        return min((wake for wake in wakes if wake > self.now), default=None)

    def requests(self, engine: int) -> list[tuple[int, str]]:
        """Return what is asked of the runs of an engine."""
        return [(run["id"], run["request"]) for run in self.held(engine) if run["request"] is not None]

    def dead(self) -> list[Row]:
        """Return the engines that are dead, and whose runs nobody has freed yet."""
        return [row for row in self.engines.values() if row["stopped_at"] is None and row["id"] not in self.alive]

    # -- moves

    def run(self, run: int) -> Row:
        if run not in self.runs:
            raise NotFound("no such run")
        return self.runs[run]

    def answer(self, run: int) -> Row:
        row = self.run(run)
        return {name: row[name] for name in Run.__annotations__}

    def held(self, engine: int) -> list[Row]:
        return [run for run in self.runs.values() if run["engine_id"] == engine]

    def put(self, snapshot: Snapshot) -> None:
        if snapshot.code not in self.snapshots:
            files = {path: hashlib.sha256(text.encode()).hexdigest() for path, text in snapshot.files.items()}
            row = {"code": snapshot.code, "path": snapshot.path, "files": files, "created_at": self.now}
            self.snapshots[snapshot.code] = row
            self.sources |= set(snapshot.files.values())

    def spill(self, text: str | None) -> None:
        if text is not None and len(text.encode()) > SPILL_BYTES:
            self.payloads.add(text)

    def create(self, new: NewRun) -> int:
        number = len(self.runs) + 1
        row: Row = NOTHING | {name: getattr(new, name) for name in NewRun.__annotations__}
        row |= {"id": number, "failed_steps": [], "attempt": 1}
        row |= {"state": "queued" if new.after_id is None else "waiting", "reason": until(new.after_id)}
        row |= {"crashes": 0, "epoch": 0, "created_at": self.now, "changed_at": self.now}
        row["requires"] = json.dumps(new.options["requires"]) if "requires" in new.options else None
        self.runs[number] = row
        self.event(row)
        self.spill(new.input)
        return number

    def event(self, run: Row) -> None:
        kept = {name: run[name] for name in ("state", "epoch", "attempt", "reason")}
        self.events.append({"run_id": run["id"], "at": run["changed_at"], "subject": None, "actor": None} | kept)

    def note(self, subject: str, reason: str) -> None:
        nothing = dict.fromkeys(("run_id", "state", "epoch", "attempt", "actor"))
        self.events.append({"at": self.now, "subject": subject, "reason": reason} | nothing)

    def move(self, run: Row, state: str, **fields: Any) -> None:
        before = (run["state"], run["epoch"])
        run.update(fields, state=state, changed_at=self.now)
        if before != (run["state"], run["epoch"]):
            self.event(run)
