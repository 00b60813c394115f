"""What an executor does: import a workflow file, and execute runs of it one after the other, as the engine says."""

from __future__ import annotations

import faulthandler
import json
import sys
from typing import Any, Callable, Optional

from flowctl.sdk import capture, codec, context, masking, operations, runtime, state
from flowctl.sdk.attempt import TooLarge, error_text, output_text, record_text, recorded_text
from flowctl.sdk.channel import Channel, Flusher
from flowctl.sdk.definition import Workflow
from flowctl.sdk.errors import Cancelled, InputError, Mismatch, Suspended, Unstorable
from flowctl.sdk.imported import when_imported
from flowctl.sdk.jsontext import canonical_hash
from flowctl.sdk.loader import Loaded, LoadFailed, load
from flowctl.sdk.replay import History, recorded_of
from flowctl.sdk.wire import WIRE_VERSION, Message

PAYLOAD_LIMIT = 10 << 20  # until the engine has said what it is

_SWALLOWED = (
    "the run was to wait without a process, but the workflow function {did} instead of letting the suspension through: "
    "look for a bare `except:`, an `except BaseException`, or a `return` in a `finally`"
)


class Executor:
    """One executor: what it has loaded, and the run it executes."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._flusher = Flusher(channel, capture.flush_open)
        capture.call_when_waiting(self._flusher.stir)
        self._loaded: Optional[Loaded] = None
        self._pinned: dict[str, str] = {}
        self._history = History()
        self._state: Optional[state.State] = None
        self._payload_limit = PAYLOAD_LIMIT

    def serve(self) -> None:
        """Do what the engine says, for ever."""
        handlers: dict[str, Callable[[Message], None]] = {
            "welcome": self._welcome,
            "source": self._source,
            "load": self._load,
            "bind": self._bind,
            "past": self._past,
            "run": self._run_all,
        }
        while True:
            message = self._channel.receive()
            handler = handlers.get(message.kind)
            if handler is not None:  # drain, suspend or go may come when the run is already over
                handler(message)

    def _welcome(self, message: Message) -> None:
        if message.fields["wire"] != WIRE_VERSION:
            sys.exit(f"flowctl: this executor speaks version {WIRE_VERSION}, its engine {message.fields['wire']}")
        self._payload_limit = message.fields["payload_limit"]

    def _source(self, message: Message) -> None:
        self._pinned[message.fields["path"]] = message.payload or ""

    def _load(self, message: Message) -> None:
        path = message.fields["path"]
        sink = capture.Sink(self._emit)
        capture.use(sink)
        capture.use_for_strangers(sink)
        try:
            loaded = load(path, self._pinned if message.fields.get("pinned") else None)
        except LoadFailed as failure:
            fields = {"file": failure.file, "line": failure.line}
            self._channel.send(Message("load_failed", fields, record_text(failure.error)))
            return
        finally:
            sink.close()
            capture.use(None)
            capture.use_for_strangers(None)
            self._pinned = {}
        self._loaded = loaded
        _adopt_logging()
        self._report(loaded)
        self._state = state.take()

    def _report(self, loaded: Loaded) -> None:
        from flowctl.sdk.parameters import describe

        try:
            described = [describe(workflow) for workflow in loaded.workflows.values()]
        except Exception as error:  # noqa: BLE001 — a hint that cannot be resolved, for one: the author's to mend
            self._channel.send(Message("load_failed", {"file": loaded.path, "line": None}, error_text(error)))
            return
        sources = [Message("source", {"path": path}, text) for path, text in loaded.files.items()]
        self._channel.send(*sources, Message("loaded", {"path": loaded.path, "workflows": described}))

    def _bind(self, message: Message) -> None:
        from flowctl.sdk.parameters import bind_arguments

        try:
            workflow = self._workflow(message.fields["function"])
            text = bind_arguments(workflow, message.fields.get("texts") or {}, message.payload)
            text = recorded_text(text, "input", self._payload_limit)
        except InputError as error:
            self._channel.send(Message("rejected", {"message": error.message, "hint": error.hint}))
        except (Unstorable, TooLarge) as error:
            self._channel.send(Message("rejected", {"message": str(error), "hint": ""}))
        else:
            self._channel.send(Message("bound", {"input_hash": canonical_hash(text).hex()}, text))

    def _workflow(self, function: str) -> Workflow[Any, Any]:
        workflows = self._loaded.workflows if self._loaded is not None else {}
        workflow = workflows.get(function)
        if workflow is None:
            path = self._loaded.path if self._loaded is not None else ""
            known = ", ".join(workflows) or "none"
            raise InputError(f"{path} has no workflow function {function} any more", f"it defines {known}")
        return workflow

    def _emit(self, fields: dict[str, Any], text: str) -> None:
        self._channel.post(Message("log", fields, text))

    # -- one run -------------------------------------------------------------------------------------------------------

    def _past(self, message: Message) -> None:
        self._history.add(recorded_of(message))

    def _run_all(self, message: Optional[Message]) -> None:
        """Execute a run, and those that follow at once: what ends one travels with what begins the next."""
        while message is not None:
            running = self._runtime(message)
            ended = self._run(running, message)
            if not _is_clean(ended):
                self._end(ended)
            message = running.next_run or self._offered_run()
            if message is None:
                self._channel.send(ended)
            else:
                self._channel.post(ended)

    def _end(self, ended: Message) -> None:
        """Say how the last run of this process ended, and wait for the engine to end the process."""
        self._channel.send(ended)
        while True:
            self._channel.receive()

    def _runtime(self, message: Message) -> runtime.Runtime:
        history, self._history = self._history, History()
        given = {name: value for name, value in message.fields.items() if name in runtime.RunFacts._fields}
        facts = runtime.RunFacts(**given, payload_limit=self._payload_limit)
        return runtime.Runtime(self._channel, facts, history)

    def _run(self, running: runtime.Runtime, message: Message) -> Message:
        runtime.activate_in_process(running)
        capture.use(running.run_sink)
        capture.use_for_strangers(running.run_sink)
        try:
            with runtime.CancelOnTerm(running, self._flusher):
                ending = self._execute(running, message.fields["function"], message.payload or "{}")
        except Cancelled:
            ending = _Ending("cancelled")
        if running.facts.replay == "check":
            ending.fields.update(running.checked())
        running.run_sink.close()
        capture.use(None)
        capture.use_for_strangers(None)
        leftovers = state.restore(self._state) if self._state is not None else []
        runtime.activate_in_process(None)
        if leftovers:
            ending.fields["leftovers"] = leftovers
        return Message("ended", {"state": ending.state, **ending.fields}, ending.payload)

    def _offered_run(self) -> Optional[Message]:
        """Return the next run if it is there already; what else is there was meant for the run that has ended."""
        message = self._channel.receive_now()
        while message is not None and message.kind != "run":
            message = self._channel.receive_now()
        return message

    def _execute(self, running: runtime.Runtime, function: str, text: str) -> _Ending:
        """Call the workflow function, undo what it has done if it does not come to its end, and say how it ended."""
        ending = self._call(running, function, text)
        if not _is_undone(running, ending):
            return ending
        from flowctl.sdk.undo import undo_all

        if not running.facts.cancelled:
            running.verdict = ending.payload
        try:
            with context.activate(running):
                undo_all(running)
        except BaseException as error:  # noqa: BLE001 — it is suspended, cancelled, or asks for what it did not ask before
            return _interrupted(running, error, f"raised {type(error).__name__}") or _failed(error)
        return _Ending("cancelled") if ending.state == "succeeded" else ending

    def _call(self, running: runtime.Runtime, function: str, text: str) -> _Ending:
        try:
            workflow = self._workflow(function)
        except InputError as error:
            return _unfit("workflow", function, error)
        try:
            values = workflow.signature.decode(text)
        except InputError as error:
            return _unfit("parameters", function, error)
        try:
            with context.activate(running):
                value = workflow.signature.call(workflow.function, values)
            did = "returned"
            output = output_text(workflow.signature.output, value, workflow.name, self._payload_limit)
        except BaseException as error:  # noqa: BLE001 — whatever ends the workflow function is reported
            return _interrupted(running, error, f"raised {type(error).__name__}") or _failed(error)
        return _interrupted(running, None, did) or _Ending("succeeded", output)


def _is_undone(running: runtime.Runtime, ending: _Ending) -> bool:
    """Tell whether what the run has done is to be undone: it is over, and has not succeeded, or may not any more."""
    if ending.state in ("cancelled", "succeeded"):
        return running.facts.cancelled
    if ending.state != "failed" or running.interruption is not None:
        return False
    last = running.facts.attempt >= running.facts.attempts
    return last or running.facts.cancelled or json.loads(ending.payload or "{}").get("type") == "GiveUp"


def _is_clean(ended: Message) -> bool:
    """Tell whether the engine may give this process another run."""
    return ended.fields["state"] in ("succeeded", "suspended") and "leftovers" not in ended.fields


class _Ending:
    """What `ended` says."""

    def __init__(self, state: str, payload: Optional[str] = None, **fields: Any) -> None:
        self.state = state
        self.payload = payload
        self.fields = fields


def _failed(error: BaseException) -> _Ending:
    return _Ending("failed", error_text(error), failed_steps=runtime.failed_steps(error))


def _interrupted(running: runtime.Runtime, error: Optional[BaseException], did: str) -> Optional[_Ending]:
    """Return the ending of a run that was interrupted, whatever user code made of the interruption; else None."""
    interruption = running.interruption
    if isinstance(interruption, Mismatch):
        fields = {"seq": interruption.seq, "key": interruption.key, "what": interruption.what}
        return _Ending("mismatch", interruption.asked, **fields, expected=interruption.expected)
    if isinstance(interruption, Cancelled):
        return _Ending("cancelled")
    if not isinstance(interruption, Suspended):
        return None
    if isinstance(error, Suspended):
        return _Ending("suspended")
    record = {"type": "SuspensionSwallowed", "message": _SWALLOWED.format(did=did), "traceback": ""}
    if error is not None:
        record["traceback"] = json.loads(error_text(error))["traceback"]
    return _Ending("failed", json.dumps(record, ensure_ascii=False), failed_steps=[])


def _unfit(what: str, function: str, error: InputError) -> _Ending:
    """Return the ending of a run whose input or function no longer fits its code: for a person to decide."""
    message = f"{error.message} ({error.hint})" if error.hint else error.message
    return _Ending("mismatch", "null", seq=0, key=function, what=what, expected="", message=message)


def begin(channel: Channel) -> Executor:
    """Capture what this process prints from now on, and return its executor."""
    faulthandler.enable(2)  # where it crashed, for whoever reads its standard error
    capture.install()
    when_imported("logging", _capture_logging)
    codec.resolve_secrets_with(_resolve)
    operations.ask_secrets_with(channel.ask_secret)
    masking.tell_with(channel.have_masked)
    return Executor(channel)


def _capture_logging() -> None:
    from flowctl.sdk import capture_logging

    capture_logging.install()


def _adopt_logging() -> None:
    """Take over what code that has just been imported made of logging, if that is Python's own."""
    capture_logging = sys.modules.get("flowctl.sdk.capture_logging")
    if capture_logging is not None:
        capture_logging.adopt()


def _resolve(name: str) -> str:
    try:
        return operations.secret_value(name)
    except LookupError as error:
        raise ValueError(str(error)) from None
