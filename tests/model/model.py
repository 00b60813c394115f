"""What the store and the commands promise, as plain dicts: rows as the tables hold them, without SQL, files or locks.

Each operation checks first and changes after, so that one that raises has changed nothing. Instants are UTC
milliseconds.
"""

from __future__ import annotations

import json
from typing import Any

from flowctl.core.errors import Conflict, NotFound
from flowctl.core.model import Claim, NewRun, NewStep, Run, Snapshot
from flowctl.core.policy import error_text, summary, unknown_outcome
from flowctl.engine.closing import failure_handler
from flowctl.engine.session import PAUSED
from tests.model.signals import Signals
from tests.model.tables import BY, CRASH_LIMIT, FINAL, IDLE, OPEN, Row, until


class Model(Signals):
    """One file and the engines that are alive, with everything that can be asked of them."""

    # -- engines

    def start_engine(self, token: str, pid: int, labels: tuple[str, ...]) -> int:
        """Record an engine that is alive."""
        number = len(self.engines) + 1
        self.engines[number] = {
            "id": number,
            "token": token,
            "kind": "foreground",
            "pid": pid,
            "boot_id": self.boot,
            "started_at": self.now,
            "stopped_at": None,
            "labels": json.dumps(labels),
            "queues": None,
        }
        self.alive.add(number)
        return number

    def stop_engine(self, engine: int) -> None:
        """End an engine in order: what an error left it with is free."""
        self._retire(engine, "its engine stopped")
        self.alive.discard(engine)

    def crash_engine(self, engine: int) -> None:
        """End an engine out of order: the file learns nothing."""
        self.alive.discard(engine)

    def reboot(self, boot: str) -> None:
        """End everything that runs on the machine."""
        self.boot = boot
        self.alive.clear()

    def recover(self) -> dict[int, int]:
        """Free the runs of dead engines. Returns how many each had when its processes were ended."""
        dead = self.dead()
        killed = {row["id"]: len(self.held(row["id"])) for row in dead if row["boot_id"] == self.boot}
        for row in dead:
            self._retire(row["id"], "its engine died")
        if dead:
            self.commit()
        return killed

    # -- commands

    def submit(self, new: NewRun, snapshot: Snapshot) -> tuple[int, bool]:
        """Create a run, or find the one with its key."""
        found = [run for run in self.runs.values() if (run["namespace"], run["key"]) == (new.namespace, new.key)]
        if new.key is not None and found:
            if (found[0]["workflow"], found[0]["input_hash"]) != (new.workflow, new.input_hash):
                raise Conflict("the key is another run's")
            self.put(snapshot)
            return found[0]["id"], False
        self.put(snapshot)
        return self.create(new), True

    def cancel(self, run: int) -> Row:
        """Cancel a run and all below it."""
        self.recover()
        self._cancel_all(self.family(run))
        self._note_request(run, "cancel")
        return self.answer(run)

    def pause(self, run: int) -> Row:
        """Pause a run and all below it."""
        self.recover()
        family = self.family(run)
        if family[0]["state"] in FINAL | {"blocked"}:
            raise Conflict("nothing to pause")
        for member in family:
            if member["state"] in ("queued", "sleeping", "waiting") and member["request"] != "cancel":
                self.move(member, "paused", reason=PAUSED, wake_at=None, request=None)
            else:
                self._request(member, "pause")
        self._note_request(run, "pause")
        return self.answer(run)

    def _note_request(self, run: int, request: str) -> None:
        if self.run(run)["request"] == request:
            self.note(f"run {run}", f"asked to {request}")

    def resume(self, run: int) -> Row:
        """Let a run and all below it go on."""
        self.recover()
        family = self.family(run)
        if family[0]["state"] in FINAL | {"blocked"}:
            raise Conflict("nothing to resume")
        for member in family:
            if member["state"] == "paused":
                after = member["after_id"] if self.stands_behind(member) else None
                state = "queued" if after is None else "waiting"
                self.move(member, state, reason=until(after), wake_at=None, after_id=after)
        return self.answer(run)

    def reserve(self, run: int, engine: int) -> None:
        """Take a run and its family for an engine."""
        self.recover()
        row = self.run(run)
        if row["followed_by"] not in (None, engine):
            raise Conflict("another engine has it")
        root = row["root_id"] or run
        for member in self.runs.values():
            if root in (member["id"], member["root_id"]) and member["followed_by"] is None:
                member["followed_by"] = engine

    def steal(self, run: int) -> dict[int, int]:
        """Take a run and all below it from their engines. Returns how many runs each had when it was robbed."""
        robbed = self.recover()
        for member in [dict(member) for member in self.family(run)]:
            for engine in sorted({member["engine_id"], member["followed_by"]} & self.alive):
                robbed.setdefault(engine, len(self.held(engine)))
                for held in self.held(engine):
                    self._free(held, "it was taken from its engine")
                self._unfollow(engine)
            self.commit()
        return robbed

    def retry(self, run: int, replay: str, snapshot: Snapshot | None, from_step: str | None) -> Row:
        """Let a run that has ended badly go on."""
        self.recover()
        self._retry(self.run(run), replay, snapshot.code if snapshot else None, from_step, None, snapshot)
        return self.answer(run)

    def rerun(self, run: int, snapshot: Snapshot | None) -> int:
        """Create a run like another."""
        old = self.run(run)
        return self.create(NewRun(**self._like(old, snapshot), rerun_of=run))

    def _like(self, old: Row, snapshot: Snapshot | None) -> Row:
        if snapshot is not None:
            self.put(snapshot)
        same = ("workflow", "path", "function", "directory", "input", "input_hash", "namespace", "options", "python",
                "env_file", "queue", "priority", "tags")  # fmt: skip
        return {name: old[name] for name in same} | {"code": snapshot.code if snapshot else old["code"]}

    def fork(self, run: int, key: str | None, output: str | None, snapshot: Snapshot | None) -> int:
        """Create a run that shares the finished steps of another before one, and may be given that one's outcome."""
        old, at = self.run(run), None if key is None else self.step(run, key)
        if key is not None and at is None:
            raise NotFound("no such step")
        self.recover()
        replay: Any = "newest" if snapshot else "pinned"
        number = self.create(NewRun(**self._like(old, snapshot), forked_from=run, forked_step=key, replay=replay))
        for step in self.current(run) if at is not None else ():
            if at is not None and step["seq"] < at["seq"] and step["state"] in ("succeeded", "failed"):
                self.steps.append(step | self._shared(step) | {"run_id": number})
        if at is not None and output is not None:
            self._say(number, at, output, 1)
        return number

    def _shared(self, step: Row) -> Row:
        holder = step["shared_id"] or 1 + next(n for n, each in enumerate(self.steps) if each is step)
        payloads = {name: None if step[name] is None else "" for name in ("input", "output", "error")}
        return payloads | {"attempt": 1, "first_attempt": 1, "crashes": 0, "shared_id": holder}

    def _say(self, run: int, step: Row, output: str, attempt: int) -> None:
        said = {"run_id": run, "state": "succeeded", "output": output, "error": None, "said_by": BY, "shared_id": None}
        times = dict.fromkeys(("begun_at", "started_at", "finished_at"), self.now)
        counts = {"attempt": attempt, "first_attempt": attempt, "crashes": 0}
        unset = {"source_hash": None, "wake_at": None, "superseded_at": None}
        self.steps.append(self._whole(step) | said | times | counts | unset)
        self.spill(output)

    def resolve(self, run: int, key: str, output: str | None, snapshot: Snapshot | None) -> Row:
        """Decide about a step of a blocked run."""
        found = self.step(run, key) or self._replaced(run, key)
        if found is None:
            raise NotFound("no such step")
        self.recover()
        row, open_ = self.run(run), found["finished_at"] is None and found["superseded_at"] is None
        if row["state"] != "blocked" or (open_ and output is not None and found["kind"] == "child"):
            raise Conflict("nothing to decide")
        if open_ and output is not None:
            ends = max(self.now, found["started_at"])
            found.update(state="succeeded", output=output, wake_at=None, finished_at=ends, said_by=BY)
            self.spill(output)
        elif open_ or (output is not None and found["superseded_at"] is None):
            found["superseded_at"] = max(self.now, found["begun_at"])
        if not open_ and output is not None:
            self._say(run, found, output, found["attempt"] + 1)
        doubts = [each for each in self.current(run) if (each["state"], each["on_crash"]) == ("interrupted", "block")]
        if doubts:
            row["reason"] = unknown_outcome(doubts[0]["key"], "it was cut short")
            return self.answer(run)
        from_step = key if output is None and not open_ else None
        self._retry(
            row, "newest" if snapshot else "pinned", snapshot.code if snapshot else None, from_step, None, snapshot
        )
        what = "runs again" if output is None else "is done"
        row["reason"] = self.events[-1]["reason"] = f"step {key} {what}, says {BY}"
        return self.answer(run)

    def _replaced(self, run: int, key: str) -> Row | None:
        found = [step for step in self.steps if (step["run_id"], step["key"]) == (run, key)]
        return found[-1] if found else None

    # -- claims

    def claim(self, run: int, engine: int) -> Row | None:
        """Take a run that is due, or None."""
        row = self.runs.get(run)
        if row is None or row["state"] not in ("queued", "sleeping", "waiting"):
            return None
        if row["wake_at"] is None and row["state"] != "queued":  # a child's end puts what waits for it in the queue
            return None
        if row["wake_at"] is not None and row["wake_at"] > self.now:
            return None
        if row["followed_by"] not in (None, engine):
            return None
        started_at = self.now if row["started_at"] is None else row["started_at"]
        self.move(
            row, "running", engine_id=engine, epoch=row["epoch"] + 1, started_at=started_at, wake_at=None, reason=None
        )
        return self.answer(run)

    def release(self, claim: Claim, state: str, reason: str | None, wake_at: int | None) -> None:
        """Let go of a run that goes on later."""
        run = self._claimed(claim)
        request = None if state in ("paused", "blocked") else run["request"]
        self.move(run, state, reason=reason, wake_at=wake_at, engine_id=None, request=request)

    def finish(self, claim: Claim, state: str, outcome: str | None, failed: list[str]) -> None:
        """Record the final state of a run, with what else belongs to it."""
        run = self._claimed(claim)
        if state != "succeeded":
            self._cancel_steps(claim.run_id)
            self._cancel_all(self.family(claim.run_id)[1:])
        self._end(run, state, outcome, failed)
        self._wake_parent(run)
        if state == "failed":
            self._handle_failure(run)

    def fail_and_retry(self, claim: Claim, error: str, failed: list[str], wake_at: int) -> None:
        """End an attempt of a run that has another one left."""
        run = self._claimed(claim)
        self._cancel_steps(claim.run_id)
        self._end(run, "failed", error, failed)
        self._retry(run, "pinned", None, None, wake_at, None)

    def take_back_code(self, claim: Claim) -> None:
        """Give a run its earlier code again."""
        run = self._claimed(claim)
        run.update(code=run["earlier_code"] or run["code"], earlier_code=None)

    def orphan(self, claim: Claim, state: str, reason: str | None) -> bool:
        """Take a run from an engine that had it at that epoch."""
        if not self.holds(claim):
            return False
        run = self.runs[claim.run_id]
        self._interrupt(claim.run_id, None)
        if state == "failed":
            self._cancel_steps(claim.run_id)
        error = error_text("CrashLoop", reason or "") if state == "failed" else None
        finished_at = max(self.now, run["started_at"]) if state == "failed" else None
        self.move(
            run, state, reason=reason, request=None, engine_id=None, crashes=run["crashes"] + 1, error=error,
            finished_at=finished_at,
        )  # fmt: skip
        return True

    def wake_after(self) -> int:
        """Queue the runs that waited for another which has ended."""
        over = self.over_after()
        for run in over:
            self.move(run, "queued", reason=None, after_id=None)
        return len(over)

    def begin_child(self, claim: Claim, step: NewStep, child: NewRun) -> int:
        """Begin a step that a run of its own answers, and return that run: it is made, or started again, or there."""
        self.begin(claim, step)
        found = self.child_of(claim.run_id, step.key)
        if found is None:
            return self.create(child)
        if found["state"] in ("failed", "cancelled"):
            self._retry(found, "pinned", None, None, None, None)
        return int(found["id"])

    # -- parts

    def _end(self, run: Row, state: str, outcome: str | None, failed: list[str]) -> None:
        self.spill(outcome)
        self.move(
            run, state, engine_id=None, request=None, failed_steps=failed, finished_at=max(self.now, run["started_at"]),
            output=outcome if state == "succeeded" else None, error=outcome if state == "failed" else None,
            reason=reason_of(state, outcome),
        )  # fmt: skip

    def _retry(
        self, run: Row, replay: str, code: str | None, from_step: str | None, wake_at: int | None, put: Snapshot | None
    ) -> None:
        if run["state"] not in ("failed", "cancelled", "blocked"):
            raise Conflict("only what has ended badly is retried")
        steps = [step for step in self.steps if step["run_id"] == run["id"]]
        places = [step["seq"] for step in steps if step["key"] == from_step]
        if from_step is not None and not places:
            raise NotFound("no such step")
        if put is not None:
            self.put(put)
        first = self._place(run["id"], from_step)
        for step in self.current(run["id"]):
            again = first is not None and step["seq"] >= first
            child = self.child_of(run["id"], step["key"])
            if again and child is not None and child["state"] in FINAL:
                child["detached_at"] = self.now
            if again or step["state"] in OPEN | {"cancelled"} or step["key"] in run["failed_steps"]:
                step["superseded_at"] = max(self.now, step["begun_at"])
        self.move(
            run, "queued", attempt=run["attempt"] + 1, replay=replay, code=code or run["code"],
            earlier_code=run["code"] if code else None, reason=None, request=None, output=None, error=None,
            failed_steps=[], crashes=0, wake_at=wake_at, finished_at=None, after_id=None,
        )  # fmt: skip

    def _place(self, run: int, key: str | None) -> int | None:
        """Return the place of a step: of the one that counts, or else of the last that was set aside."""
        if key is None:
            return None
        counts = self.step(run, key)
        rows = [step for step in self.steps if (step["run_id"], step["key"]) == (run, key)]
        return int((counts or rows[-1])["seq"])

    def _request(self, run: Row, request: str) -> None:
        if run["state"] == "running" and run["request"] != "cancel":
            run["request"] = request

    def _cancel_all(self, runs: list[Row]) -> None:
        for run in runs:
            if run["state"] in IDLE:
                finished_at = max(self.now, run["started_at"] or self.now)
                self.move(run, "cancelled", reason="cancelled", wake_at=None, request=None, finished_at=finished_at)
                self._cancel_steps(run["id"])
                self._wake_parent(run)
            else:
                self._request(run, "cancel")

    def _wake_parent(self, run: Row) -> None:
        if run["parent_id"] is not None:
            self.wake(run["parent_id"])

    def _handle_failure(self, run: Row) -> None:
        if "on_failure" in run["options"]:
            self.create(failure_handler(Run(**self.answer(run["id"])), run["error"]))

    def _retire(self, engine: int, what: str) -> None:
        for run in self.held(engine):
            self._free(run, what)
        self._unfollow(engine)
        row = self.engines[engine]
        if row["stopped_at"] is None:
            row["stopped_at"] = max(self.now, row["started_at"])

    def _unfollow(self, engine: int) -> None:
        for run in self.runs.values():
            if run["followed_by"] == engine:
                run["followed_by"] = None

    def _free(self, run: Row, what: str) -> None:
        """Take a run from an engine: whatever is asked of it is done, and no outcome that nobody knows is guessed."""
        claim = Claim(run["id"], run["epoch"])
        unknown = [
            step["key"]
            for step in self.current(run["id"])
            if step["on_crash"] == "block" and step["state"] == "running" and step["wake_at"] is None
        ]
        if run["request"] == "cancel":
            self.orphan(claim, "queued", what)
            self._cancel_all(self.family(run["id"]))
        elif unknown:
            self.orphan(claim, "blocked", unknown_outcome(unknown[0], what))
        elif run["crashes"] + 1 >= CRASH_LIMIT:
            self.orphan(claim, "failed", f"flowctl died {run['crashes'] + 1} times in a row while it ran this")
            self._cancel_all(self.family(run["id"])[1:])
            self._handle_failure(run)
            self._wake_parent(run)
        else:
            self.orphan(claim, "paused" if run["request"] == "pause" else "queued", what)


def reason_of(state: str, outcome: str | None) -> str | None:
    """Return what an engine says of a run that ends so."""
    if state == "failed" and outcome is not None:
        return summary(outcome)
    return "cancelled" if state == "cancelled" else None
