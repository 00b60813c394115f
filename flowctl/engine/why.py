"""Why a run is in its state, or a schedule has not made one: one sentence, and the facts that it rests on."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from typing import Any, NamedTuple

from flowctl.core.instants import local, short
from flowctl.core.model import FINAL_STATES, HELD_AT, EngineRow, Queue, Run, Step
from flowctl.core.policy import step_in_doubt, summary
from flowctl.engine.claim import engine_alive
from flowctl.engine.conditions import UNSEEN
from flowctl.store import Store

START = "flowctl daemon start"
OVERDUE_MS = 10_000  # a run that is ready is begun sooner


class Answer(NamedTuple):
    """Why something is as it is. Keys of the evidence that end in `_at` are UTC milliseconds."""

    subject: str
    sentence: str
    evidence: dict[str, Any]
    commands: tuple[str, ...] = ()  # what helps it along


class Finding(NamedTuple):
    """The end of the sentence about a run, after `run 42 is queued`."""

    text: str
    evidence: dict[str, Any]
    commands: tuple[str, ...] = ()


def why_run(store: Store, run: Run, now: int) -> Answer:
    """Return why a run is in its state."""
    found = _OF_STATE[run.state](store, run, now)
    facts = {"run": run.id, "workflow": run.workflow, "state": run.state, "since_at": run.changed_at}
    return Answer(f"run {run.id}", f"run {run.id} {found.text}", facts | found.evidence, found.commands)


def daemons(store: Store) -> list[EngineRow]:
    """Return the engines that are alive and take whatever is due: a foreground one takes only what it was asked to."""
    return [each for each in store.engines.running() if each.kind == "daemon" and engine_alive(store.path, each)]


# -- queued ---------------------------------------------------------------------------------------------------------


def _queued(store: Store, run: Run, now: int) -> Finding:
    if (found := _hindrance(store, run, now)) is not None:
        return found
    waited = stalled_ms(store, run, now)
    if waited >= OVERDUE_MS:
        return _stalled(store, waited)
    ahead = store.evidence.ahead(run)
    if ahead:
        runs = "1 run that is" if ahead == 1 else f"{ahead:,} runs that are"
        held = store.evidence.running()
        return Finding(
            f"is queued behind {runs} older or of a higher priority, while {held} are running",
            {"ahead": ahead, "running": held, "priority": run.priority},
            ("flowctl ls --state queued", "flowctl ls --state running"),
        )
    return Finding("is queued and about to begin: nothing is in its way", {"ahead": 0})


def _hindrance(store: Store, run: Run, now: int) -> Finding | None:
    for look in (_reserved, _held, _not_yet, _no_engine, _no_place, _of_queue):
        if (found := look(store, run, now)) is not None:
            return found
    return None


def stalled_ms(store: Store, run: Run, now: int) -> int:
    """Return for how long a queued run could have been begun by an engine that lives and does nothing, else 0."""
    if _hindrance(store, run, now) is not None or store.evidence.running():
        return 0
    return max(0, now - max(run.changed_at, run.wake_at or 0, *(each.started_at for each in daemons(store))))


def _stalled(store: Store, waited: int) -> Finding:
    engines = [each.pid for each in daemons(store)]
    names = " and ".join(f"process {pid}" for pid in engines)
    text = f"is queued and ready for {short(waited)}, and {names} has not begun it: it hangs, or cannot write"
    commands = ("flowctl daemon logs", "flowctl daemon stop --now", START)
    return Finding(text, {"waited_ms": waited, "engines": engines, "running": 0}, commands)


def _reserved(store: Store, run: Run, now: int) -> Finding | None:
    engine = None if run.followed_by is None else store.engines.get(run.followed_by)
    if engine is None:
        return None
    facts = {"engine": engine.id, "pid": engine.pid, "alive": engine_alive(store.path, engine)}
    if facts["alive"]:
        return Finding(f"is queued for process {engine.pid}, the foreground flowctl that a person watches it in", facts)
    text = f"is queued for process {engine.pid}, a foreground flowctl that is gone: whoever looks next frees it"
    return Finding(text, facts, (f"flowctl resume {run.id}",))


def _held(store: Store, run: Run, now: int) -> Finding | None:
    if run.wake_at != HELD_AT:
        return None
    facts = {"when": run.options.get("when", []), "reason": run.reason}
    until = f", at most until {short(run.options['window_ms'])} after it was due" if "window_ms" in run.options else ""
    if not daemons(store):
        return Finding(f"is due and held{until}, and no daemon runs that would look at its conditions", facts, (START,))
    text = f"is due and held{until}: {run.reason or UNSEEN}"
    return Finding(text, facts, (f"flowctl resume {run.id}",))


def _not_yet(store: Store, run: Run, now: int) -> Finding | None:
    if run.wake_at is None or run.wake_at <= now:
        return None
    what = f", after {run.reason}" if run.reason else ""
    begin = f"to begin attempt {run.attempt}{what}" if run.attempt > 1 else "to begin"
    return Finding(
        f"is queued, and not {begin} before {local(run.wake_at)}, in {short(run.wake_at - now)}",
        {"wake_at": run.wake_at, "attempt": run.attempt},
    )


def _no_engine(store: Store, run: Run, now: int) -> Finding | None:
    if daemons(store):
        return None
    return Finding(
        "is queued, and no daemon runs that would begin it", {"engines": []}, (START, f"flowctl resume {run.id}")
    )


def _no_place(store: Store, run: Run, now: int) -> Finding | None:
    """Tell what every live engine lacks: a label that the run requires, or its queue."""
    engines = daemons(store)
    required = set(json.loads(run.requires)) if run.requires else set[str]()
    facts = {
        "requires": sorted(required),
        "queue": run.queue,
        "engines": [{"pid": each.pid, "labels": each.labels, "queues": each.queues} for each in engines],
    }
    able = [each for each in engines if required <= set(each.labels)]
    if not able:
        missing = required - {label for each in engines for label in each.labels} or required
        has = "; ".join(f"process {each.pid} has {', '.join(each.labels) or 'none'}" for each in engines)
        return Finding(f"is queued, and no engine has what it requires, {', '.join(sorted(missing))}: {has}", facts)
    if not any(each.queues is None or run.queue in each.queues for each in able):
        serve = "; ".join(f"process {each.pid} serves {', '.join(each.queues or [])}" for each in able)
        return Finding(f"is queued, and no engine serves the queue {run.queue}: {serve}", facts)
    return None


def _of_queue(store: Store, run: Run, now: int) -> Finding | None:
    """Tell which limit of its queue is reached."""
    queue = next((each for each in store.queues.all() if each[:2] == (run.namespace, run.queue)), None)
    if queue is None:
        return None
    held = store.evidence.running_in(run.namespace, run.queue)
    facts: dict[str, Any] = {"queue": queue.name, "running": held}
    if queue.paused_at is not None:
        text = f"is queued, and its queue {queue.name} is paused since {local(queue.paused_at)}"
        return Finding(text, facts | {"paused_at": queue.paused_at}, ("flowctl queues list",))
    if queue.concurrency is not None and len(held) >= queue.concurrency:
        text = f"is queued, and its queue {queue.name} is full: {_runs(held)} of {queue.concurrency} at once"
        return Finding(text, facts | {"concurrency": queue.concurrency}, ("flowctl queues list",))
    return _rate(store, queue, now, facts) or _key(store, run, queue, facts)


def _rate(store: Store, queue: Queue, now: int, facts: dict[str, Any]) -> Finding | None:
    if queue.rate is None or queue.rate_ms is None:
        return None
    if store.queues.starts(queue, queue.rate_ms, now) < queue.rate:
        return None
    free_at = (store.queues.nth_start(queue, queue.rate, now + queue.rate_ms) or now) + queue.rate_ms
    limit = f"{queue.rate} in {short(queue.rate_ms)}"
    text = f"is queued, and its queue {queue.name} has begun {limit}: the next may begin at {local(free_at)}"
    return Finding(text, facts | {"rate": queue.rate, "rate_ms": queue.rate_ms, "free_at": free_at})


def _key(store: Store, run: Run, queue: Queue, facts: dict[str, Any]) -> Finding | None:
    if queue.key is None or queue.key_limit is None:
        return None
    value = store.runs.attribute(run.id, queue.key)
    same = [other for other in facts["running"] if store.runs.attribute(other, queue.key) == value]
    if value is None or len(same) < queue.key_limit:
        return None
    text = f"is queued, and {_runs(same)} has the same {queue.key}, {json.dumps(value)}: {queue.key_limit} at once"
    return Finding(text, facts | {"key": queue.key, "value": value, "running": same, "key_limit": queue.key_limit})


def _runs(numbers: list[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:5])
    more = f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""
    return f"{'run' if len(numbers) == 1 else 'runs'} {shown}{more}"


# -- under way ------------------------------------------------------------------------------------------------------


def _running(store: Store, run: Run, now: int) -> Finding:
    engine = store.engines.get(run.engine_id or 0)
    if engine is not None and not engine_alive(store.path, engine):
        text = f"was running in process {engine.pid}, which is gone: whoever looks next frees it"
        return Finding(text, {"pid": engine.pid, "alive": False}, (f"flowctl resume {run.id}",))
    steps = [step for step in store.steps.unfinished(run.id) if step.state == "running"]
    where = f"process {engine.pid}, a {engine.kind} engine" if engine is not None else "an engine"
    asked = f", and is asked to {run.request}" if run.request else ""
    doing = "; ".join(_doing(step, now) for step in steps) or "between its steps"
    facts = {
        "pid": None if engine is None else engine.pid,
        "alive": True,
        "attempt": run.attempt,
        "request": run.request,
        "steps": [{"step": step.key, "attempt": step.attempt, "started_at": step.started_at} for step in steps],
    }
    since = f"for {short(now - run.changed_at)}"
    return Finding(f"is running in {where}, {since}{asked}: {doing}", facts, (f"flowctl show {run.id}",))


def _doing(step: Step, now: int) -> str:
    if step.wake_at is not None:
        return f'step "{step.key}" waits until {local(step.wake_at)}'
    attempt = f", attempt {step.attempt}" if step.attempt > 1 else ""
    return f'step "{step.key}"{attempt} has taken {short(now - step.started_at)}'


def _sleeping(store: Store, run: Run, now: int) -> Finding:
    steps = [step for step in store.steps.unfinished(run.id) if step.wake_at is not None]
    first = min(steps, key=lambda step: step.wake_at or 0, default=None)
    facts: dict[str, Any] = {"wake_at": run.wake_at, "step": None if first is None else first.key}
    because = "" if first is None else f', because of step "{first.key}"'
    if first is not None and first.kind != "sleep":
        failed = store.steps.attempts(run.id, first.key)
        error = summary(failed[-1].error) if failed and failed[-1].error else "it failed"
        because = f', when attempt {first.attempt + 1} of step "{first.key}" begins: attempt {first.attempt}, {error}'
        facts |= {"attempt": first.attempt, "error": error}
    wake_at = run.wake_at or 0
    if wake_at <= now and not daemons(store):
        text = f"was to go on at {local(wake_at)}{because}, and no daemon runs that would let it"
        return Finding(text, facts, (START, f"flowctl resume {run.id}"))
    return Finding(f"sleeps until {local(wake_at)}, for {short(wake_at - now)} more{because}", facts)


def _waiting(store: Store, run: Run, now: int) -> Finding:
    if run.after_id is not None:
        other = store.runs.get(run.after_id)
        text = f"waits until run {other.id} of the same schedule has ended, which is {other.state}"
        return Finding(text, {"after": other.id, "after_state": other.state}, (f"flowctl why {other.id}",))
    children = [
        child
        for child in store.runs.children(run.id)
        if child.state not in FINAL_STATES and store.runs.child_of(run.id, child.parent_step or "") == child
    ]
    facts: dict[str, Any] = {
        "children": [{"run": each.id, "workflow": each.workflow, "state": each.state} for each in children]
    }
    names = ", ".join(f"run {each.id} ({each.workflow}, {each.state})" for each in children[:5])
    awaited = store.signals.awaited(run.id)
    breakers = store.breakers.awaited(run.id)
    facts |= {"signals": awaited, "breakers": breakers, "wake_at": run.wake_at}
    parts = [f"for the signal {', '.join(awaited)}"] if awaited else []
    parts += [f"for the child {names}"] if children else []
    until = f", until {local(run.wake_at)} at the latest" if awaited and run.wake_at is not None else ""
    text = f"waits {' and '.join(parts)}{until}" if parts else f"waits, because {run.reason}"
    commands = (
        *(f"flowctl signal {run.id} {shlex.quote(name)} JSON" for name in awaited),
        *(f"flowctl breakers reset {shlex.quote(name)}" for name in breakers),
        *(f"flowctl why {each.id}" for each in children[:5]),
    )
    if run.wake_at is not None and run.wake_at <= now and not daemons(store):
        return Finding(
            f"{text}, and no daemon runs that would let it go on", facts, (START, f"flowctl resume {run.id}", *commands)
        )
    return Finding(text, facts, commands)


# -- ended, or for a person -----------------------------------------------------------------------------------------


def _paused(store: Store, run: Run, now: int) -> Finding:
    text = f"is paused since {local(run.changed_at)}: {run.reason or 'somebody asked for it'}"
    return Finding(text, {"reason": run.reason}, (f"flowctl resume {run.id}",))


def _blocked(store: Store, run: Run, now: int) -> Finding:
    key = step_in_doubt(run.reason)
    if key is None:
        decisions = [f"flowctl retry {run.id}{option}" for option in ("", " --same-code", " --accept", " --from STEP")]
    else:
        start = f"flowctl resolve {run.id} {shlex.quote(key)}"
        decisions = [f"{start}{option}" for option in (" --done JSON", " --fail TEXT", " --retry")]
    return Finding(
        f"is blocked since {local(run.changed_at)}, and needs a person: {run.reason}",
        {"reason": run.reason},
        (f"flowctl show {run.id}", *decisions),
    )


def _failed(store: Store, run: Run, now: int) -> Finding:
    error = summary(run.error or "{}")
    attempts = "" if run.attempt == 1 else f" after {run.attempt} attempts"
    steps = f", in step {', '.join(run.failed_steps[:5])}" if run.failed_steps else ""
    return Finding(
        f"failed at {local(run.finished_at)}{attempts}{steps}: {error}",
        {"error": error, "attempt": run.attempt, "failed_steps": run.failed_steps, "finished_at": run.finished_at},
        (f"flowctl show {run.id}", f"flowctl logs {run.id}", f"flowctl retry {run.id}"),
    )


def _succeeded(store: Store, run: Run, now: int) -> Finding:
    took = (run.finished_at or 0) - (run.started_at or 0)
    attempt = f", on attempt {run.attempt}" if run.attempt > 1 else ""
    facts = {"started_at": run.started_at, "finished_at": run.finished_at, "duration_ms": took, "attempt": run.attempt}
    return Finding(f"succeeded at {local(run.finished_at)}, after {short(took)}{attempt}", facts)


def _cancelled(store: Store, run: Run, now: int) -> Finding:
    because = f": {run.reason}" if run.reason and run.reason != "cancelled" else ""
    facts = {"reason": run.reason, "finished_at": run.finished_at}
    return Finding(f"was cancelled at {local(run.finished_at)}{because}", facts, (f"flowctl retry {run.id}",))


_OF_STATE: dict[str, Callable[[Store, Run, int], Finding]] = {
    "queued": _queued,
    "running": _running,
    "sleeping": _sleeping,
    "waiting": _waiting,
    "paused": _paused,
    "blocked": _blocked,
    "succeeded": _succeeded,
    "failed": _failed,
    "cancelled": _cancelled,
}
