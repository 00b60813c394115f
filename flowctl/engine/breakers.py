"""Circuit breakers of steps: asked before each attempt, told of each end, within the engine's transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from flowctl.core.breakers import Breaker, BreakerRule, after_failure, as_probe, closed, decide, new
from flowctl.core.errors import NotFound
from flowctl.core.instants import local
from flowctl.core.policy import StepOptions, error_text
from flowctl.engine.operation import Operation
from flowctl.sdk.wire import Message
from flowctl.store import Store

if TYPE_CHECKING:
    from flowctl.engine.session import Session


class Answer(NamedTuple):
    """What the breaker of a step says to its next attempt."""

    waits: bool = False
    refusal: str | None = None  # the error with which the attempt fails at once


def ask(session: Session, message: Message, options: StepOptions) -> Answer:
    """Ask the breaker of a step, if it has one, about the attempt that a `step` message asks for."""
    rule, now, key = options.breaker, session.engine.now, message.fields["key"]
    if rule is None or session.ending is not None:
        return Answer()
    step = session.store.steps.get(session.run.id, key)
    if step is not None and (step.finished_at is not None or (step.wake_at or 0) > now):
        return Answer()  # nothing begins now
    breakers, namespace = session.store.breakers, session.run.namespace
    breaker = breakers.find(namespace, rule.name)
    if breaker is None:
        return Answer()
    verdict = decide(breaker, now, own=_owns(session, key, breaker), probing=breakers.probing(breaker))
    if verdict.ask_again_at is not None and rule.open == "wait":
        _defer(session, message, options, verdict.ask_again_at, _standing(breaker))
        return Answer(waits=True)
    breakers.went_on(namespace, rule.name, session.run.id)
    if verdict.ask_again_at is not None:
        return Answer(refusal=error_text("BreakerOpen", _standing(breaker)))
    if verdict.probe:
        place = (session.run.id, key, session.claim.epoch)
        breakers.put(as_probe(breaker, *place, now))
    return Answer()


def _owns(session: Session, key: str, breaker: Breaker) -> bool:
    place = (session.run.id, key, session.claim.epoch)
    return place == (breaker.probe_run, breaker.probe_step, breaker.probe_epoch)


def _defer(session: Session, message: Message, options: StepOptions, until: int, why: str) -> None:
    """Let a step wait as if it had not been asked for yet: nothing of it is recorded."""
    fields, now = message.fields, session.engine.now
    held = Operation(
        fields["key"], fields["name"], fields["kind"], "deferred", 1, 0, options, now, now,
        wake_at=until, asked=message, refusal=why,
    )  # fmt: skip
    session.operations[held.key] = held
    session.tell(held, "running")


def _standing(breaker: Breaker) -> str:
    if breaker.state == "open":
        return f"breaker {breaker.name} is open until {local(breaker.opens_at)[11:]}"
    return f"breaker {breaker.name} tries one attempt, of run {breaker.probe_run}"


def failed(session: Session, operation: Operation) -> None:
    """Count a failed attempt; the breaker may open."""
    rule, now = operation.options.breaker, session.engine.now
    if rule is None:
        return
    breakers = session.store.breakers
    breaker = (breakers.find(session.run.namespace, rule.name) or new(session.run.namespace, rule, now))._replace(
        window_ms=rule.window_ms, failures=rule.failures
    )
    breakers.fail(breaker, session.run.id, operation.key, operation.attempt, now)
    own = _owns(session, operation.key, breaker)
    breakers.put(after_failure(breaker, rule, breakers.recent(breaker, now), now, own=own))


def succeeded(session: Session, operation: Operation) -> None:
    """Close the breaker if this attempt was its probe."""
    rule = operation.options.breaker
    breaker = None if rule is None else session.store.breakers.find(session.run.namespace, rule.name)
    if breaker is not None and breaker.state == "half_open" and _owns(session, operation.key, breaker):
        _close(session.store, breaker, session.engine.now)
        for other in session.engine.sessions.values():
            check(other)
        session.engine.look_for_runs()


def _close(store: Store, breaker: Breaker, now: int) -> None:
    store.breakers.put(closed(breaker, now))
    store.breakers.clear(breaker)
    for run_id in store.breakers.take_waiting(breaker):
        store.runs.wake(run_id, now)


def reset(store: Store, namespace: str, name: str, now: int) -> Breaker:
    """Close a breaker, and let the runs that wait for it go on. Raises NotFound."""
    with store.transaction():
        breaker = store.breakers.find(namespace, name)
        if breaker is None:
            raise NotFound(f"no step with the breaker {name} has failed yet", "flowctl breakers list")
        _close(store, breaker, now)
        store.events.note(f"breaker {name}", "reset", now)
    return closed(breaker, now)


def check(session: Session) -> None:
    """Have the steps whose breaker has closed meanwhile ask again now."""
    for operation in [each for each in session.operations.values() if each.phase == "deferred"]:
        breaker = session.store.breakers.find(session.run.namespace, _rule(operation).name)
        if breaker is None or breaker.state == "closed":
            session.operations[operation.key] = operation._replace(wake_at=session.engine.now)


def leave_waiting(session: Session) -> list[str]:
    """Note what a run waits for that is let go, and return it for a person."""
    deferred = [each for each in session.operations.values() if each.phase == "deferred"]
    for operation in deferred:
        session.store.breakers.wait(session.run.namespace, _rule(operation).name, session.run.id)
    return list(dict.fromkeys(each.refusal or "" for each in deferred))


def _rule(operation: Operation) -> BreakerRule:
    assert operation.options.breaker is not None
    return operation.options.breaker
