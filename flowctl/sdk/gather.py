"""Several operations of a run at once.

The workflow's thread reads what the engine says and hands bodies to worker threads. A worker that finishes a body
sends its `done` together with the `step` of the branch that begins next, so a branch costs one frame each way.
"""

from __future__ import annotations

import os
from contextvars import copy_context
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Union

from flowctl.sdk import capture
from flowctl.sdk.attempt import Ended, error_text, try_body
from flowctl.sdk.errors import Interruption, StepFailed, Unreadable
from flowctl.sdk.runtime import Operation, Runtime, asked_after_all, done_message
from flowctl.sdk.wire import Message

if TYPE_CHECKING:
    from flowctl.sdk.definition import BoundCall


_UNKNOWN = StepFailed("", {})


class _Body(NamedTuple):
    branch: int
    attempt: int
    external_id: Optional[str] = None


def gather_recorded(runtime: Runtime, bounds: tuple[BoundCall[Any], ...], concurrency: int) -> list[Any]:
    """Run the calls as branches of this run, at most so many at once, and return their results in order.

    All branches end before the first failure, in the order of the calls, is raised as StepFailed.
    """
    return results_of(_outcomes(runtime, bounds, concurrency))


def _outcomes(runtime: Runtime, bounds: tuple[BoundCall[Any], ...], concurrency: int) -> list[_Outcome]:
    """Return what the branches have come to.

    Fallbacks are branches that begin when all others have ended: so they have the same places at each replay.
    """
    runtime.check()
    operations = [runtime.place(bound) for bound in bounds]
    if concurrency == 1 or runtime.facts.serial or len(operations) == 1:
        outcomes = [_performed(runtime, operation) for operation in operations]
    else:
        outcomes = _Gather(runtime, operations, concurrency).run()
    fallbacks = _fallbacks(bounds, outcomes)
    if fallbacks:
        instead = _outcomes(runtime, tuple(fallbacks.values()), concurrency)
        for index, outcome in zip(fallbacks, instead):
            outcomes[index] = outcome
    return outcomes


def _fallbacks(bounds: tuple[BoundCall[Any], ...], outcomes: list[_Outcome]) -> dict[int, BoundCall[Any]]:
    """Return by its branch what is to be called because the breaker of a branch is open."""
    failures = {index: outcome for index, outcome in enumerate(outcomes) if isinstance(outcome, StepFailed)}
    if not failures:
        return {}
    from flowctl.sdk.rescue import instead_of

    instead = {index: instead_of(bounds[index], failure) for index, failure in failures.items()}
    return {index: call for index, call in instead.items() if call is not None}


class _Success(NamedTuple):
    value: Any


_Outcome = Union[_Success, Exception]


def results_of(outcomes: list[_Outcome]) -> list[Any]:
    """Return the values of the outcomes, or raise the first failure with the keys of all that failed."""
    failures = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    if not failures:
        return [outcome.value for outcome in outcomes if isinstance(outcome, _Success)]
    keys = tuple(failure.step for failure in failures if isinstance(failure, StepFailed))
    if isinstance(failures[0], StepFailed):
        failures[0].failed_keys = keys
    raise failures[0]


def _performed(runtime: Runtime, operation: Operation) -> _Outcome:
    try:
        return _Success(runtime.perform(operation))
    except (StepFailed, Unreadable) as failure:
        return failure


class _Gather:
    """One gather: what the workflow's thread and the workers share is guarded by one lock."""

    def __init__(self, runtime: Runtime, operations: list[Operation], concurrency: int) -> None:
        self._runtime = runtime
        self._channel = runtime.channel
        self._operations = operations
        self._index_of = {operation.key: index for index, operation in enumerate(operations)}
        self._outcomes: list[_Outcome] = [_UNKNOWN] * len(operations)
        self._limit = concurrency
        self._lock = Lock()
        self._next = 0  # the branch that begins next
        self._left = len(operations)  # branches without an outcome
        self._begun = 0  # branches that hold one of the places
        self._busy = 0  # bodies that run or wait for a worker
        self._over = False
        self._bodies: SimpleQueue[Optional[_Body]] = SimpleQueue()
        self._workers: list[Thread] = []
        self._context = copy_context()
        self._woken, self._wake = os.pipe()

    def run(self) -> list[_Outcome]:
        """Run every branch to its end and return the outcomes in order."""
        self._runtime.flush_output()
        try:
            self._channel.send(*self._begin())
            while self._left:
                message = self._channel.receive_or_woken(self._woken)
                if message is not None:
                    self._heed(message)
        finally:
            self._close()
        return self._outcomes

    def _begin(self, freed: int = 0) -> list[Message]:
        """Begin branches while there is a place, those that were freed just now included; return what asks for them.

        Who frees a place fills it in the same breath: its outcome is then never behind what another begins there.
        """
        messages: list[Message] = []
        with self._lock:
            self._begun -= freed
            while self._begun < self._limit and self._next < len(self._operations) and not self._over:
                index = self._next
                self._next += 1
                operation = self._operations[index]
                if operation.answer is not None:
                    self._settle(index, self._outcome(index, *operation.answer))
                    continue
                self._begun += 1
                if operation.unasked and not self._runtime.draining:
                    self._give(_Body(index, 1))
                    continue
                if operation.unasked:
                    operation = self._operations[index] = asked_after_all(operation)
                messages.append(operation.message)
        return messages

    def _settle(self, index: int, outcome: _Outcome) -> None:
        self._outcomes[index] = outcome
        self._left -= 1
        if not self._left and not self._over:
            os.write(self._wake, b"!")

    def _outcome(self, index: int, state: str, payload: str) -> _Outcome:
        try:
            return _Success(self._runtime.outcome(self._operations[index], state, payload))
        except (StepFailed, Unreadable) as failure:
            return failure

    # -- the workflow's thread -----------------------------------------------------------------------------------------

    def _heed(self, message: Message) -> None:
        index = self._index_of.get(message.fields.get("key", ""))
        if index is None:
            if message.kind == "suspend":
                self._wait_for_bodies()
            self._runtime.heed(message)
        elif message.kind == "go":
            with self._lock:
                self._give(_Body(index, message.fields["attempt"], message.fields.get("external_id")))
        elif message.kind == "outcome":
            outcome = self._outcome(index, message.fields["state"], message.payload or "null")
            with self._lock:
                self._settle(index, outcome)
            self._channel.send(*self._begin(freed=1))

    def _give(self, body: _Body) -> None:
        """Hand a body to a worker, under the lock; there are never more workers than places."""
        self._busy += 1
        self._bodies.put(body)
        if len(self._workers) < min(self._busy, self._limit):
            worker = Thread(target=self._context.copy().run, args=(self._work,), name="flowctl-branch", daemon=True)
            self._workers.append(worker)
            worker.start()

    def _wait_for_bodies(self) -> None:
        """Let bodies that the engine does not know of (pure ones) end before the run is suspended."""
        with self._lock:
            self._over = True
        while self._busy:
            for worker in self._workers:
                worker.join(0.005)

    def _close(self) -> None:
        with self._lock:
            self._over = True
            os.close(self._woken)
            os.close(self._wake)
        for _ in self._workers:
            self._bodies.put(None)
        if not self._busy:  # else the run was cancelled, and their bodies go on until the process ends
            for worker in self._workers:
                worker.join()

    # -- the workers' threads ------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            body = self._bodies.get()
            if body is None:
                return
            self._context.copy().run(self._run, body)

    def _run(self, body: _Body) -> None:
        operation, runtime = self._operations[body.branch], self._runtime
        sink = capture.Sink(runtime.emit, operation.key, body.attempt)
        info = runtime.info(operation.key, body.attempt, body.external_id)
        try:
            ended = try_body(operation.bound, info, sink, runtime.facts.payload_limit)
        except Interruption as error:  # raised by the body itself: nothing interrupts a worker
            ended = Ended(None, error_text(error))
        messages = [done_message(operation.key, ended)]
        if operation.unasked and body.attempt == 1:
            messages.insert(0, operation.message)
        if ended.output is None:
            self._ended_badly(messages)
        else:
            self._ended_well(body.branch, ended.output, messages)

    def _ended_badly(self, messages: list[Message]) -> None:
        """Report a failed attempt; the branch keeps its place until the engine has decided."""
        self._channel.send(*messages)
        with self._lock:
            self._busy -= 1

    def _ended_well(self, index: int, output: str, messages: list[Message]) -> None:
        outcome = self._outcome(index, "succeeded", output)
        begun = self._begin(freed=1)
        if begun or not (self._left == 1 or self._operations[index].unasked):
            self._channel.send(*messages, *begun)
        else:  # the workflow goes on: its next operation takes it along
            self._channel.post(*messages)
        with self._lock:
            self._busy -= 1
            self._settle(index, outcome)
