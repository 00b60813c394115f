"""One claimed run on one executor: what the executor says becomes records, and the records become answers.

Every method runs inside the engine's transaction. What reaches outside it (messages, signals) is queued and happens
after the commit; when the commit fails, `restore` takes the session back and the same events are applied again.
"""

from __future__ import annotations

import json
from math import inf
from typing import TYPE_CHECKING, Any, Literal

from flowctl.core.model import Claim, Run, Step
from flowctl.engine import closing
from flowctl.engine.loading import code_messages
from flowctl.engine.observer import LogCaptured, StepChanged
from flowctl.engine.operation import Operation
from flowctl.sdk.wire import Message

if TYPE_CHECKING:
    from flowctl.engine.engine import Engine
    from flowctl.engine.supervisor import Executor

STOPPED = "stopped by a person"
PAUSED = "paused by a person"
LOAD_TIMEOUT_S = 60.0
SUSPEND_TIMEOUT_S = 10.0

Phase = Literal["ahead", "loading", "running", "draining", "suspending", "cancelling", "over"]
Ending = Literal["restart", "pause", "leave", "cancel"]  # leave: go on when an engine runs again


class Session:
    """A run that this engine has claimed, until its release or end; or one that is begun ahead of that (offers.py)."""

    def __init__(self, engine: Engine, run: Run) -> None:
        self.engine = engine
        self.store = engine.store
        self.run = run
        self.claim = Claim(run.id, run.epoch)
        self.executor: Executor | None = None
        self.phase: Phase = "loading"
        self.ending: Ending | None = None
        self.operations: dict[str, Operation] = {}
        self.outbox: list[Message] = []
        self.grace = inf  # monotonic: when the present phase has taken too long
        self.idle_since = inf
        self.serial = False
        self.astray = False  # its executor may hold a step for a success that has failed: it is not to go on
        self.pause_reason = STOPPED
        self.refusal = "importing its code took too long"
        self._began = self._attempt_began()
        self.verdict = run.verdict  # the error of a run that is being undone, once that is known
        self.undoing = run.verdict is not None or (run.request == "cancel" and self.store.steps.undoable(run.id))

    def _attempt_began(self) -> int:
        if "timeout_ms" not in self.run.options:
            return self.engine.now
        return self.store.events.attempt_began(self.run.id, self.run.attempt) or self.engine.now

    @property
    def has_run(self) -> bool:
        """Tell whether the run is claimed."""
        return self.phase not in ("ahead", "over")

    # -- the transaction --------------------------------------------------------------------------------------------

    def save(self) -> tuple[Any, ...]:
        """Return what `restore` needs to take back everything that one transaction did to this session."""
        offer = self.executor.offer if self.executor is not None else None
        return (
            self.executor, offer, self.phase, self.ending, self.grace, self.idle_since, self.serial,
            dict(self.operations), self.undoing, self.verdict, self.astray,
        )  # fmt: skip

    def restore(self, saved: tuple[Any, ...]) -> None:
        """Take the session back to what `save` returned."""
        self.executor, offer, self.phase, self.ending, self.grace, *rest = saved
        self.idle_since, self.serial, self.operations, self.undoing, self.verdict, self.astray = rest
        self.outbox.clear()
        if self.executor is not None:
            self.executor.session, self.executor.offer = self, offer

    def take_messages(self) -> list[Message]:
        """Return what is to be sent now. To an executor that is astray no outcome: the workflow is not to go on."""
        messages, self.outbox = self.outbox, []
        return [message for message in messages if not self.astray or message.kind in ("go", "drain", "kept")]

    # -- beginning --------------------------------------------------------------------------------------------------

    def attach(self, executor: Executor) -> None:
        """Give the run to an executor, which loads its code first unless it has done so before."""
        executor.session = self
        executor.used = True
        self.executor = executor
        if executor.loaded == (self.run.code, self.run.path):
            self.begin()
            return
        self.phase = "loading"
        self.grace = self.engine.monotonic + LOAD_TIMEOUT_S
        self.outbox += code_messages(self.store.snapshots.get(self.run.code), self.run.path)

    def refuse(self, reason: str) -> None:
        """Have the run blocked in the next tick: it cannot get an executor."""
        self.refusal = reason
        self.grace = self.engine.monotonic

    def begin(self) -> None:
        """Send the recorded steps and start the workflow function."""
        assert self.executor is not None
        self.phase = "running"
        self.grace = inf
        self.executor.began_at = self.engine.monotonic
        self.outbox += [past_message(step) for step in self.store.steps.history(self.run.id)]
        self.outbox.append(
            run_message(self.run, self.store.file_id, self.run.started_at, serial=self.serial, cancelled=self.undoing)
        )
        if self.executor.quick:
            self.engine.look_for_runs()  # there may be one to offer to it

    def go_on(self, executor: Executor) -> None:
        """Take over an executor that was offered this run and begins it now."""
        executor.session = self
        self.executor = executor
        executor.began_at = self.engine.monotonic
        self.phase = "running"

    def begin_ahead(self, executor: Executor, grace_s: float) -> None:
        """Let an idle executor begin the run. It is claimed with the first message, or after that grace."""
        self.go_on(executor)
        self.phase = "ahead"
        self.grace = self.engine.monotonic + grace_s
        self.outbox.append(run_message(self.run, self.store.file_id, self.engine.now))

    def on_loaded(self, message: Message) -> None:
        """Begin: the executor has imported the code. One that is told to end may say so too."""
        assert self.executor is not None
        if self.phase != "loading":
            return
        self.executor.loaded = (self.run.code, self.run.path)
        self.begin()

    def on_load_failed(self, message: Message) -> None:
        """Block the run: its code cannot be imported, which a person has to mend."""
        if self.phase != "loading":
            return
        error = json.loads(message.payload or "{}")
        where = f"{message.fields.get('file') or self.run.path}"
        if message.fields.get("line"):
            where += f":{message.fields['line']}"
        closing.block(self, f"its code cannot be imported: {error.get('type')}: {error.get('message')} ({where})")

    # -- captured text ----------------------------------------------------------------------------------------------

    def on_log(self, message: Message) -> None:
        """Store captured text."""
        fields = message.fields
        at = fields.get("at") or self.engine.now
        line = LogCaptured(
            self.run.id,
            fields.get("step"),
            fields.get("attempt"),
            fields["stream"],
            fields.get("level"),
            message.payload or "",
            at,
        )
        self.store.logs.append(line.run_id, line.step, line.attempt, line.at, line.stream, line.level, line.text)
        self.engine.changes.append(line)

    def tell(self, operation: Operation, state: str, error: str | None = None) -> None:
        """Queue what observers hear about a step after the commit."""
        finished_at = None if state == "running" else self.engine.now
        self.engine.changes.append(
            StepChanged(
                self.run.id, operation.key, operation.name, operation.kind, state, operation.attempt,
                operation.started_at, finished_at, error, operation.wake_at,
            )
        )  # fmt: skip

    @property
    def ends_at(self) -> int | None:
        """Return the instant at which this attempt of the run has taken too long."""
        limit = self.run.options.get("timeout_ms")
        return None if limit is None or self.undoing else self._began + limit

    # -- ending -----------------------------------------------------------------------------------------------------

    def suspend(self) -> None:
        """Let the executor unwind the workflow function."""
        self.phase = "suspending"
        self.grace = self.engine.monotonic + SUSPEND_TIMEOUT_S
        self.outbox.append(Message("suspend", {}))

    def drain(self, ending: Ending, grace_s: float) -> None:
        """Start no further bodies; when those that run are done, or the grace is over, do what `ending` says."""
        if self.phase == "loading" and ending != "restart":
            self.ending = ending
            closing.interrupt(self)
            return
        if self.phase not in ("running", "draining"):
            return
        self.phase = "draining"
        self.astray = self.astray or ending == "restart"
        self.ending = "pause" if "pause" in (self.ending, ending) else ending
        self.grace = min(self.grace, self.engine.monotonic + grace_s)
        self.outbox.append(Message("drain", {}))
        self.settle()

    def settle(self) -> None:
        """Go on with what the draining is for, once nothing runs or the grace is over."""
        bodies = [operation for operation in self.operations.values() if operation.phase == "body"]
        unrepeatable = any(operation.options.on_crash == "block" for operation in bodies)
        overdue = self.engine.monotonic >= self.grace
        if bodies and not (overdue and (not unrepeatable or self.ending != "restart")):
            if overdue:
                self.grace = inf  # its own timeout is the bound now
            return
        if not self.astray and not bodies:
            self.suspend()
        else:
            closing.interrupt(self)

    def on_gone(self, reason: str) -> None:
        """Decide what the death of the executor means."""
        self.executor = None
        closing.gone(self, reason)


def run_message(
    run: Run, file_id: str, started_at: int | None, *, serial: bool = False, cancelled: bool = False
) -> Message:
    """Return the message that starts the workflow function."""
    fields = {
        "run": run.id,
        "attempt": run.attempt,
        "function": run.function,
        "file_id": file_id,
        "replay": run.replay,
        "serial": serial,
        "workflow": run.workflow,
        "namespace": run.namespace,
        "tags": run.tags,
        "started_at": started_at,
        "due_at": run.due_at,
        "attempts": run.options.get("attempts", 1),
        "cancelled": cancelled,
    }
    return Message("run", fields, run.input)


def past_message(step: Step) -> Message:
    """Return the message that tells of one recorded step. What a person said answers whatever the code asks."""
    fields = {
        "seq": step.seq,
        "key": step.key,
        "kind": step.kind,
        "state": step.state,
        "input_hash": step.input_hash.hex() if step.said_by is None else "",
        "source_hash": step.source_hash.hex() if step.source_hash else None,
        "undoes": step.undoes,
    }
    return Message("past", fields, step.output if step.state == "succeeded" else step.error)
