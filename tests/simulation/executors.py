"""Scripted executors: processes that live on the agenda of a simulated machine and speak the wire protocol."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any, cast

from flowctl.engine.supervisor import CodeTarget, Executor
from flowctl.sdk.errors import Mismatch
from flowctl.sdk.replay import History, recorded_of
from flowctl.sdk.wire import WIRE_VERSION, Message
from tests.simulation.imitation import RECEIVE, Cancelled, Fate, Runtime, Suspended, error
from tests.simulation.ledger import Broken, Execution
from tests.simulation.programs import Operation, Program, Raised, StepFailure, Waiting, runs_unasked

if TYPE_CHECKING:
    from tests.simulation.machine import Machine

FLUSH_S = 0.01  # what nobody sends is sent after about so long
OUTBOX_MESSAGES = 100


class ScriptedExecutor(Executor):
    """A process that executes runs, and its end of the channel.

    `say` gets every frame it sends, `closed` the reason of its death.
    """

    def __init__(
        self,
        machine: Machine,
        target: CodeTarget,
        marker: str,
        say: Callable[[ScriptedExecutor, list[Message]], None],
        closed: Callable[[ScriptedExecutor, str], None],
    ) -> None:
        super().__init__(target, cast(Any, None), cast(Any, None), marker)
        self.alive = True
        self._machine = machine
        self._say = say
        self._closed = closed
        self._inbox: deque[Message] = deque()
        self._outbox: list[Message] = []
        self._frames = 0
        self._flushing = False
        self._programs: dict[str, Program] = {}
        self._runtime: Runtime | None = None
        self._cancelled = False
        self._main = self._serve()
        self._receiving = False
        self._waits = 0  # of the main thread so far: an alarm for an earlier one rings in vain
        self._deaf = machine.chance(machine.rates.refuses_term)
        self._resume(lambda: next(self._main))

    # -- the process ---------------------------------------------------------------------------------------------------

    def _resume(self, go_on: Callable[[], Any]) -> None:
        """Let the workflow's thread run until it waits again."""
        self._receiving = False
        self._waits += 1
        waits_for = go_on()
        while waits_for is RECEIVE and self._inbox and self.alive:
            waits_for = self._main.send(self._inbox.popleft())
        if not self.alive:
            return
        if waits_for is RECEIVE:
            self._receiving = True
        elif waits_for != inf:
            number = self._waits
            self._machine.agenda.after(waits_for, lambda: self._ring(number))

    def _ring(self, number: int) -> None:
        if self.alive and self._waits == number:
            self._resume(lambda: self._main.send(None))

    def hear(self, messages: list[Message]) -> None:
        """Take in a frame of the engine."""
        if not self.alive:
            return
        self._inbox.extend(messages)
        if self._receiving and self._inbox:
            self._resume(lambda: self._main.send(self._inbox.popleft()))

    def terminate(self) -> None:
        """Get SIGTERM: the run that is executed unwinds; outside of a run it is the end."""
        if not self.alive or self._deaf or self._cancelled:
            return
        if self._runtime is None:
            self.die("was killed by SIGTERM")
        else:
            self._cancelled = True
            self._resume(lambda: self._main.throw(Cancelled()))

    def die(self, reason: str) -> None:
        """End at once; what was posted and not sent is lost."""
        if self.alive:
            self.end()
            self._closed(self, reason)

    def end(self) -> None:
        """Be dead, and nobody is told."""
        self.alive = False
        self._machine.ledger.killed(self.marker)
        self._machine.note(f"executor {self.marker} ends")

    # -- the channel and the workers, for the imitation ----------------------------------------------------------------

    def send(self, *messages: Message) -> None:
        """Send what waits and these messages in one frame."""
        waiting, self._outbox = [*self._outbox, *messages], []
        if waiting and self.alive:
            self._frames += 1
            self._say(self, waiting)

    def post(self, *messages: Message) -> None:
        """Leave messages for the next frame, or the flusher."""
        self._outbox += messages
        if len(self._outbox) >= OUTBOX_MESSAGES:
            self.send()
        elif not self._flushing:
            self._flushing = True
            self._machine.agenda.after(FLUSH_S, lambda: self._flush(self._frames))

    def _flush(self, frames: int) -> None:
        self._flushing = False
        self.send()

    def receive_now(self) -> Message | None:
        """Return a message that is already there."""
        return self._inbox.popleft() if self._inbox else None

    def wake(self) -> None:
        """Wake the workflow's thread if it waits for a message."""
        if self._receiving and self.alive:
            self._resume(lambda: self._main.send(None))

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something in another thread after so many seconds."""
        if seconds != inf:
            self._machine.agenda.after(seconds, lambda: action() if self.alive else None)

    def frames(self) -> int:
        """Return how many frames were sent so far."""
        return self._frames

    def programs(self) -> dict[str, Program]:
        """Return the workflows of the file that was loaded."""
        return self._programs

    def begin_body(self, run: int, key: str, attempt: int, operation: Operation) -> Execution:
        """Note in the ledger that a body starts."""
        execution = Execution(run, key, attempt, self.marker)
        claimed = self.session is not None and self.session.run.id == run and self.session.phase != "ahead"
        execution.early = runs_unasked(operation) and not claimed
        return self._machine.begin_body(execution, operation)

    def fate(self, operation: Operation, n: int) -> Fate:
        """Decide how a body goes."""
        return self._machine.fate(operation, n)

    def pensive(self) -> float:
        """Return the seconds that the workflow function takes before its next operation."""
        return self._machine.span(self._machine.rates.pensive, 0.0, 1.0)

    def swallows(self) -> str:
        """Return what the workflow function does about its suspension."""
        if not self._machine.chance(self._machine.rates.swallows):
            return ""
        return self._machine.random.choice(("raises", "hangs"))

    # -- its main function, as flowctl.sdk.serving has it --------------------------------------------------------------

    def _serve(self) -> Waiting:
        yield self._machine.start_seconds()
        self.send(Message("hello", {"wire": WIRE_VERSION, "pid": 0, "python": "3.11.0"}))
        history = History()
        while True:
            message: Message | None = yield RECEIVE
            if message is None:
                continue
            if message.kind == "load":
                yield from self._load(message)
            elif message.kind == "past":
                history.add(recorded_of(message))
            elif message.kind == "run":
                yield from self._run_all(message, history)
                history = History()

    def _load(self, message: Message) -> Waiting:
        path = message.fields["path"]
        yield self._machine.load_seconds()
        if self._machine.chance(self._machine.rates.load_fails):
            self.send(Message("load_failed", {"file": path, "line": 1}, error("SyntaxError", "invalid")))
            return
        self._programs = self._machine.programs
        workflows = [{"name": name} for name in self._programs]
        self.send(Message("source", {"path": path}, ""), Message("loaded", {"path": path, "workflows": workflows}))

    def _run_all(self, message: Message, history: History) -> Waiting:
        """Execute a run, and those that follow at once: what ends one travels with what begins the next."""
        following: Message | None = message
        while following is not None:
            ended, following = yield from self._run(following, history)
            history = History()
            if following is None:
                self.send(ended)
            else:
                self.post(ended)

    def _run(self, message: Message, history: History) -> Waiting:
        self._runtime = runtime = Runtime(self, message, history)
        self._cancelled = False
        try:
            state, fields, payload = yield from self._execute(runtime, message)
        except Cancelled:
            state, fields, payload = "cancelled", {}, None
            yield from self._clean_up()
        self._runtime = None
        if self._machine.chance(self._machine.rates.leftovers):
            fields["leftovers"] = ["1 thread"]
        return Message("ended", {"state": state, **fields}, payload), runtime.next_run or self._offered_run()

    def _offered_run(self) -> Message | None:
        """Return the next run if it is there already; what else is there was meant for the run that has ended."""
        message = self.receive_now()
        while message is not None and message.kind != "run":
            message = self.receive_now()
        return message

    def _clean_up(self) -> Waiting:
        """Take a while for the `finally` blocks of the workflow."""
        yield self._machine.span(0.5, 0.0, 8.0)

    def _execute(self, runtime: Runtime, message: Message) -> Waiting:
        program = self._programs[message.fields["function"]]
        n = json.loads(message.payload or "{}")["n"]
        try:
            value = yield from program.execute(n if isinstance(n, int) else n["run"], runtime)
        except StepFailure as failure:
            return "failed", {"failed_steps": list(failure.keys)}, error("StepFailed", f"step {failure.keys[0]} failed")
        except Raised:
            return "failed", {"failed_steps": []}, error("RuntimeError", "")
        except Mismatch as mismatch:  # the code never changes, so what was lost is a recorded outcome
            raise Broken(f"run {runtime.run} does not fit its record: {mismatch!r}") from mismatch
        except Suspended:
            how = self.swallows()
            if how == "hangs":
                yield inf
            if how == "raises":
                return "failed", {"failed_steps": []}, error("SuspensionSwallowed", "")
            return "suspended", {}, None
        return "succeeded", {}, json.dumps(value)
