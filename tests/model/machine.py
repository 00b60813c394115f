"""One operation on the model and on the real thing, the comparison after each rule, and the way to the end."""

from __future__ import annotations

import json
import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

from hypothesis import note
from hypothesis.stateful import RuleBasedStateMachine, invariant

from flowctl.core.errors import ClaimLost, FlowctlError
from flowctl.core.model import Claim
from flowctl.core.policy import error_text
from flowctl.store.runs import Reach
from tests.faults.hosted import trouble
from tests.model import properties
from tests.model.model import Model
from tests.model.statistics import Signature, Statistics
from tests.model.tables import BODIES, FINAL, OPEN, Row
from tests.model.world import World
from tests.store.scene import claimable

START = 1_000_000_000_000  # long ago: a time after tomorrow would be a finding
LABEL = "gpu"  # which every other engine has, and some runs require
CHECK_EVERY = 50  # rules between two looks at the whole file
LOCKS = {"start_engine", "stop_engine", "crash_engine", "reboot"}  # what a fault of the disk is not tried on

Outcome = tuple[str, Any]


class Fault(NamedTuple):
    """Which write of an operation fails, or which commit does happen while its answer is lost."""

    number: int
    answer: bool


class Compared(RuleBasedStateMachine):
    """A model and a world that do the same things at the same instants."""

    def __init__(self, folder: str, statistics: Statistics) -> None:
        super().__init__()
        self.statistics = statistics
        self.model = Model(START, "boot")
        self.world = World(folder, START, "boot")
        self.claims: list[Claim] = []  # every one that was ever given, for ever
        self.fault: Fault | None = None  # of the next operation
        self.before = self.world.tables()
        self.holds = True
        self.called = 0  # rules
        statistics.examples += 1

    @property
    def live(self) -> list[Claim]:
        """Return the claims that count."""
        return [claim for claim in self.claims if self.model.holds(claim)]

    # -- one operation

    def do(self, operation: str, *asked: Any) -> Any:
        """Do something to both, compare what they answer and every row, and return the answer; None when refused."""
        answer = self.ask(operation, *asked)
        self.compare()
        return answer

    def ask(self, operation: str, *asked: Any) -> Any:
        """Do something to both, compare what they answer, and return it; None when it was refused."""
        self.holds = False
        state = self.state_of(asked)
        fault = None if operation in LOCKS else self.fault
        if fault is not None:
            self.fault = None
            self.model.commits = [self.model.copy()]
        expected = _outcome(getattr(self.model, operation), asked)
        with self.failing(fault):
            actual = _outcome(getattr(self.world, operation), asked)
        note(f"  {operation} {_shown(asked)} at {self.model.now}: {actual[0]}")
        if fault is not None and actual[0] == "DiskTrouble":
            self.see_what_stands()
        else:
            assert expected == actual, f"{operation}{asked} should answer {expected}, answers {actual}"
        self.model.commits = None
        self.statistics.signatures[Signature(operation, actual[0], state)] += 1
        return actual[1]

    def failing(self, fault: Fault | None) -> AbstractContextManager[object]:
        """Return what makes the disk fail under the store, if it is to."""
        if fault is None:
            return nullcontext()
        return trouble(self.world.store, lambda number: number == fault.number, after_commit=fault.answer)

    def state_of(self, asked: tuple[Any, ...]) -> str:
        """Return the state of the run that an operation is about."""
        number = asked[0].run_id if asked and isinstance(asked[0], Claim) else asked[0] if asked else None
        run = self.model.runs.get(number) if isinstance(number, int) else None
        return "-" if run is None else str(run["state"])

    def see_what_stands(self) -> None:
        """After a fault: every transaction was done whole or not at all. Claims whose answer was lost are found."""
        tables = self.world.tables()
        possible = [*(self.model.commits or ()), self.model]
        stands = [model for model in possible if model.tables() == tables]
        assert stands, f"neither done nor not done: {properties.differences(possible[-1].tables(), tables)}"
        self.model = stands[0]
        for run in self.model.runs.values():
            claim = Claim(run["id"], run["epoch"])
            if run["state"] == "running" and claim not in self.claims:
                self.claims.append(claim)

    def claim(self, run: int, engine: int) -> None:
        """Claim a run, and keep the claim for ever."""
        row = self.do("claim", run, engine)
        if row is not None:
            claim = Claim(run, row["epoch"])
            assert claim not in self.claims, f"P5: {claim} was given twice"
            self.claims.append(claim)

    def set_now(self, now: int) -> None:
        """Move the wall clock."""
        self.model.now = self.world.now = max(1, now)

    def start_engine(self) -> int:
        """Start an engine."""
        number = len(self.model.engines) + 1
        labels = (LABEL,) if number % 2 else ()
        return int(self.do("start_engine", f"engine-{number}", os.getpid(), labels))

    # -- after each rule

    @invariant()
    def everything_holds(self) -> None:
        """Compare what changes with time alone, and now and then look at the whole file."""
        self.statistics.rules += 1
        self.called += 1
        self.compare_questions()
        if self.called % CHECK_EVERY == 0:
            wrong = self.world.store.check()
            assert not wrong, wrong
            self.assert_unchanged()
        self.holds = True

    def compare(self) -> None:
        """Compare every row, and check the properties that need no model."""
        after = self.world.tables()
        if after is self.before:
            assert properties.differences(self.model.tables(), after) == []
            return
        wrong = properties.differences(self.model.tables(), after) + properties.broken(self.before, after)
        wrong += [f"P5: {claim}" for claim in self.claims if self.world.holds(claim) != self.model.holds(claim)]
        assert not wrong, "\n".join(wrong)
        self.statistics.runs.update(edge for edge, _ in properties.run_edges(self.before, after))
        self.statistics.steps.update(properties.step_edges(self.before, after))
        self.before = after

    def compare_questions(self) -> None:
        """Compare what engines ask in every turn."""
        runs, now = self.world.store.runs, self.model.now
        assert self.model.claimable() == claimable(runs, now, limit=100)
        assert self.model.next_wake() == runs.next_wake(now)
        for engine in self.model.alive:
            assert self.model.requests(engine) == runs.requests(engine)
            labels = tuple(json.loads(self.model.engines[engine]["labels"]))
            for root in {None, *self.followed(engine)}:
                found = runs.claimable(now, Reach(engine, labels, root_id=root), limit=100)
                assert self.model.claimable(engine, root) == [run.id for run in found]
        counts = [runs.counts(namespace) for namespace in ("default", "other")]
        assert len(self.model.runs) == sum(sum(states.values()) for states in counts), "P12"

    def followed(self, engine: int) -> list[int]:
        """Return the runs at the top of the families that an engine has reserved."""
        return [run["root_id"] or run["id"] for run in self.model.runs.values() if run["followed_by"] == engine]

    def assert_unchanged(self) -> None:
        """Compare every row, read anew, with what it was after the last operation."""
        wrong = properties.differences(self.before, self.world.tables(anew=True))
        assert not wrong, "\n".join(wrong)

    # -- the end

    def teardown(self) -> None:
        """Without faults, drive every run to where it stands still; then read every page of the file."""
        try:
            if self.holds:
                self.fault = None
                self.drive_all()
                self.assert_unchanged()
                assert self.world.store.check(full=True) == []
        finally:
            self.world.close()

    def drive_all(self) -> None:
        """Do what is due and let time pass until nothing moves, in a bounded number of turns."""
        self.do("recover")
        engine = self.start_engine()
        engine = engine if engine % 2 else self.start_engine()  # one with the label
        for _ in range(10 * len(self.model.events) + 100):
            if self.live:
                self.drive(self.live[0])
            elif due := self.claims_due(engine):
                self.claim(*due[0])
            elif self.model.over_after():
                self.do("wake_after")
            elif (wake := self.model.next_wake()) is not None:
                self.set_now(wake)
            else:
                break
            self.compare_questions()
        stuck = [run for run in self.model.runs.values() if not self.stands_still(run)]
        assert not stuck, f"runs that nothing moves: {stuck}"

    def claims_due(self, engine: int) -> list[tuple[int, int]]:
        """Return the runs that are due and who may take them: an engine, or those that have reserved them."""
        due = [(run, engine) for run in self.model.claimable(engine)]
        for run in self.model.runs.values():
            if run["followed_by"] is not None and self.model.is_due(run):
                due.append((run["id"], run["followed_by"]))
        return due

    def stands_still(self, run: Row) -> bool:
        """Tell whether a run is final, is for a person to decide, or waits for others of which each stands still."""
        if run["state"] != "waiting":
            return run["state"] in FINAL | {"paused", "blocked"}
        if run["after_id"] is not None:
            return self.stands_still(self.model.runs[run["after_id"]])
        steps = [step for step in self.model.current(run["id"]) if step["state"] in OPEN]
        return bool(steps) and all(map(self.waits_in_vain, steps))

    def waits_in_vain(self, step: Row) -> bool:
        """Tell whether a step waits for a signal that has not come, or for a run that stands still."""
        if step["kind"] == "signal":
            return self.model.oldest_signal(step["run_id"], step["name"]) is None
        child = self.model.child_of(step["run_id"], step["key"])
        return child is not None and child["state"] not in FINAL and self.stands_still(child)

    def drive(self, claim: Claim) -> None:
        """Take a run one step nearer to its end."""
        steps = [step for step in self.model.current(claim.run_id) if step["state"] in OPEN]
        if self.heed_request(claim):
            return
        for step in steps:
            if self.advance(claim, step):
                return
        if steps:
            waits = any(step["kind"] in ("child", "signal") for step in steps)
            self.park(claim, "waiting" if waits else "sleeping", None)
        else:
            self.do("finish", claim, "succeeded", "1", [])

    def heed_request(self, claim: Claim) -> bool:
        """Do what is asked of a run, if anything is."""
        request = self.model.runs[claim.run_id]["request"]
        if request == "cancel":
            self.do("finish", claim, "cancelled", None, [])
        elif request == "pause":
            self.do("interrupt", claim, None)
            if self.model.holds(claim):
                self.do("release", claim, "paused", "paused by a person", None)
        return request is not None

    def advance(self, claim: Claim, step: Row) -> bool:
        """Take an open step further, if its time has come."""
        if step["kind"] == "child":
            return self.answer_child(claim, step)
        if step["kind"] == "signal":
            return bool(self.do("take_signal", claim, step["key"], step["name"]))
        if step["wake_at"] is not None and step["wake_at"] > self.model.now:
            return False
        if step["state"] == "interrupted" or (step["wake_at"] is not None and step["kind"] != "sleep"):
            self.do("start_attempt", claim, step["key"])
        else:
            self.do("succeed", claim, step["key"], "1")
        return True

    def answer_child(self, claim: Claim, step: Row) -> bool:
        """Give a step the outcome of its child run, if that has ended."""
        child = self.model.child_of(claim.run_id, step["key"])
        if child is None or child["state"] not in FINAL:
            return False
        if child["state"] == "succeeded":
            self.do("succeed", claim, step["key"], child["output"])
        else:
            error = child["error"] or error_text("ChildCancelled", f"run {child['id']} was cancelled")
            self.do("fail", claim, step["key"], error)
        return True

    def park(self, claim: Claim, state: str, wake_at: int | None) -> None:
        """Let go of a run as an engine does: nothing of it runs, and it waits only for what has not come."""
        if self.heed_request(claim):
            return
        steps = [step for step in self.model.current(claim.run_id) if step["state"] in OPEN]
        children = [self.model.child_of(claim.run_id, step["key"]) for step in steps if step["kind"] == "child"]
        awaited = [self.model.oldest_signal(claim.run_id, step["name"]) for step in steps if step["kind"] == "signal"]
        has_come = not (children or awaited) or any(signal is not None for signal in awaited)
        has_come = has_come or any(child is None or child["state"] in FINAL for child in children)
        works = any(step["kind"] in BODIES and step["wake_at"] is None for step in steps)
        if state == "waiting" and (has_come or works):
            state, wake_at = "queued", None
        wakes = [step["wake_at"] for step in steps if step["wake_at"] is not None]
        if state in ("waiting", "sleeping"):
            wake_at = min([*wakes, *([] if wake_at is None else [wake_at])], default=None)
        if state == "sleeping" and wake_at is None:
            state = "queued"
        self.do("interrupt", claim, None)
        if self.model.holds(claim):
            self.do("release", claim, state, "nobody knows" if state == "blocked" else None, wake_at)


def _outcome(action: Any, asked: tuple[Any, ...]) -> Outcome:
    try:
        value = action(*asked)
    except (FlowctlError, ClaimLost, ValueError) as error:
        return type(error).__name__, None
    refused = value is False or (value is None and action.__name__ == "claim")
    return "nothing" if refused else "accepted", value


def _shown(asked: tuple[Any, ...]) -> str:
    """Return what was asked without what every record of its kind holds: the rule that follows tells the rest."""
    whole = (int, str, list, Claim, type(None))
    return ", ".join(repr(item) if isinstance(item, whole) else type(item).__name__ for item in asked)
