"""Which message of an executor means what."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from flowctl.core.model import NewStep
from flowctl.engine import bodies, closing, waits
from flowctl.engine.operation import of_step, options_of
from flowctl.engine.session import Session
from flowctl.sdk.wire import Message


def on_step(session: Session, message: Message) -> None:
    """Record that a step begins, with its input, then let it run or wait."""
    if session.phase not in ("running", "draining") or session.ending == "restart":
        return  # asked again after the restart
    fields = message.fields
    options = options_of(fields.get("options"))
    session.idle_since = inf
    step = session.store.steps.begin(session.claim, _new_step(session, message, options.on_crash), session.engine.now)
    match step.kind:
        case "sleep":
            waits.begin_sleep(session, step)
        case "child":
            waits.begin_child(session, step, fields)
        case _:
            bodies.begin_body(session, step, of_step(step, options, "held"))


def _new_step(session: Session, message: Message, on_crash: str) -> NewStep:
    fields = message.fields
    wake_at = None
    if fields["kind"] == "sleep":
        wake_at = fields["until"] if "until" in fields else session.engine.now + fields["duration_ms"]
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
    )


HANDLERS: dict[str, Callable[[Session, Message], None]] = {
    "loaded": Session.on_loaded,
    "load_failed": Session.on_load_failed,
    "step": on_step,
    "done": bodies.on_done,
    "log": Session.on_log,
    "ended": closing.ended,
}
