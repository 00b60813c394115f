"""Steps: what each was given, its attempts, and its one outcome. Every write carries the claim of its run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Never

from flowctl.core.errors import ClaimLost, Conflict
from flowctl.core.listing import AttemptLine, StepLine
from flowctl.core.model import Attempt, Claim, NewStep, Said, Step
from flowctl.store.connection import Connection, Row
from flowctl.store.payloads import Payloads, pack
from flowctl.store.queries import load

SQL = load("steps")
_PAGE = 500


class Steps:
    """The steps of one file. Writes belong inside `store.transaction()`."""

    def __init__(self, connection: Connection, payloads: Payloads) -> None:
        self._connection = connection
        self._payloads = payloads

    # -- writes of an engine

    def begin(self, claim: Claim, new: NewStep, now: int) -> Step:
        """Record the input of a step before its body starts, and return its row.

        A row that is there already is returned as it is. Raises ValueError when that one is of another operation.
        """
        stored, crc = pack(new.input)
        fields = {
            "run": claim.run_id,
            "epoch": claim.epoch,
            "seq": new.seq,
            "key": new.key,
            "name": new.name,
            "kind": new.kind,
            "input": stored,
            "input_crc": crc,
            "input_hash": new.input_hash,
            "source_hash": new.source_hash,
            "wake_at": new.wake_at,
            "on_crash": new.on_crash,
            "undoes": new.undoes,
            "now": now,
        }
        rows = self._connection.write(SQL["begin"], fields)
        if not rows:
            return self._existing(claim, new)
        self._payloads.spill(stored, new.input)
        return _begun(claim.run_id, new, rows[0], now)

    def start_attempt(self, claim: Claim, key: str, now: int) -> int:
        """Start the next attempt of an interrupted step, or of one whose backoff is over, and return its number."""
        rows = self._connection.write(SQL["start_attempt"], _at(claim, key, now))
        if not rows:
            self._refuse(claim, key, "has no attempt to start")
        return int(rows[0][0])

    def succeed(self, claim: Claim, key: str, output: str, now: int) -> None:
        """Record the outcome of a step. Raises Conflict when it has one already: that one stands."""
        stored, crc = pack(output)
        fields = _at(claim, key, now)
        fields["output"] = stored
        fields["output_crc"] = crc
        rows = self._connection.write(SQL["succeed"], fields)
        if not rows:
            self._refuse(claim, key, "is not running")
        self._payloads.spill(stored, output)
        self._advanced(claim, rows[0][0])

    def fail(self, claim: Claim, key: str, error: str, now: int) -> None:
        """Record that a step failed for good, and its last attempt. Raises Conflict when it has an outcome already."""
        stored, crc = pack(error)
        fields = _at(claim, key, now) | {"error": stored, "error_crc": crc}
        rows = self._connection.write(SQL["fail"], fields)
        if not rows:
            self._refuse(claim, key, "is not running")
        self._connection.write(SQL["record_failure"], fields)
        self._payloads.spill(stored, error)
        self._advanced(claim, rows[0][0])

    def fail_attempt(self, claim: Claim, key: str, error: str, wake_at: int, now: int) -> None:
        """Record a failed attempt after which another one follows at `wake_at`."""
        stored, crc = pack(error)
        fields = _at(claim, key, now) | {"error": stored, "error_crc": crc, "wake_at": wake_at}
        if not self._connection.write(SQL["back_off"], fields):
            self._refuse(claim, key, "has no attempt under way")
        self._connection.write(SQL["record_failure"], fields)
        self._payloads.spill(stored, error)

    def set_progress(self, claim: Claim, key: str, progress: str, now: int) -> None:
        """Record the latest word of a body about how far it is. A step that has its outcome keeps what it had."""
        self._connection.change(SQL["set_progress"], _at(claim, key, now) | {"progress": progress})

    def set_external_id(self, claim: Claim, key: str, external_id: str, now: int) -> None:
        """Record what a body has begun elsewhere. Raises Conflict when the step is not under way."""
        if not self._connection.change(SQL["set_external_id"], _at(claim, key, now) | {"external_id": external_id}):
            self._refuse(claim, key, "is not running")

    def interrupt(self, claim: Claim, now: int, keys: Iterable[str] | None = None) -> None:
        """Mark the bodies that are running as interrupted: all of them, or those of the given steps."""
        if not self.interrupt_bodies(claim, now, keys):
            self.require(claim)

    def interrupt_bodies(self, claim: Claim, now: int, keys: Iterable[str] | None = None) -> int:
        """Do what `interrupt` does, and return how many there were: 0 as well when the claim is lost."""
        asked = None if keys is None else json.dumps(list(keys))
        fields = {"run": claim.run_id, "epoch": claim.epoch, "now": now, "keys": asked, "state": "interrupted"}
        self._connection.write(SQL["record_interruptions"], fields)
        return self._connection.change(SQL["interrupt"], fields)

    def cancel(self, claim: Claim, now: int) -> None:
        """Cancel all steps without an outcome."""
        if not self.cancel_open(claim, now):
            self.require(claim)

    def cancel_open(self, claim: Claim, now: int) -> int:
        """Do what `cancel` does, and return how many there were: 0 as well when the claim is lost."""
        fields = {"run": claim.run_id, "epoch": claim.epoch, "now": now, "state": "cancelled"}
        self._connection.write(SQL["record_cancellations"], fields)
        return self._connection.change(SQL["cancel"], fields)

    def require(self, claim: Claim) -> None:
        """Raise ClaimLost when another engine has the run now."""
        if self._connection.row(SQL["holds"], {"run": claim.run_id, "epoch": claim.epoch}) is None:
            raise ClaimLost(f"run {claim.run_id} is no longer held at epoch {claim.epoch}")

    # -- writes for a run that no engine holds

    def cancel_idle(self, run_id: int, now: int) -> None:
        """Cancel the open steps of a cancelled run."""
        fields = {"run": run_id, "now": now, "state": "cancelled"}
        self._connection.write(SQL["record_idle_cancellations"], fields)
        self._connection.write(SQL["cancel_idle"], fields)

    def supersede(self, run_id: int, failed: list[str], from_seq: int | None, now: int) -> None:
        """Set aside the failed and the unfinished steps of a run, and all from `from_seq` on, so that they run anew."""
        fields = {"run": run_id, "failed": json.dumps(failed), "from_seq": from_seq, "now": now}
        self._connection.write(SQL["supersede"], fields)

    # -- what forks and people add

    def share(self, run_id: int, fork_id: int, before: int, without: Iterable[str] = ()) -> None:
        """Let a new run share the finished steps of another that have a smaller place, except those with these keys."""
        left_out = list(without)
        fields = {
            "run": run_id,
            "fork": fork_id,
            "before": before,
            "without": json.dumps(left_out) if left_out else None,
        }
        self._connection.write(SQL["share"], fields)

    def say(self, run_id: int, step: Step, said: Said, now: int) -> None:
        """Record what a person says as the outcome of a step: in a fork of its run, or in its place in the same run."""
        attempt = 1
        if step.run_id == run_id:
            self._connection.write(SQL["set_aside"], {"run": run_id, "key": step.key, "now": now})
            attempt = step.attempt + 1
        fields = _packed(said) | {"run": run_id, "key": step.key, "step": step.id, "attempt": attempt, "now": now}
        self._connection.write(SQL["say"], fields)
        self._said(said, fields)

    def conclude(self, run_id: int, key: str, said: Said, now: int) -> bool:
        """Record what a person says as the outcome of an unfinished step of a blocked run. False when there is none."""
        fields = _packed(said) | {"run": run_id, "key": key, "now": now}
        if not self._connection.change(SQL["conclude"], fields):
            return False
        self._said(said, fields)
        return True

    def set_aside(self, run_id: int, key: str, now: int) -> None:
        """Set one step of a blocked run aside, so that it runs anew."""
        self._connection.write(SQL["set_aside"], {"run": run_id, "key": key, "now": now})

    def _said(self, said: Said, fields: dict[str, Any]) -> None:
        if said.error is not None:
            self._connection.write(SQL["record_said_failure"], fields)
        for name in ("output", "error"):
            text = getattr(said, name)
            if text is not None:
                self._payloads.spill(fields[name], text)

    # -- questions

    def of_run(self, run_id: int, *, after_seq: int = 0, limit: int | None = None) -> list[Step]:
        """Return the current steps of a run in the program's order."""
        parameters = {"run": run_id, "after": after_seq, "limit": -1 if limit is None else limit}
        return [self._step(row) for row in self._connection.rows(SQL["of_run"], parameters)]

    def history(self, run_id: int) -> Iterator[Step]:
        """Yield the current steps of a run in the program's order, read page by page."""
        after = 0
        while page := self.of_run(run_id, after_seq=after, limit=_PAGE):
            yield from page
            after = page[-1].seq

    def lines(self, run_id: int, *, after_seq: int = 0) -> list[StepLine]:
        """Return what a list shows of the current steps of a run, in the program's order."""
        return [StepLine(*row) for row in self._connection.rows(SQL["lines"], {"run": run_id, "after": after_seq})]

    def replaced(self, run_id: int) -> list[Step]:
        """Return the steps that a retry set aside and that have not run anew, in the program's order."""
        return [self._step(row) for row in self._connection.rows(SQL["replaced"], {"run": run_id})]

    def unfinished(self, run_id: int) -> list[Step]:
        """Return the steps without an outcome, in the program's order."""
        return [self._step(row) for row in self._connection.rows(SQL["unfinished"], {"run": run_id})]

    def get(self, run_id: int, key: str) -> Step | None:
        """Return the current step with that key, or None."""
        row = self._connection.row(SQL["get"], {"run": run_id, "key": key})
        return None if row is None else self._step(row)

    def count(self, run_id: int) -> int:
        """Return how many current steps a run has."""
        return int(self._connection.value(SQL["count"], {"run": run_id}))

    def undoable(self, run_id: int) -> bool:
        """Tell whether a run has registered steps that undo what it has done."""
        return self._connection.row(SQL["undoable"], {"run": run_id}) is not None

    def undone_from(self, run_id: int) -> int | None:
        """Return the first place of a run that was undone, None when nothing was."""
        found = self._connection.value(SQL["undone_from"], {"run": run_id})
        return None if found is None else int(found)

    def attempts(self, run_id: int, key: str | None = None) -> list[Attempt]:
        """Return the attempts that did not succeed, by key and number."""
        name = "attempts" if key is None else "attempts_of_step"
        rows = self._connection.rows(SQL[name], {"run": run_id, "key": key})
        unpack = self._payloads.unpack_optional
        return [Attempt(found, number, state, unpack(error), *times) for found, number, state, error, *times in rows]

    def attempt_lines(self, run_id: int) -> list[AttemptLine]:
        """Return what a list shows of the attempts that did not succeed, by key and number."""
        return [AttemptLine(*row) for row in self._connection.rows(SQL["attempt_lines"], {"run": run_id})]

    def children(self, run_id: int) -> dict[str, int]:
        """Return the numbers of the runs that a run started, by the key of the step that each answers."""
        return dict(self._connection.rows(SQL["children"], {"run": run_id}))

    # -- parts

    def _existing(self, claim: Claim, new: NewStep) -> Step:
        self.require(claim)
        found = self.get(claim.run_id, new.key)
        if found is None:
            raise ValueError(f"step {new.seq} of run {claim.run_id} is recorded under another key than {new.key}")
        if (found.seq, found.kind, found.input_hash) != (new.seq, new.kind, new.input_hash):
            raise ValueError(f"step {new.key} of run {claim.run_id} is recorded with another place, kind or input")
        return found

    def _advanced(self, claim: Claim, crashes: int) -> None:
        if crashes:
            self._connection.write(SQL["advanced"], {"run": claim.run_id, "epoch": claim.epoch})

    def _refuse(self, claim: Claim, key: str, why: str) -> Never:
        self.require(claim)
        raise Conflict(f"step {key} of run {claim.run_id} {why}")

    def _step(self, row: Row) -> Step:
        fields = list(row)
        fields[10] = self._payloads.unpack(row[10])  # input
        fields[13] = self._payloads.unpack_optional(row[13])  # output
        fields[14] = self._payloads.unpack_optional(row[14])  # error
        return Step(*fields)


def _packed(said: Said) -> dict[str, Any]:
    output, output_crc = (None, None) if said.output is None else pack(said.output)
    error, error_crc = (None, None) if said.error is None else pack(said.error)
    return {"by": said.by, "output": output, "output_crc": output_crc, "error": error, "error_crc": error_crc}


def _at(claim: Claim, key: str, now: int) -> dict[str, Any]:
    return {"run": claim.run_id, "epoch": claim.epoch, "key": key, "now": now}


def _begun(run_id: int, new: NewStep, row: Row, now: int) -> Step:
    step_id, attempt = row
    return Step(
        id=step_id,
        run_id=run_id,
        seq=new.seq,
        key=new.key,
        name=new.name,
        kind=new.kind,
        state="running",
        attempt=attempt,
        first_attempt=attempt,
        crashes=0,
        input=new.input,
        input_hash=new.input_hash,
        source_hash=new.source_hash,
        output=None,
        error=None,
        wake_at=new.wake_at,
        begun_at=now,
        started_at=now,
        finished_at=None,
        on_crash=new.on_crash,
        undoes=new.undoes,
    )
