"""What an executor does with one run, without a process: it says on the wire what flowctl.sdk.runtime, serving and
gather say, in the same order. test_imitation.py holds it against a real executor.

The workflow's thread is a generator. What it yields is what it waits for: RECEIVE, or a number of seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any, NamedTuple, Protocol

from flowctl.sdk.jsontext import hash_of_plain, text_of
from flowctl.sdk.replay import FINISHED, Asked, History, Keys
from flowctl.sdk.wire import Message
from tests.simulation.ledger import Execution
from tests.simulation.programs import PATH, Call, Child, Operation, Program, Sleep, StepFailure, Waiting

RECEIVE = "a message"  # yielded: the thread waits for one; it is sent a Message, or None when a worker has woken it


class Suspended(BaseException):
    """The run goes on later."""


class Cancelled(BaseException):
    """SIGTERM came."""


class Fate(NamedTuple):
    """How one body goes: after so many seconds it returns, fails, gives_up, asks_delay or dies."""

    seconds: float
    ending: str
    output: int = 0


class Process(Protocol):
    """The process that a run is executed in."""

    def send(self, *messages: Message) -> None:
        """Send what waits and these messages in one frame."""

    def post(self, *messages: Message) -> None:
        """Leave messages for the next frame."""

    def receive_now(self) -> Message | None:
        """Return a message that is already there."""

    def wake(self) -> None:
        """Wake the workflow's thread if it waits for a message."""

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something in another thread after so many seconds."""

    def die(self, reason: str) -> None:
        """End the process at once."""

    def begin_body(self, run: int, key: str, attempt: int, operation: Operation) -> Execution:
        """Note in the ledger that a body starts."""

    def fate(self, operation: Operation, n: int) -> Fate:
        """Decide how a body goes."""

    def pensive(self) -> float:
        """Return the seconds that the workflow function takes before its next operation."""

    def swallows(self) -> str:
        """Return what the workflow function does about its suspension: nothing, `raises` or `hangs`."""

    def programs(self) -> dict[str, Program]:
        """Return the workflows of the file that was loaded."""

    def frames(self) -> int:
        """Return how many frames were sent so far."""


@dataclass(frozen=True, slots=True)
class Placed:
    """One operation of the run that has its place: answered by the record, or still to be done."""

    operation: Operation
    n: int
    key: str
    message: Message
    answer: tuple[str, str] | None
    unasked: bool


class Ended(NamedTuple):
    """How a body ended."""

    output: str | None
    fields: dict[str, Any]
    error: str | None = None

    def message(self, key: str) -> Message:
        """Return the `done` message."""
        if self.output is not None:
            return Message("done", {"key": key, "state": "succeeded"}, self.output)
        return Message("done", {"key": key, "state": "failed", **self.fields}, self.error)


class Mismatched(BaseException):
    """The code asks for something else than what is recorded."""


class Runtime:
    """Performs the operations of one run, as flowctl.sdk.runtime.Runtime does."""

    def __init__(self, process: Process, run: Message, history: History) -> None:
        self.process = process
        self.run = int(run.fields["run"])
        self.serial = bool(run.fields["serial"])
        self.draining = False
        self.next_run: Message | None = None
        self._replay = str(run.fields["replay"])
        self._history = history
        self._keys = Keys()
        self._frames_polled = 0

    def call(self, operation: Operation, n: int) -> Waiting:
        """Record the call and return its outcome, or raise its failure."""
        return (yield from self.perform(self.place(operation, n)))

    def gather(self, operations: Sequence[Call | Child], n: int, concurrency: int) -> Waiting:
        """Perform operations at once and return their outcomes, or raise the first failure with all their keys."""
        placed = [self.place(operation, n) for operation in operations]
        if concurrency == 1 or self.serial or len(placed) == 1:
            outcomes = []
            for each in placed:
                outcomes.append((yield from self._tried(each)))
        else:
            outcomes = yield from _Gather(self, placed, concurrency).run()
        failed = [outcome for outcome in outcomes if isinstance(outcome, StepFailure)]
        if failed:
            raise StepFailure(*[key for failure in failed for key in failure.keys])
        return outcomes

    def _tried(self, placed: Placed) -> Waiting:
        try:
            return (yield from self.perform(placed))
        except StepFailure as failure:
            return failure

    # -- one operation -------------------------------------------------------------------------------------------------

    def place(self, operation: Operation, n: int) -> Placed:
        """Give an operation its place in the program and look it up in the record."""
        plain = _input_of(operation, n)
        text, digest = text_of(plain), hash_of_plain(plain).hex()
        seq, key = self._keys.next(operation.name)
        asked = Asked(seq, key, operation.kind, digest, _source_hash(operation), text)
        recorded = self._history.match(asked, self._replay)  # raises Mismatch
        if recorded is not None and recorded.state in FINISHED:
            return Placed(operation, n, key, Message("", {}), (recorded.state, recorded.payload or "null"), False)
        options = operation.options if isinstance(operation, Call) else {}
        limited = "timeout_ms" in options or "total_timeout_ms" in options
        pure = "pure" in options and recorded is None and not self.draining and not limited
        unasked = operation.kind == "value" or pure
        return Placed(operation, n, key, self._step_message(operation, asked, unasked), None, unasked)

    def _step_message(self, operation: Operation, asked: Asked, unasked: bool) -> Message:
        fields: dict[str, Any] = {"seq": asked.seq, "key": asked.key, "name": operation.name, "kind": asked.kind}
        fields["input_hash"] = asked.input_hash
        if isinstance(operation, Sleep):
            fields["duration_ms"] = operation.ms
        elif isinstance(operation, Child):
            program = self.process.programs()[operation.name]
            fields |= {"path": PATH, "function": operation.name, "workflow": operation.name}
            fields["workflow_options"] = program.options
        elif isinstance(operation, Call):
            options = {name: value for name, value in operation.options.items() if unasked or name != "pure"}
            if options:
                fields["options"] = options
        if asked.source_hash is not None:
            fields["source"] = asked.source_hash
        return Message("step", fields, asked.input)

    def perform(self, placed: Placed) -> Waiting:
        """Do one operation."""
        thought = self.process.pensive()
        if thought:
            yield thought
        if placed.answer is not None:
            return outcome(placed, *placed.answer)
        if placed.unasked:
            ended = yield from self.attempt(placed, 1)
            if ended.output is not None:
                self.process.post(placed.message, ended.message(placed.key))
                self._look()
                return outcome(placed, "succeeded", ended.output)
            self.process.send(placed.message, ended.message(placed.key))
        else:
            self.process.send(placed.message)
        return (yield from self._follow(placed))

    def _follow(self, placed: Placed) -> Waiting:
        while True:
            message: Message = yield RECEIVE
            if message.kind == "go" and message.fields["key"] == placed.key:
                ended = yield from self.attempt(placed, message.fields["attempt"])
                if ended.output is not None:
                    self.process.post(ended.message(placed.key))
                    return outcome(placed, "succeeded", ended.output)
                self.process.send(ended.message(placed.key))
            elif message.kind == "outcome" and message.fields["key"] == placed.key:
                return outcome(placed, message.fields["state"], message.payload or "null")
            else:
                self.heed(message)

    def attempt(self, placed: Placed, number: int) -> Waiting:
        """Run the body once on the workflow's own thread."""
        execution = self.process.begin_body(self.run, placed.key, number, placed.operation)
        fate = self.process.fate(placed.operation, placed.n)
        try:
            yield fate.seconds
        except Cancelled:
            execution.end("cancelled")
            raise
        if fate.ending == "dies":
            execution.end("died")
            self.process.die("exited with code 1 without a result")
            yield inf
        return conclude(execution, fate, placed)

    # -- the engine's words --------------------------------------------------------------------------------------------

    def heed(self, message: Message) -> None:
        """Take note of a message that is not about one operation."""
        if message.kind == "run":
            self.next_run = message
        elif message.kind == "drain":
            self.draining = True
        elif message.kind == "suspend":
            raise Suspended

    def _look(self) -> None:
        """Between bodies that nobody asks about, look once per frame whether the engine has said something."""
        if self._frames_polled != self.process.frames():
            self._frames_polled = self.process.frames()
            while (message := self.process.receive_now()) is not None:
                self.heed(message)


class _Gather:
    """Several operations at once, as flowctl.sdk.gather has them."""

    def __init__(self, runtime: Runtime, placed: list[Placed], limit: int) -> None:
        self._runtime = runtime
        self._process = runtime.process
        self._placed = placed
        self._index_of = {each.key: index for index, each in enumerate(placed)}
        self._outcomes: list[int | StepFailure] = [0] * len(placed)
        self._limit = limit
        self._next = 0
        self._left = len(placed)
        self._begun = 0
        self._busy = 0
        self._over = False

    def run(self) -> Waiting:
        """Perform every branch to its end and return the outcomes in order."""
        try:
            self._process.send(*self._begin())
            while self._left:
                message: Message | None = yield RECEIVE
                if message is not None:
                    yield from self._heed(message)
        finally:
            self._over = True
        return self._outcomes

    def _begin(self) -> list[Message]:
        messages: list[Message] = []
        while self._begun < self._limit and self._next < len(self._placed) and not self._over:
            index, placed = self._next, self._placed[self._next]
            self._next += 1
            if placed.answer is not None:
                self._settle(index, _tried_outcome(placed, *placed.answer))
                continue
            self._begun += 1
            if placed.unasked and not self._runtime.draining:
                self._give(index, 1)
                continue
            if placed.unasked:
                placed = self._placed[index] = asked_after_all(placed)
            messages.append(placed.message)
        return messages

    def _settle(self, index: int, settled: int | StepFailure) -> None:
        self._outcomes[index] = settled
        self._left -= 1

    def _heed(self, message: Message) -> Waiting:
        index = self._index_of.get(message.fields.get("key", ""))
        if index is None:
            if message.kind == "suspend":
                self._over = True
                yield from self._wait_for_bodies()
            self._runtime.heed(message)
        elif message.kind == "go":
            self._give(index, message.fields["attempt"])
        elif message.kind == "outcome":
            self._begun -= 1
            said = _tried_outcome(self._placed[index], message.fields["state"], message.payload or "null")
            self._settle(index, said)
            self._process.send(*self._begin())

    def _wait_for_bodies(self) -> Waiting:
        """Let bodies that the engine does not know of (pure ones) end before the run is suspended."""
        pause = 0.005
        while self._busy:
            yield pause
            pause *= 2  # they may take hours

    def _give(self, index: int, attempt: int) -> None:
        """Have a worker run a body. It runs on when the workflow's thread is interrupted."""
        self._busy += 1
        placed = self._placed[index]
        execution = self._process.begin_body(self._runtime.run, placed.key, attempt, placed.operation)
        fate = self._process.fate(placed.operation, placed.n)

        def end() -> None:
            if fate.ending == "dies":
                execution.end("died")
                self._process.die("exited with code 1 without a result")
            else:
                self._end(index, attempt, conclude(execution, fate, placed))

        self._process.later(fate.seconds, end)

    def _end(self, index: int, attempt: int, ended: Ended) -> None:
        placed = self._placed[index]
        messages = [ended.message(placed.key)]
        if placed.unasked and attempt == 1:
            messages.insert(0, placed.message)
        if ended.output is None:
            self._process.send(*messages)
            self._busy -= 1
            return
        self._begun -= 1
        begun = self._begin()
        if begun or not (self._left == 1 or placed.unasked):
            self._process.send(*messages, *begun)
        else:
            self._process.post(*messages)
        self._busy -= 1
        self._settle(index, outcome(placed, "succeeded", ended.output))
        if not self._left and not self._over:
            self._process.wake()


def asked_after_all(placed: Placed) -> Placed:
    """Return a pure operation whose body does not begin at once: it waits for `go` like any other step."""
    options = {name: value for name, value in placed.message.fields["options"].items() if name != "pure"}
    message = placed.message._replace(fields={**placed.message.fields, "options": options})
    return replace(placed, message=message, unasked=False)


def conclude(execution: Execution, fate: Fate, placed: Placed) -> Ended:
    """Note how a body ended and return what its executor says of it."""
    if fate.ending == "returns":
        value = fate.output / 1000 if placed.operation.kind == "value" else fate.output
        execution.end("succeeded", json.dumps(value))
        return Ended(json.dumps(value), {})
    execution.end("failed")
    fields: dict[str, Any] = {"retry": fate.ending != "gives_up"}
    if fate.ending == "asks_delay":
        fields["retry_after_ms"] = 300
    return Ended(None, fields, error("ValueError", f"{placed.key} failed"))


def outcome(placed: Placed, state: str, payload: str) -> int:
    """Return a recorded or received outcome as a number, or raise it."""
    if state != "succeeded":
        raise StepFailure(placed.key)
    return number_of(placed.operation, payload)


def _tried_outcome(placed: Placed, state: str, payload: str) -> int | StepFailure:
    try:
        return outcome(placed, state, payload)
    except StepFailure as failure:
        return failure


def number_of(operation: Operation, payload: str) -> int:
    """Return the number that an output stands for."""
    value = json.loads(payload)
    return int(value * 1000) if operation.kind == "value" else int(value or 0)


def error(kind: str, message: str) -> str:
    """Return the JSON text of an error."""
    return json.dumps({"type": kind, "message": message, "traceback": ""})


def _input_of(operation: Operation, n: int) -> Any:
    if isinstance(operation, Sleep):
        return {"duration_ms": operation.ms}
    return None if operation.kind == "value" else {"n": n}


def _source_hash(operation: Operation) -> str | None:
    return hash_of_plain(operation.name).hex() if operation.kind == "step" else None
