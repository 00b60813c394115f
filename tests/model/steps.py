"""The part of the model that is about steps: what those who hold a claim record."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flowctl.core.errors import ClaimLost, Conflict
from flowctl.core.model import Claim, NewStep, Step
from tests.model.tables import BODIES, OPEN, Row, Tables


class Steps(Tables):
    """The steps of every run, and what was said in them."""

    def begin(self, claim: Claim, new: NewStep) -> Row:
        """Record the input of a step, or find the step again."""
        self._claimed(claim)
        run, key, found = claim.run_id, new.key, self.step(claim.run_id, new.key)
        if found is not None:
            if (found["seq"], found["kind"], found["input_hash"]) != (new.seq, new.kind, new.input_hash):
                raise ValueError("another operation")
            return {name: self._whole(found)[name] for name in Step.__annotations__ if name != "id"}
        if any(step["seq"] == new.seq for step in self.current(run)):
            raise ValueError("another key")
        numbers = [step["attempt"] for step in self.steps if (step["run_id"], step["key"]) == (run, key)]
        numbers += [number for owner, name, number in self.attempts if (owner, name) == (run, key)]
        attempt = max(numbers, default=0) + 1
        row: Row = {name: getattr(new, name) for name in NewStep.__annotations__}
        row |= {"run_id": run, "state": "running", "attempt": attempt, "first_attempt": attempt, "crashes": 0}
        row |= {"output": None, "error": None, "begun_at": self.now, "started_at": self.now, "finished_at": None}
        row |= {"shared_id": None, "said_by": None, "progress": None, "external_id": None}
        self.steps.append(row | {"superseded_at": None})
        self.spill(new.input)
        return row

    def start_attempt(self, claim: Claim, key: str) -> int:
        """Start the next attempt of a step."""
        step = self._open(claim, key, lambda step: step["state"] == "interrupted" or step["wake_at"] is not None)
        started_at = max(self.now, step["begun_at"])
        step.update(state="running", attempt=step["attempt"] + 1, started_at=started_at, wake_at=None)
        return int(step["attempt"])

    def succeed(self, claim: Claim, key: str, output: str) -> None:
        """Record the outcome of a step."""
        step = self._open(claim, key, lambda step: step["state"] == "running")
        self._record(claim, step, "succeeded", output=output)

    def fail(self, claim: Claim, key: str, error: str) -> None:
        """Record that a step has failed for good."""
        step = self._open(claim, key, lambda _: True)
        self._record(claim, step, "failed", error=error)
        self._end_attempt(step, "failed", error)

    def fail_attempt(self, claim: Claim, key: str, error: str, wake_at: int) -> None:
        """Record a failed attempt, after which another follows."""
        step = self._open(claim, key, lambda step: step["state"] == "running" and step["wake_at"] is None)
        step["wake_at"] = wake_at
        self._end_attempt(step, "failed", error)
        self.spill(error)

    def interrupt(self, claim: Claim, keys: list[str] | None) -> None:
        """Mark bodies as interrupted."""
        self._claimed(claim)
        self._interrupt(claim.run_id, keys)

    def cancel_steps(self, claim: Claim) -> None:
        """Cancel all steps without an outcome."""
        self._claimed(claim)
        self._cancel_steps(claim.run_id)

    def log(self, claim: Claim, step: str | None, text: str) -> None:
        """Store captured text."""
        line = {
            "run_id": claim.run_id,
            "step": step,
            "attempt": None,
            "at": self.now,
            "stream": "stdout",
            "level": None,
        }
        self.logs.append(line | {"text": text})

    # -- parts

    def _whole(self, step: Row) -> Row:
        if step["shared_id"] is None:
            return step
        holder = self.steps[step["shared_id"] - 1]
        return step | {name: holder[name] for name in ("input", "output", "error")}

    def _claimed(self, claim: Claim) -> Row:
        if not self.holds(claim):
            raise ClaimLost("the claim does not count")
        return self.runs[claim.run_id]

    def _open(self, claim: Claim, key: str, fits: Any) -> Row:
        self._claimed(claim)
        step = self.step(claim.run_id, key)
        if step is None or step["state"] not in OPEN or not fits(step):
            raise Conflict("not in that state")
        return step

    def _record(self, claim: Claim, step: Row, state: str, **outcome: str) -> None:
        step.update(outcome, state=state, wake_at=None, finished_at=max(self.now, step["started_at"]))
        self.spill(*outcome.values())
        self.runs[claim.run_id]["crashes"] = 0

    def _end_attempt(self, step: Row, state: str, error: str | None = None) -> None:
        place = (step["run_id"], step["key"], step["attempt"])
        row = dict(zip(("run_id", "key", "attempt"), place, strict=True)) | {"state": state, "error": error}
        finished_at = max(self.now, step["started_at"])
        self.attempts.setdefault(place, row | {"started_at": step["started_at"], "finished_at": finished_at})

    def _interrupt(self, run: int, keys: Iterable[str] | None) -> None:
        for step in self.current(run):
            body = step["state"] == "running" and step["wake_at"] is None and step["kind"] in BODIES
            if body and (keys is None or step["key"] in keys):
                self._end_attempt(step, "interrupted")
                step.update(state="interrupted", crashes=step["crashes"] + 1)

    def _cancel_steps(self, run: int) -> None:
        for step in self.current(run):
            if step["state"] in OPEN:
                self._end_attempt(step, "cancelled")
                step.update(state="cancelled", wake_at=None, finished_at=max(self.now, step["started_at"]))
