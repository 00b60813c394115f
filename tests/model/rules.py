"""The rules: what people, engines that hold claims, engines that hold them no longer, time and bad luck may do.

A rule picks by number among what there is, so that it always applies to something: `pick` modulo the count.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from flowctl.core.model import Claim, NewRun, NewStep, Snapshot, code_of
from flowctl.core.policy import error_text
from flowctl.sdk.codec import canonical_hash
from tests.model.machine import LABEL, Compared, Fault
from tests.model.properties import outcomes
from tests.model.tables import OPEN, Row
from tests.store.scene import SNAPSHOT, new_run, new_step

DAY = 86_400_000
EDIT = {SNAPSHOT.path: "def digest(): return 1\n"}
EDITED = Snapshot(code_of(SNAPSHOT.path, EDIT), SNAPSHOT.path, EDIT)
HANDLER = {"workflow": "handler", "path": SNAPSHOT.path, "function": "handler", "parameter": "failure"}
LARGE = "x" * 300
MOST_ENGINES, MOST_RUNS = 3, 10
GONE = 9_999  # a number that no run has

PICK = st.integers(0, 63)
VALUE = st.sampled_from(["1", "2", f'"{LARGE}"'])
ERROR = st.sampled_from([error_text("ValueError", "no"), error_text("ValueError", LARGE)])
DELAY = st.sampled_from([0, 1, 1_000, 60_000, DAY])
MAYBE_DELAY = st.none() | DELAY
SOON = st.sampled_from([1, 999, 1_000, 60_000, 3_600_000, DAY, 40 * DAY])
CODE = st.sampled_from([None, SNAPSHOT, EDITED])
SIGNAL = "word"
NAME = st.sampled_from([SIGNAL, SIGNAL, "sign"])
KINDS = st.sampled_from(["step", "step", "shell", "value", "sleep"])


def among_states(rows: list[Row], pick: int) -> Row:
    """Return one of some rows: the number picks a state first, so that rare ones are met often."""
    states = sorted({row["state"] for row in rows})
    pick, place = divmod(pick, len(states))
    found = [row for row in rows if row["state"] == states[place]]
    return found[pick % len(found)]


class Stale(NamedTuple):
    """What an engine may still want to write for a run that it has lost."""

    claim: Claim
    key: str
    value: str
    error: str
    now: int
    step: NewStep
    child: NewRun


def child_of(parent: Row, step: NewStep) -> NewRun:
    """Return the run that a step of a run asks for."""
    family = {"root_id": parent["root_id"] or parent["id"], "parent_id": parent["id"], "parent_step": step.key}
    return new_run(namespace=parent["namespace"], workflow="child", **family)


STALE: dict[str, Callable[[Stale], tuple[Any, ...]]] = {
    "begin": lambda it: (it.claim, it.step),
    "begin_child": lambda it: (it.claim, it.step, it.child),
    "start_attempt": lambda it: (it.claim, it.key),
    "succeed": lambda it: (it.claim, it.key, it.value),
    "fail": lambda it: (it.claim, it.key, it.error),
    "fail_attempt": lambda it: (it.claim, it.key, it.error, it.now),
    "interrupt": lambda it: (it.claim, None),
    "cancel_steps": lambda it: (it.claim,),
    "release": lambda it: (it.claim, "queued", None, None),
    "finish": lambda it: (it.claim, "succeeded", it.value, []),
    "fail_and_retry": lambda it: (it.claim, it.error, [], it.now),
    "take_back_code": lambda it: (it.claim,),
    "take_signal": lambda it: (it.claim, it.key, SIGNAL),
    "orphan": lambda it: (it.claim, "failed" if it.value == "1" else "queued", "its engine died"),
}


class Machine(Compared):
    """Everything that may happen to one file."""

    @initialize(delay=MAYBE_DELAY)
    def begin_with_an_engine_and_a_run(self, delay: int | None) -> None:
        self.start_engine()
        self.submit(key=None, value="1", delay=delay, other=False, fails=False, labelled=False)

    # -- picking

    @property
    def lost(self) -> list[Claim]:
        return [claim for claim in self.claims if not self.model.holds(claim)]

    def held(self, pick: int) -> Claim:
        """Return a claim that counts. Where there is none, an engine claims what is due, or a new run."""
        while not self.live:
            if not self.model.claimable():
                self.submit(key=None, value="1", delay=None, other=False, fails=False, labelled=False)
            for number in self.model.claimable()[:1]:
                self.claim(number, self.engine(pick))
        return self.live[pick % len(self.live)]

    def engine(self, pick: int) -> int:
        """Return an engine that is alive. Where there is none, one is started."""
        alive = sorted(self.model.alive) or [self.start_engine()]
        return alive[pick % len(alive)]

    @property
    def room(self) -> bool:
        """Tell whether there may be more runs: few are in each other's way more often."""
        return len(self.model.runs) < MOST_RUNS

    def any_run(self, pick: int) -> int:
        """Return the number of a run, or one that no run has: each state as often as every other."""
        found = among_states([*self.model.runs.values(), {"id": len(self.model.runs) + 1, "state": "none"}], pick)
        return int(found["id"])

    def any_step(self, claim: Claim, pick: int) -> Row | None:
        """Return a current step of a run, if it has any: each state as often as every other."""
        steps = self.model.current(claim.run_id)
        return among_states(steps, pick) if steps else None

    def next_place(self, claim: Claim) -> int:
        """Return the first place in the program's order that no step has."""
        taken = {step["seq"] for step in self.model.current(claim.run_id)}
        return next(place for place in range(1, len(taken) + 2) if place not in taken)

    def at(self, delay: int | None) -> int | None:
        """Return the instant after a delay."""
        return None if delay is None else self.model.now + delay

    # -- people

    @rule(
        key=st.sampled_from([None, "a", "b"]),
        value=VALUE,
        delay=MAYBE_DELAY,
        other=st.booleans(),
        fails=st.booleans(),
        labelled=st.booleans(),
    )
    def submit(self, key: str | None, value: str, delay: int | None, other: bool, fails: bool, labelled: bool) -> None:
        options = {"on_failure": HANDLER} if fails else {"requires": [LABEL]} if labelled else {}
        new = new_run(
            input=value, input_hash=canonical_hash(value), key=key, wake_at=self.at(delay), priority=int(other),
            namespace="other" if other and key else "default", options=options,
        )  # fmt: skip
        self.do("submit", new, SNAPSHOT)

    @rule(pick=PICK)
    def submit_again(self, pick: int) -> None:
        """P13: the same key twice is one run."""
        keyed = [run for run in self.model.runs.values() if run["key"] is not None]
        if keyed:
            run = keyed[pick % len(keyed)]
            again = new_run(**{name: run[name] for name in ("input", "input_hash", "key", "namespace", "options")})
            assert self.do("submit", again, SNAPSHOT) in (None, (run["id"], False))

    @precondition(lambda self: self.room)
    @rule(pick=PICK)
    def submit_after(self, pick: int) -> None:
        """Wait for a run as the next one of its schedule does, also for one that has ended or is gone."""
        after = self.any_run(pick)
        self.do("submit", new_run(after_id=after if after in self.model.runs else GONE), SNAPSHOT)

    @precondition(lambda self: self.model.behind())
    @rule(pick=PICK)
    def pause_and_resume(self, pick: int) -> None:
        """What waited for another run waits again."""
        behind = self.model.behind()
        number = behind[pick % len(behind)]
        self.do("pause", number)
        self.do("resume", number)

    @rule()
    def wake_after(self) -> None:
        self.do("wake_after")

    @rule(pick=PICK, engine=PICK)
    def reserve(self, pick: int, engine: int) -> None:
        self.do("reserve", self.any_run(pick), self.engine(engine))

    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        self.do("cancel", self.any_run(pick))

    @rule(pick=PICK)
    def pause(self, pick: int) -> None:
        self.do("pause", self.any_run(pick))

    @rule(pick=PICK)
    def resume(self, pick: int) -> None:
        self.do("resume", self.any_run(pick))

    @rule(pick=PICK)
    def steal(self, pick: int) -> None:
        self.do("steal", self.any_run(pick))

    @rule(pick=PICK, replay=st.sampled_from(["pinned", "newest", "accept"]), code=CODE, from_step=st.none() | PICK)
    def retry(self, pick: int, replay: str, code: Snapshot | None, from_step: int | None) -> None:
        number = self.any_run(pick)
        self.do("retry", number, replay, code, self._key(number, from_step))

    @rule(pick=PICK, code=CODE)
    def rerun(self, pick: int, code: Snapshot | None) -> None:
        number = self.any_run(pick)
        if self.room or number not in self.model.runs:
            self.do("rerun", number, code)

    @rule(pick=PICK, code=CODE, step=st.none() | PICK, output=st.none() | VALUE)
    def fork(self, pick: int, code: Snapshot | None, step: int | None, output: str | None) -> None:
        begun = [number for number in self.model.runs if self.model.current(number)]
        number = begun[pick % len(begun)] if begun and step is not None else self.any_run(pick)
        key = self._key(number, step)
        after_failures = self._after_failures()
        if after_failures and step is not None and pick % 2:
            number, key = after_failures[pick % len(after_failures)]
        if (self.room or number not in self.model.runs) and not self._leaves_holes(number, key):
            self.do("fork", number, key, output, code)

    def _after_failures(self) -> list[tuple[int, str]]:
        """Return runs and steps of theirs that come after one that has failed: a fork from there shares the failure."""
        found = []
        for number in self.model.runs:
            steps = self.model.current(number)
            failed = [step["seq"] for step in steps if step["state"] == "failed"]
            found += [(number, str(step["key"])) for step in steps if failed and step["seq"] > failed[0]]
        return found

    def _leaves_holes(self, number: int, key: str | None) -> bool:
        """Tell whether steps before that one have not ended: a replay would ask for them anew."""
        steps = [step for step in self.model.steps if step["run_id"] == number and step["superseded_at"] is None]
        places = [step["seq"] for step in steps if step["key"] == key]
        return any(step["seq"] < place and step["finished_at"] is None for place in places for step in steps)

    @rule(pick=PICK, name=NAME, values=st.sampled_from(["1", "2", "12", "21"]))
    def send_signals(self, pick: int, name: str, values: str) -> None:
        """P21: it is kept until a step of its run takes it, whether that waits already or asks later."""
        waiting = [
            step["run_id"] for step in self.model.steps if (step["kind"], step["state"]) == ("signal", "running")
        ]
        likely = waiting or [claim.run_id for claim in self.live]
        number = likely[pick // 2 % len(likely)] if likely and pick % 2 else self.any_run(pick)
        for value in values:
            self.do("send_signal", number, name, value)

    @rule(pick=PICK, code=CODE, step=PICK, output=st.none() | VALUE)
    def resolve(self, pick: int, code: Snapshot | None, step: int, output: str | None) -> None:
        blocked = [run["id"] for run in self.model.runs.values() if run["state"] == "blocked"]
        number = blocked[pick % len(blocked)] if blocked else self.any_run(pick)
        self.do("resolve", number, self._key(number, step), output, code)

    def _key(self, number: int, pick: int | None) -> str | None:
        keys = [*sorted({step["key"] for step in self.model.steps if step["run_id"] == number}), "nowhere"]
        return None if pick is None else keys[pick % len(keys)]

    # -- engines

    @precondition(lambda self: len(self.model.alive) < MOST_ENGINES)
    @rule()
    def one_more_engine(self) -> None:
        self.start_engine()

    @precondition(lambda self: self.model.alive)
    @rule(pick=PICK, how=st.sampled_from(["stop_engine", "crash_engine", "crash_engine", "reboot"]))
    def end_engine(self, pick: int, how: str) -> None:
        self.do(how, f"boot-{len(self.model.engines)}" if how == "reboot" else self.engine(pick))

    @precondition(lambda self: self.model.dead())
    @rule()
    def recover(self) -> None:
        """P16: no step gets an outcome by it, and none loses one."""
        known = self.known()
        self.do("recover")
        assert known == self.known()

    def known(self) -> set[tuple[object, ...]]:
        """Return the outcomes that steps came to by themselves."""
        return {outcome for outcome in outcomes(self.world.tables()) if outcome[1] != "cancelled"}

    @rule(pick=PICK, engine=PICK)
    def claim_any(self, pick: int, engine: int) -> None:
        self.claim(self.any_run(pick), self.engine(engine))

    @precondition(lambda self: self.model.claimable())
    @rule(engine=PICK)
    def claim_due(self, engine: int) -> None:
        self.claim(self.model.claimable()[0], self.engine(engine))

    @rule(pick=PICK)
    def wake(self, pick: int) -> None:
        self.do("wake", self.any_run(pick))

    # -- those who hold a claim

    @rule(pick=PICK, kind=KINDS, value=VALUE, delay=DELAY, block=st.booleans())
    def begin_step(self, pick: int, kind: str, value: str, delay: int, block: bool) -> None:
        claim = self.held(pick)
        self.do("begin", claim, self.new(claim, kind, value, self.at(delay) if kind == "sleep" else None, block))

    def new(self, claim: Claim, kind: Any, value: str, wake_at: int | None, block: bool = False) -> NewStep:
        """Return a step at the next place of a run."""
        place = self.next_place(claim)
        on_crash = "block" if block and kind in ("step", "shell") else "rerun"
        fields = {"input": value, "input_hash": canonical_hash(value), "wake_at": wake_at, "on_crash": on_crash}
        return new_step(f"{'child' if kind == 'child' else 'step'}#{place}", place, kind=kind, **fields)

    @rule(pick=PICK, which=PICK, change=st.sampled_from(["nothing", "input", "seq", "key"]))
    def begin_step_again(self, pick: int, which: int, change: str) -> None:
        claim = self.held(pick)
        step = self.any_step(claim, which)
        if step is not None:
            asked = {name: step[name] for name in ("kind", "input", "input_hash")}
            asked |= {"input_hash": b"other"} if change == "input" else {}
            place = step["seq"] + 50 if change == "seq" else step["seq"]
            self.do("begin", claim, new_step("other" if change == "key" else step["key"], place, **asked))

    @rule(pick=PICK, which=PICK)
    def start_attempt(self, pick: int, which: int) -> None:
        claim = self.held(pick)
        step = self.any_step(claim, which)
        if step is None or step["kind"] != "sleep":
            self.do("start_attempt", claim, "nowhere" if step is None else step["key"])

    @rule(pick=PICK, which=PICK, value=VALUE)
    def succeed_step(self, pick: int, which: int, value: str) -> None:
        claim = self.held(pick)
        step = self.any_step(claim, which)
        if step is None:
            return
        if step["state"] not in OPEN:
            self.do("succeed", claim, step["key"], value)
        else:
            self.advance(claim, step)

    @rule(pick=PICK, which=PICK, error=ERROR, delay=MAYBE_DELAY)
    def fail_step(self, pick: int, which: int, error: str, delay: int | None) -> None:
        claim = self.held(pick)
        if not self.model.current(claim.run_id):
            self.do("begin", claim, self.new(claim, "step", "1", None))
        step = self.any_step(claim, which)
        if step is not None and step["kind"] != "child":
            wake_at = self.at(delay)
            if wake_at is None or step["kind"] == "signal":  # which may take too long, and has no other attempt
                self.do("fail", claim, step["key"], error)
            else:
                self.do("fail_attempt", claim, step["key"], error, wake_at)

    @rule(pick=PICK, which=PICK, all_of_them=st.booleans())
    def interrupt(self, pick: int, which: int, all_of_them: bool) -> None:
        claim = self.held(pick)
        step = self.any_step(claim, which)
        self.do("interrupt", claim, None if step is None or all_of_them else [step["key"]])

    @precondition(lambda self: self.room)
    @rule(pick=PICK)
    def begin_child(self, pick: int) -> None:
        claim = self.held(pick)
        step, parent = self.new(claim, "child", "1", None), self.model.runs[claim.run_id]
        self.do("begin_child", claim, step, child_of(parent, step))

    @rule(pick=PICK, state=st.sampled_from(["queued", "paused", "blocked"]))
    def let_go(self, pick: int, state: str) -> None:
        self.park(self.held(pick), state, None)

    @rule(pick=PICK, delay=DELAY)
    def fall_asleep(self, pick: int, delay: int) -> None:
        self.park(self.held(pick), "sleeping", self.at(delay))

    @rule(pick=PICK, delay=MAYBE_DELAY)
    def wait_for_a_child(self, pick: int, delay: int | None) -> None:
        claim = self.held(pick)
        if self.room:
            step = self.new(claim, "child", "1", None)
            self.do("begin_child", claim, step, child_of(self.model.runs[claim.run_id], step))
        self.park(claim, "waiting", self.at(delay))

    @rule(pick=PICK, name=NAME, parks=st.booleans())
    def wait_for_a_signal(self, pick: int, name: str, parks: bool) -> None:
        claim = self.held(pick)
        has_come = [each for each in self.live if self.model.oldest_signal(each.run_id, name)]
        claim = has_come[pick % len(has_come)] if has_come else claim
        place, given = self.next_place(claim), json.dumps({"signal": name})
        step = new_step(f"{name}#{place}", place, kind="signal", input=given, input_hash=canonical_hash(given))
        self.do("begin", claim, step)
        if parks:
            self.park(claim, "waiting", None)
        elif self.model.holds(claim):  # the disk did not fail
            self.do("take_signal", claim, step.key, name)

    @rule(pick=PICK, state=st.sampled_from(["succeeded", "failed", "cancelled"]), value=VALUE, error=ERROR)
    def finish(self, pick: int, state: str, value: str, error: str) -> None:
        claim = self.held(pick)
        steps = self.model.current(claim.run_id)
        if state == "succeeded" and any(step["state"] in OPEN for step in steps):
            state = "failed"
        failed = [step["key"] for step in steps if step["state"] == "failed"]
        outcome = {"succeeded": value, "failed": error}.get(state)
        self.do("finish", claim, state, outcome, failed if state == "failed" else [])

    @rule(pick=PICK, error=ERROR, delay=DELAY)
    def fail_and_retry(self, pick: int, error: str, delay: int) -> None:
        self.do("fail_and_retry", self.held(pick), error, [], self.at(delay))

    @rule(pick=PICK)
    def take_back_code(self, pick: int) -> None:
        self.do("take_back_code", self.held(pick))

    @precondition(lambda self: self.claims)
    @rule(pick=PICK)
    def log(self, pick: int) -> None:
        self.do("log", self.claims[pick % len(self.claims)], None, "said\n")

    # -- those who hold one no longer

    @precondition(lambda self: self.lost)
    @rule(pick=PICK, which=PICK, value=VALUE, error=ERROR)
    def stale(self, pick: int, which: int, value: str, error: str) -> None:
        """P6: a claim that was lost, however long ago, changes nothing, whatever it is used for."""
        self.use_in_vain(self.lost[pick % len(self.lost)], which, value, error)

    @rule(pick=PICK, which=PICK, value=VALUE, error=ERROR)
    def robbed(self, pick: int, which: int, value: str, error: str) -> None:
        """P6: nor does it while another engine works on the run."""
        claim = self.held(pick)
        self.do("steal", claim.run_id)
        if self.model.holds(claim):  # the disk failed
            return
        if claim.run_id in self.model.claimable():
            self.claim(claim.run_id, self.engine(pick))
        for again in [again for again in self.live if again.run_id == claim.run_id]:
            for step in self.model.current(claim.run_id)[: which % 3]:
                if step["state"] == "interrupted":
                    self.do("start_attempt", again, step["key"])
        self.use_in_vain(claim, which, value, error)

    def use_in_vain(self, claim: Claim, which: int, value: str, error: str) -> None:
        """Try every write with a claim that does not count."""
        step = self.any_step(claim, which)
        key = "step#1" if step is None else step["key"]
        place = self.new(claim, "step", value, None)
        wanted = Stale(claim, key, value, error, self.model.now, place, child_of(self.model.runs[claim.run_id], place))
        for operation, asked in STALE.items():
            assert self.ask(operation, *asked(wanted)) in (None, False)
        self.assert_unchanged()

    # -- time and bad luck

    @rule(by=SOON)
    def tick(self, by: int) -> None:
        self.set_now(self.model.now + by)

    @precondition(lambda self: self.model.next_wake() is not None)
    @rule(by=st.sampled_from([-1, 0, 1]))
    def tick_to_a_wake(self, by: int) -> None:
        self.set_now((self.model.next_wake() or 0) + by)

    @rule(by=SOON, back=st.booleans())
    def wall_jump(self, by: int, back: bool) -> None:
        self.set_now(self.model.now + (-by if back else by))

    @rule(restored=st.booleans())
    def reopen(self, restored: bool) -> None:
        """P20: the file that is opened again, or its backup, has the same rows."""
        file_id = self.world.store.file_id
        operation = self.world.restore if restored else self.world.reopen
        operation()
        self.assert_unchanged()
        assert file_id == self.world.store.file_id

    @rule(at=st.integers(1, 8), answer=st.booleans())
    def fault_on_the_next_write(self, at: int, answer: bool) -> None:
        self.fault = Fault(1 + at % 2 if answer else at, answer)
