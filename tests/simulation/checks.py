"""What has to hold, whatever happens: looked at while a seed runs, and once more at its end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from flowctl.core.model import FINAL_STATES, Run, Step
from flowctl.sdk.jsontext import hash_of_plain
from flowctl.sdk.replay import Keys
from flowctl.sdk.wire import Message
from flowctl.store import Store
from tests.simulation.executors import ScriptedExecutor
from tests.simulation.imitation import number_of
from tests.simulation.ledger import Broken, Execution, Ledger
from tests.simulation.programs import Call, Child, Operation, Program, Sleep, StepFailure, Waiting, calls_of

_FINISHED = (
    "SELECT id, run_id, key, state, attempt, input, output, error, finished_at FROM steps WHERE finished_at IS NOT NULL"
)
_EVENTS = "SELECT run_id, id, state, epoch, attempt FROM events WHERE run_id IS NOT NULL ORDER BY run_id, id"

# docs/architecture.md, drawn as a table; a claim made anew after a crash goes by way of queued.
_NEXT = {
    "queued": {"running", "paused", "cancelled"},
    "running": {"queued", "sleeping", "waiting", "paused", "blocked", *FINAL_STATES},
    "sleeping": {"running", "queued", "paused", "cancelled"},
    "waiting": {"running", "queued", "paused", "cancelled"},
    "paused": {"queued", "cancelled"},
    "blocked": {"queued", "cancelled"},
    "failed": {"queued"},
    "cancelled": {"queued"},
    "succeeded": set[str](),
}


class Checks:
    """Reads the file through a connection of its own, which sees only what is committed."""

    def __init__(self, store: Store, ledger: Ledger, programs: dict[str, Program]) -> None:
        self._store = store
        self._ledger = ledger
        self._programs = programs
        self._outcomes: dict[int, tuple[Any, ...]] = {}
        self.acknowledged: dict[int, str] = {}

    # -- at every message and every body -------------------------------------------------------------------------------

    def on_sent(self, executor: ScriptedExecutor, message: Message) -> None:
        """No answer leaves before the record that it rests on is in the file."""
        session = executor.session
        if message.kind not in ("go", "outcome", "run") or session is None:
            return
        if message.kind == "run" and message.fields["run"] != session.run.id:
            return  # an offer, which rests on nothing yet
        if session.phase == "ahead":
            return
        run = self._store.runs.get(session.run.id)
        place = f"{message.kind} of run {run.id} {message.fields.get('key', '')}"
        if run.state != "running" or run.epoch != session.claim.epoch:
            raise Broken(f"{place} is sent, but the run is {run.state} at epoch {run.epoch}")
        if message.kind == "run":
            return
        step = self._store.steps.get(run.id, message.fields["key"])
        if step is None:
            raise Broken(f"{place} is sent, but the step is not recorded")
        if message.kind == "go" and (step.state, step.attempt, step.wake_at) != (
            "running", message.fields["attempt"], None
        ):  # fmt: skip
            raise Broken(
                f"{place} says attempt {message.fields['attempt']}, but {step.state} {step.attempt} is recorded"
            )
        if message.kind == "outcome":
            recorded = step.output if step.state == "succeeded" else step.error
            if (step.state, recorded) != (message.fields["state"], message.payload):
                raise Broken(f"{place} is not what is recorded: {step.state} {recorded}")

    def on_body(self, execution: Execution, operation: Operation) -> None:
        """No recorded step runs again, no attempt twice, and none with an unknown outcome by itself."""
        run_id, key = execution.run, execution.key
        place = f"run {run_id} step {key}"
        run = self._store.runs.get(run_id)
        execution.run_attempt = run.attempt
        step = self._store.steps.get(run_id, key)
        crossed = step is not None and step.attempt == execution.attempt and "StepTimedOut" in (step.error or "")
        may_run = crossed or execution.early  # the word to begin has met the end on its way
        if step is not None and step.state in ("succeeded", "failed") and not may_run:
            raise Broken(f"{place} runs, but it has {step.state} already")
        if not isinstance(operation, Call):
            return
        earlier = self._ledger.of(run_id, key)
        unasked = "pure" in operation.options
        if not unasked and any(other.attempt == execution.attempt for other in earlier):
            raise Broken(f"{place}: attempt {execution.attempt} runs twice")
        if operation.options.get("on_crash") == "block" and not unasked and earlier:
            self._refuse_second(place, earlier[-1], run)

    def _refuse_second(self, place: str, last: Execution, run: Run) -> None:
        """A second start needs a failure that is known and recorded, or another attempt of the whole run."""
        if last.run_attempt != run.attempt:
            return
        recorded = [each for each in self._store.steps.attempts(run.id, last.key) if each.attempt == last.attempt]
        timed_out = any("StepTimedOut" in (each.error or "") for each in recorded)
        failed = last.ending == "failed" and any(each.state == "failed" for each in recorded)
        if not (timed_out or failed):
            raise Broken(
                f"{place} starts again, but nobody knows whether attempt {last.attempt} finished: {last.ending}"
            )

    # -- now and then --------------------------------------------------------------------------------------------------

    def outcomes(self) -> None:
        """Recorded outcomes never change, and accepted runs do not vanish."""
        for step_id, *rest in self._store.connection.rows(_FINISHED):
            known = self._outcomes.setdefault(step_id, tuple(rest))
            if known != tuple(rest):
                raise Broken(f"a recorded outcome has changed from {known} to {rest}")
        runs: dict[int, str] = dict(self._store.connection.rows("SELECT id, workflow FROM runs"))
        for number, workflow in self.acknowledged.items():
            if runs.get(number) != workflow:
                raise Broken(f"run {number} was accepted and is gone")

    def invariants(self, *, full: bool = False) -> None:
        """The file is in order."""
        findings = self._store.check(full=full)
        if findings:
            raise Broken("; ".join(f"{each.check}: {each.subject} {each.message}" for each in findings))

    def history(self) -> None:
        """Runs go from state to state as they may."""
        last: dict[int, tuple[str, int, int]] = {}
        for run_id, _, state, epoch, attempt in self._store.connection.rows(_EVENTS):
            if run_id not in last:
                last[run_id] = state, epoch, attempt
                continue
            before, old_epoch, old_attempt = last[run_id]
            anew = before in ("failed", "cancelled")
            if state not in _NEXT[before] or attempt < old_attempt or (anew and attempt != old_attempt + 1):
                raise Broken(f"run {run_id} goes from {before} ({old_attempt}) to {state} ({attempt})")
            if epoch != old_epoch + (state == "running"):
                raise Broken(f"run {run_id} is {state} at epoch {epoch} after {old_epoch}")
            last[run_id] = state, epoch, attempt

    # -- at the end ----------------------------------------------------------------------------------------------------

    def finished(self) -> None:
        """Everything that was recorded fits together, and with what really happened."""
        self.outcomes()
        self.history()
        self.invariants(full=True)
        for run in self.runs():
            steps = self._store.steps.of_run(run.id)
            for step in steps:
                self._check_step(run, step)
            if run.state == "succeeded":
                self._replay(run, steps)

    def runs(self) -> list[Run]:
        """Return all runs, the oldest first."""
        return [self._store.runs.get(row[0]) for row in self._store.connection.rows("SELECT id FROM runs ORDER BY id")]

    def _check_step(self, run: Run, step: Step) -> None:
        place = f"run {run.id} step {step.key}"
        if step.kind == "step" and step.state == "succeeded":
            did = [each for each in self._ledger.of(run.id, step.key) if each.output == step.output]
            if not any(each.ending == "succeeded" for each in did):
                raise Broken(f"{place} has succeeded with {step.output}, which no body returned")
        if step.kind == "sleep" and step.state == "succeeded":
            asked = int(step.input.removeprefix('{"duration_ms":').removesuffix("}"))
            if (step.finished_at or 0) - step.begun_at < asked:
                raise Broken(f"{place} slept {(step.finished_at or 0) - step.begun_at} ms instead of {asked}")
        failed = [
            each
            for each in self._store.steps.attempts(run.id, step.key)
            if each.state == "failed" and each.attempt >= step.first_attempt
        ]
        retries = self._options(step).get("retries", 0)
        if len(failed) > 1 + retries:
            raise Broken(f"{place} has {len(failed)} failed attempts, and {retries} retries")

    def _options(self, step: Step) -> dict[str, Any]:
        calls = [call for program in self._programs.values() for call in calls_of(program.body)]
        return next((call.options for call in calls if call.name == step.name), {})

    def _replay(self, run: Run, steps: list[Step]) -> None:
        """What a run has returned is what its workflow makes of the recorded outcomes."""
        oracle = _Oracle({step.key: step for step in steps}, run)
        given = json.loads(run.input)["n"]
        program = self._programs[run.workflow]
        try:
            output = _result(program.execute(given if isinstance(given, int) else given["run"], oracle))
        except StepFailure as failure:
            raise Broken(f"run {run.id} has succeeded, but its steps make it fail: {failure}") from None
        if run.output != str(output):
            raise Broken(f"run {run.id} returned {run.output}, its steps make {output}")
        if oracle.asked != len(steps):
            raise Broken(f"run {run.id} has {len(steps)} recorded steps and asked {oracle.asked}")


class _Oracle:
    """Performs operations from the record alone."""

    def __init__(self, steps: dict[str, Step], run: Run) -> None:
        self._steps = steps
        self._run = run
        self._keys = Keys()
        self.asked = 0

    def call(self, operation: Operation, n: int) -> Waiting:
        yield from ()  # it waits for nothing
        return self._recorded(operation, n)

    def gather(self, operations: Sequence[Call | Child], n: int, concurrency: int) -> Waiting:
        yield from ()
        outcomes = [self._tried(operation, n) for operation in operations]
        failed = [outcome for outcome in outcomes if isinstance(outcome, StepFailure)]
        if failed:
            raise failed[0]
        return outcomes

    def _tried(self, operation: Operation, n: int) -> int | StepFailure:
        try:
            return self._recorded(operation, n)
        except StepFailure as failure:
            return failure

    def _recorded(self, operation: Operation, n: int) -> int:
        seq, key = self._keys.next(operation.name)
        self.asked += 1
        step = self._steps.get(key)
        if step is None or step.seq != seq or step.kind != operation.kind:
            raise Broken(f"run {self._run.id} has succeeded without step {seq} {key}")
        plain = {"duration_ms": operation.ms} if isinstance(operation, Sleep) else {"n": n}
        if operation.kind != "value" and step.input_hash != hash_of_plain(plain):
            raise Broken(f"run {self._run.id} step {key} was given {step.input}, its workflow asks {plain}")
        if step.state == "failed":
            raise StepFailure(key)
        if step.state != "succeeded":
            raise Broken(f"run {self._run.id} has succeeded, but step {key} is {step.state}")
        return number_of(operation, step.output or "null")


def _result(generator: Waiting) -> Any:
    try:
        next(generator)
    except StopIteration as end:
        return end.value
    raise AssertionError("the record answers at once")
