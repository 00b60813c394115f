"""Which message of an executor means what."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from flowctl.core.errors import ClaimLost, FlowctlError, UsageError
from flowctl.core.model import NewStep
from flowctl.core.text import shorten
from flowctl.engine import bodies, breakers, closing, signals, waits
from flowctl.engine.operation import of_step, options_of, runs_unasked
from flowctl.engine.session import Session
from flowctl.engine.supervisor import Event, Gone, Received
from flowctl.sdk.wire import Message


class Senseless(Exception):
    """A message that cannot be applied, by the fault of its executor: nothing of the transaction may stand."""

    def __init__(self, event: Received, error: Exception) -> None:
        super().__init__(f'sent a "{event.message.kind}" that makes no sense: {shorten(str(error), 200)}')
        self.event = event


def deliver(event: Event, session: Session) -> None:
    """Do what an event means for the session of its executor. Raises Senseless."""
    replaced = event.executor is not session.executor  # earlier in this tick: only what it printed still counts
    if isinstance(event, Received) and (event.message.kind == "log" or not replaced):
        _handle(session, event)
    elif isinstance(event, Gone) and not replaced:
        session.on_gone(event.reason)


def _handle(session: Session, event: Received) -> None:
    """Do what a message says. Raises Senseless when that fails: user code can write into the channel."""
    handler = _HANDLERS.get(event.message.kind)
    if handler is None:
        return
    try:
        _require_turn(session, event.message)
        handler(session, event.message)
    except UsageError as error:  # a value that is too large for the file
        raise Senseless(event, error) from error
    except (ClaimLost, FlowctlError):
        raise
    except Exception as error:  # whatever it is, other runs go on
        raise Senseless(event, error) from error


def _require_turn(session: Session, message: Message) -> None:
    """Raise ValueError for a message that no executor sends in this phase."""
    if session.phase == "cancelling" or message.kind == "log":
        return
    if (session.phase == "loading") != (message.kind in ("loaded", "load_failed")):
        raise ValueError(f"the run is {session.phase}")


def on_step(session: Session, message: Message) -> None:
    """Record that a step begins, with its input, then let it run or wait."""
    fields = message.fields
    options = options_of(fields.get("options"))
    if not runs_unasked(fields["kind"], options) and (session.astray or session.phase not in ("running", "draining")):
        return  # asked again after the restart
    session.idle_since = inf
    answer = breakers.ask(session, message, options)
    if answer.waits:
        return
    step = session.store.steps.begin(session.claim, _new_step(session, message, options.on_crash), session.engine.now)
    if step.finished_at is not None and not session.engine.unsure:
        raise ValueError(f"step {step.key} has its outcome already")
    if fields.get("verdict") is not None:
        closing.judge(session, fields["verdict"])
    match step.kind:
        case "sleep":
            waits.begin_sleep(session, step)
        case "signal":
            signals.begin(session, step, fields)
        case "child":
            waits.begin_child(session, step, fields)
        case _:
            operation = of_step(step, options, "held")
            if options.breaker is not None:
                operation = operation._replace(asked=message, refusal=answer.refusal)
            bodies.begin_body(session, step, operation)


def _new_step(session: Session, message: Message, on_crash: str) -> NewStep:
    fields = message.fields
    wake_at = None
    if fields["kind"] == "sleep":
        wake_at = fields["until"] if "until" in fields else session.engine.now + fields["duration_ms"]
    elif fields["kind"] == "signal" and fields.get("timeout_ms") is not None:
        wake_at = session.engine.now + fields["timeout_ms"]
    source = fields.get("source")
    return NewStep(
        seq=fields["seq"],
        key=fields["key"],
        name=fields["name"],
        kind=fields["kind"],
        input=message.payload or "null",
        input_hash=bytes.fromhex(fields["input_hash"]),
        source_hash=bytes.fromhex(source) if source else None,
        wake_at=wake_at,
        on_crash=on_crash,
        undoes=fields.get("undoes"),
    )


_HANDLERS: dict[str, Callable[[Session, Message], None]] = {
    "loaded": Session.on_loaded,
    "load_failed": Session.on_load_failed,
    "step": on_step,
    "done": bodies.on_done,
    "progress": bodies.on_progress,
    "external_id": bodies.on_external_id,
    "log": Session.on_log,
    "ended": closing.ended,
}
