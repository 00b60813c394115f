"""The runtime of one run: gives every operation its place, answers it from the record, or has it recorded and done.

A step costs one frame each way: its `step` message takes the `done` of the step before along, and `go` comes back.
"""

from __future__ import annotations

import json
import signal
import threading
from typing import TYPE_CHECKING, Any, Mapping, NamedTuple, Optional

from flowctl.sdk import capture
from flowctl.sdk.attempt import Ended, recorded_text, try_body
from flowctl.sdk.context import StepInfo
from flowctl.sdk.errors import Cancelled, Interruption, Mismatch, StepFailed, Suspended, Unstorable
from flowctl.sdk.jsontext import canonical_hash
from flowctl.sdk.meter import Meter
from flowctl.sdk.replay import FINISHED, Asked, History, Keys, Recorded
from flowctl.sdk.wire import Message

if TYPE_CHECKING:
    from flowctl.sdk.channel import Channel, Flusher
    from flowctl.sdk.definition import BoundCall


class RunFacts(NamedTuple):
    """What the engine says of the run."""

    run: int
    attempt: int
    file_id: str
    replay: str
    serial: bool
    workflow: str
    namespace: str
    tags: dict[str, str]
    started_at: int
    payload_limit: int
    attempts: int = 1  # of the run, at most
    due_at: Optional[int] = None  # the slot of its schedule
    cancelled: bool = False  # it goes only as far as it has registered what undoes it, and is undone then


class Operation(NamedTuple):
    """One operation of the run that has its place: answered by the record, or still to be done."""

    bound: BoundCall[Any]
    key: str
    message: Message  # the `step` message
    answer: Optional[tuple[str, str]]  # recorded state and payload
    unasked: bool  # begins without waiting for `go`


class Runtime:
    """Runs the operations of one run, one after the other; gather.py runs several at once."""

    def __init__(self, channel: Channel, facts: RunFacts, history: History) -> None:
        self.channel = channel
        self.facts = facts
        self.draining = False
        self.interruption: Optional[Interruption] = None
        self.next_run: Optional[Message] = None  # it came while this one still works
        self.run_sink = capture.Sink(self.emit)
        self._history = history
        self._keys = Keys()
        self._frames_polled = 0
        self._changed: list[str] = []  # steps whose source is not what was recorded, when that is only checked
        self._undo: list[tuple[BoundCall[Any], int]] = []
        self.undoes: Optional[int] = None  # while it undoes: where a retry starts over
        self.verdict: Optional[str] = None  # why it undoes, until the engine knows

    # -- the face that definitions and operations see ------------------------------------------------------------------

    def call(self, bound: BoundCall[Any]) -> Any:
        """Record the call and return its outcome, or raise its failure as StepFailed.

        When it fails because its breaker is open, its fallback is called instead, as the next operation of the run.
        """
        self.check()
        operation = self.place(bound)
        try:
            return self.perform(operation)
        except StepFailed as failure:
            from flowctl.sdk.rescue import instead_of

            fallback = instead_of(bound, failure)
            if fallback is None:
                raise
            return self.call(fallback)

    def check(self) -> None:
        """Raise the interruption of this run again, if there was one: user code may have swallowed it."""
        if self.interruption is not None:
            raise self.interruption.with_traceback(None)

    def place(self, bound: BoundCall[Any]) -> Operation:
        """Give a call its place in the program and look it up in the record. Raises Mismatch."""
        text, input_hash = bound.encode_input()
        try:
            recordable = recorded_text(text, "input", self.facts.payload_limit)
        except Unstorable as refusal:
            raise refusal.of(f"input of {bound.name}") from None
        if recordable is not text:
            input_hash = canonical_hash(recordable).hex()
        name = bound.name if self.undoes is None else f"undo-{bound.name}"
        seq, key = self._keys.next(name)
        asked = Asked(seq, key, bound.kind, input_hash, bound.source_hash, recordable)
        recorded = self._recall(asked)
        if recorded is not None and recorded.state in FINISHED:
            return Operation(bound, key, _NO_MESSAGE, (recorded.state, recorded.payload or "null"), False)
        if self.facts.cancelled and self.undoes is None:
            self.interruption = Cancelled()
            raise self.interruption
        options = bound.wire_options
        unasked = asked.kind == "value" or ("pure" in options and recorded is None and self._may_begin(options))
        message = _step_message(bound, asked, unasked)
        if self.undoes is not None:
            message.fields.update(name=name, undoes=self.undoes)
            if self.verdict is not None:
                message.fields["verdict"], self.verdict = self.verdict, None
        return Operation(bound, key, message, None, unasked)

    # -- compensation --------------------------------------------------------------------------------------------------

    def register_undo(self, bound: BoundCall[Any]) -> None:
        """Record that this call undoes what the run has done, and keep it."""
        from flowctl.sdk.undo import registration

        undoes = max(1, self._keys.last)
        self.call(registration(bound, undoes))
        self._undo.append((bound, undoes))
        if self.facts.cancelled and self._keys.last >= self._history.last_undo:
            self.interruption = Cancelled()  # what follows is not needed, and may be what its process died of
            raise self.interruption

    def take_undo(self) -> list[tuple[BoundCall[Any], int]]:
        """Return the calls that undo what the run has done, which begin after all that it has asked for."""
        self._keys.skip_to(self._history.last)
        self.interruption = None
        undo, self._undo = self._undo, []
        return undo

    def _recall(self, asked: Asked) -> Optional[Recorded]:
        try:
            recorded = self._history.match(asked, self.facts.replay)
            if self.facts.replay == "check":
                self._check(asked, recorded)
        except Mismatch as mismatch:
            self.interruption = mismatch
            raise
        return recorded

    def _check(self, asked: Asked, recorded: Optional[Recorded]) -> None:
        """Raise Mismatch where the record ends: nothing is to be executed."""
        if recorded is None or recorded.state not in FINISHED:
            raise Mismatch(asked.seq, asked.key, "unrecorded", "", asked.input)
        if recorded.source_hash is not None and asked.source_hash not in (None, recorded.source_hash):
            self._changed.append(asked.key)

    def checked(self) -> dict[str, list[str]]:
        """Return what a check has found besides a mismatch."""
        return {"changed": self._changed, "unasked": self._history.unasked()}

    def _may_begin(self, options: Mapping[str, Any]) -> bool:
        """Tell whether a pure body may begin unasked: only the engine can keep a time limit."""
        return not (self.draining or "breaker" in options or "timeout_ms" in options or "total_timeout_ms" in options)

    def perform(self, operation: Operation) -> Any:
        """Do one operation and return its outcome, or raise StepFailed."""
        self.flush_output()
        if operation.answer is not None:
            return self.outcome(operation, *operation.answer)
        if operation.unasked:
            ended = self.attempt(operation, 1)
            done = done_message(operation.key, ended)
            if ended.output is not None:
                self.channel.post(operation.message, done)
                self._look()
                return operation.bound.decode_output(ended.output)
            self.channel.send(operation.message, done)
        else:
            self.channel.send(operation.message)
        return self._follow(operation)

    def _follow(self, operation: Operation) -> Any:
        """Do what the engine says until the operation has an outcome."""
        while True:
            message = self.channel.receive()
            if message.kind == "go" and message.fields["key"] == operation.key:
                ended = self.attempt(operation, message.fields["attempt"], message.fields.get("external_id"))
                if ended.output is not None:
                    self.channel.post(done_message(operation.key, ended))
                    return operation.bound.decode_output(ended.output)
                self.channel.send(done_message(operation.key, ended))
            elif message.kind == "outcome" and message.fields["key"] == operation.key:
                return self.outcome(operation, message.fields["state"], message.payload or "null")
            else:
                self.heed(message)

    def outcome(self, operation: Operation, state: str, payload: str) -> Any:
        """Return a recorded or received outcome as a value, or raise it as StepFailed."""
        if state == "succeeded":
            return operation.bound.decode_output(payload)
        raise operation.bound.failure(operation.key, json.loads(payload))

    # -- bodies --------------------------------------------------------------------------------------------------------

    def attempt(self, operation: Operation, number: int, external_id: Optional[str] = None) -> Ended:
        """Run the body once on the workflow's own thread."""
        sink = capture.Sink(self.emit, operation.key, number)
        capture.use_for_strangers(sink)
        try:
            return try_body(
                operation.bound, self.info(operation.key, number, external_id), sink, self.facts.payload_limit
            )
        finally:
            capture.use_for_strangers(self.run_sink)
            capture.use(self.run_sink)

    def info(self, key: str, attempt: int, external_id: Optional[str] = None) -> StepInfo:
        """Return what a body may know about itself, and what it may tell."""
        place = {"key": key, "attempt": attempt}

        def tell(fields: dict[str, Any]) -> None:
            self.channel.post(Message("progress", {**place, **fields}))

        def keep(text: str) -> bool:
            return self.channel.keep_external_id({**place, "external_id": text})

        return StepInfo(key, attempt, f"{self.facts.file_id}-{self.facts.run}-{key}", external_id, Meter(tell), keep)

    def flush_output(self) -> None:
        """Post what the workflow function has printed, so that it comes before what follows."""
        if self.run_sink.waits:
            self.run_sink.flush(partial=True)

    def emit(self, fields: dict[str, Any], text: str) -> None:
        """Post captured text."""
        self.channel.post(Message("log", fields, text))

    # -- the engine's words --------------------------------------------------------------------------------------------

    def heed(self, message: Message) -> None:
        """Take note of a message that is not about one operation. Raises Suspended when it says so."""
        if message.kind == "run":
            self.next_run = message
        elif message.kind == "drain":
            self.draining = True
        elif message.kind == "suspend":
            self.interruption = Suspended()
            raise self.interruption

    def _look(self) -> None:
        """Between bodies that nobody asks about, look once per frame whether the engine has said something."""
        if self._frames_polled != self.channel.frames:
            self._frames_polled = self.channel.frames
            message = self.channel.receive_now()
            while message is not None:
                self.heed(message)
                message = self.channel.receive_now()


_NO_MESSAGE = Message("", {})


def _step_message(bound: BoundCall[Any], asked: Asked, unasked: bool) -> Message:
    fields: dict[str, Any] = {
        "seq": asked.seq,
        "key": asked.key,
        "name": bound.name,
        "kind": asked.kind,
        "input_hash": asked.input_hash,
        **bound.wire_fields,
    }
    options = bound.wire_options if unasked else _asked(bound.wire_options)
    if options:
        fields["options"] = options
    if asked.source_hash is not None:
        fields["source"] = asked.source_hash
    return Message("step", fields, asked.input)


def _asked(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the options of a step whose body is asked for: a pure one is a step like any other then."""
    return {name: value for name, value in options.items() if name != "pure"}


def asked_after_all(operation: Operation) -> Operation:
    """Return a pure operation whose body does not begin at once: it waits for `go` like any other step."""
    options = _asked(operation.message.fields["options"])
    message = operation.message._replace(fields={**operation.message.fields, "options": options})
    return operation._replace(message=message, unasked=False)


def done_message(key: str, ended: Ended) -> Message:
    """Return the `done` message of a body."""
    if ended.error is None:
        return Message("done", {"key": key, "state": "succeeded"}, ended.output)
    fields: dict[str, Any] = {"key": key, "state": "failed", "retry": ended.retry}
    if ended.retry_after_ms is not None:
        fields["retry_after_ms"] = ended.retry_after_ms
    return Message("done", fields, ended.error)


class CancelOnTerm:
    """Raises Cancelled in the workflow's thread at SIGTERM, once, and never inside the SDK's own bookkeeping."""

    def __init__(self, runtime: Runtime, flusher: Flusher) -> None:
        self._runtime = runtime
        self._flusher = flusher

    def __enter__(self) -> None:
        signal.signal(signal.SIGTERM, self._handle)

    def __exit__(self, *_: object) -> None:
        self._flusher.retry = None
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # until the state is restored: the end is being reported

    def _handle(self, _number: int, frame: Any) -> None:
        if isinstance(self._runtime.interruption, Cancelled):
            return  # `finally` blocks are running; the engine kills when they take too long
        if _in_bookkeeping(frame):
            self._flusher.retry = _again
            self._flusher.stir()
            return
        self._runtime.interruption = Cancelled()
        raise self._runtime.interruption


def _again() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


_BOOKKEEPING = frozenset({"flowctl.sdk.channel", "flowctl.sdk.capture"})
_WAITS = frozenset({"_wait", "_select"})  # of channel.py: where an exception does no harm


def _in_bookkeeping(frame: Any) -> bool:
    """Tell whether an exception now would cut a frame in two or leave a lock held."""
    if frame is not None and frame.f_code.co_name in _WAITS and frame.f_globals.get("__name__") in _BOOKKEEPING:
        return False
    while frame is not None:
        if frame.f_globals.get("__name__") in _BOOKKEEPING:
            return True
        frame = frame.f_back
    return False


_active: Optional[Runtime] = None


def activate_in_process(runtime: Optional[Runtime]) -> None:
    """Make this the run of this process, for threads that stand outside of the workflow function."""
    global _active
    _active = runtime


def active() -> Optional[Runtime]:
    """Return the runtime of the run that this process executes, from any thread."""
    return _active


def failed_steps(error: BaseException) -> list[str]:
    """Return the keys of the steps that made the workflow fail: those that a retry has to run again."""
    seen: set[int] = set()
    at: Optional[BaseException] = error
    while at is not None and id(at) not in seen:
        if issubclass(type(at), StepFailed):  # isinstance would ask the object, which may lie or raise
            return list(dict.fromkeys([at.step, *at.failed_keys]))  # type: ignore[attr-defined]
        seen.add(id(at))
        at = at.__cause__ if at.__cause__ is not None else at.__context__
    return []
