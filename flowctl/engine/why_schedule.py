"""Why a schedule has made a run, or has not: at an instant, or now."""

from __future__ import annotations

from collections import deque
from typing import Any

from flowctl.core.errors import NotFound
from flowctl.core.instants import short
from flowctl.core.model import Run, Schedule, Slot
from flowctl.core.planning import rule_of
from flowctl.core.recurrence import Rule, describe, is_reboot, next_slot, slots
from flowctl.core.zones import zoned
from flowctl.engine.crontab import HELD, TAKE_OVER
from flowctl.engine.daemon_lock import running_daemon
from flowctl.engine.why import START, Answer
from flowctl.store import Store

MINUTE_MS = 60_000
OVERDUE_MS = 60_000  # later than this a slot was not decided by a daemon that is well
_VERBS = {"succeeded": "has", "failed": "has", "cancelled": "was"}
_SPANS_MS = (3_600_000, 86_400_000, 32 * 86_400_000, 4_000 * 86_400_000)  # that are searched backwards for a slot


def why_schedule(store: Store, schedule: Schedule, now: int, at: int | None = None) -> Answer:
    """Return what became of the slot of an instant, within the minute that begins there; without one, what is next."""
    text, facts, commands = _now(store, schedule, now) if at is None else _at(store, schedule, now, at)
    next_at = schedule.next_at if schedule.paused_at is None else None
    facts = {"schedule": schedule.name, "paused_at": schedule.paused_at, "next_at": next_at} | facts
    kept = _kept_because(store, schedule)
    if kept is not None:
        text += f"; its workflow keeps its last good version: {kept}"
        facts["kept_because"] = kept
    return Answer(f"schedule {schedule.name}", f"schedule {schedule.name}: {text}", facts, commands)


def _kept_because(store: Store, schedule: Schedule) -> str | None:
    """Return why runs of a schedule do not execute what the file of its workflow holds now, if they do not."""
    workflow = store.workflows.find(schedule.namespace, schedule.workflow) if schedule.workflow is not None else None
    return None if workflow is None else workflow.kept_because


Found = tuple[str, dict[str, Any], tuple[str, ...]]


def _now(store: Store, schedule: Schedule, now: int) -> Found:
    last = store.evidence.slot_before(schedule.id, now + 1)
    facts = {"last": None if last is None else _slot_facts(last)}
    before = "" if last is None else f"; the last slot, {zoned(last.due_at, schedule.zone)}, {_outcome(store, last)}"
    if schedule.paused_at is not None:
        text = f"is paused since {zoned(schedule.paused_at, schedule.zone)}: {schedule.pause_reason}{before}"
        resume = f"flowctl schedules resume {schedule.name}"
        return text, facts, (TAKE_OVER, resume) if schedule.pause_reason == HELD else (resume,)
    if is_reboot(rule_of(schedule)):
        return f"fires once after each start of the machine{before}", facts, ()
    if schedule.kind == "change":
        return f"fires {describe(rule_of(schedule))}{before}", facts, ()
    if schedule.next_at is None:
        return f"has no further slot{before}", facts, (f"flowctl schedules show {schedule.name}",)
    if schedule.next_at > now:
        text = f"is not due before {zoned(schedule.next_at, schedule.zone)}, in {short(schedule.next_at - now)}{before}"
        return text, facts, ()
    return _undecided(store, schedule, schedule.next_at, now, facts)


def _undecided(store: Store, schedule: Schedule, due_at: int, now: int, facts: dict[str, Any]) -> Found:
    """Say what a slot that is due, and not in the ledger, waits for."""
    if running_daemon(store.path) is None:
        return (
            f"the slot of {zoned(due_at, schedule.zone)} is due, and no daemon runs that would decide it",
            facts,
            (START,),
        )
    late = now - due_at
    state = "is being decided now" if late < OVERDUE_MS else f"is {short(late)} late, and the daemon has not decided it"
    return f"the slot of {zoned(due_at, schedule.zone)} {state}", facts, ("flowctl daemon status", "flowctl doctor")


def _at(store: Store, schedule: Schedule, now: int, at: int) -> Found:
    slot = store.evidence.slot_from(schedule.id, at)
    if slot is not None and slot.due_at < at + MINUTE_MS:
        text = f"the slot of {zoned(slot.due_at, schedule.zone)} {_outcome(store, slot)}"
        run = _run_of(store, slot)
        return text, {"slot": _slot_facts(slot)}, () if run is None else (f"flowctl why {run.id}",)
    if at < schedule.created_at - MINUTE_MS:
        text = f"it was made only at {zoned(schedule.created_at, schedule.zone)}, after {zoned(at, schedule.zone)}"
        return text, {"created_at": schedule.created_at}, ()
    due_at = next_slot(rule_of(schedule), at - 1)
    if due_at is None or due_at >= at + MINUTE_MS:
        return _none_due(schedule, at, due_at)
    facts = {"due_at": due_at}
    if due_at > now:
        return f"the slot of {zoned(due_at, schedule.zone)} is not due yet, but in {short(due_at - now)}", facts, ()
    if due_at > schedule.planned_to:
        return _undecided(store, schedule, due_at, now, facts)
    text = f"a slot is due at {zoned(due_at, schedule.zone)} by its rule of today, but none was recorded"
    return f"{text}: it was changed since, or the record was pruned", facts | {"changed_at": schedule.changed_at}, ()


def _none_due(schedule: Schedule, at: int, after: int | None) -> Found:
    before = _slot_before(rule_of(schedule), at)
    near = [
        f"{word} at {zoned(found, schedule.zone)}"
        for word, found in (("before", before), ("after", after))
        if found is not None
    ]
    nearest = f": the nearest is due {' and '.join(near)}" if near else ""
    return f"no slot is due at {zoned(at, schedule.zone)}{nearest}", {"before_at": before, "after_at": after}, ()


def _slot_before(rule: Rule, at: int) -> int | None:
    """Return the last slot before an instant: of the shortest span backwards that holds one."""
    for span in _SPANS_MS:
        if last := deque(slots(rule, at - span, at - 1), maxlen=1):
            return last[0]
    return None


def _outcome(store: Store, slot: Slot) -> str:
    because = f": {slot.reason}" if slot.reason else ""
    if slot.run_id is None:
        return f"was {slot.outcome}{because}"
    run = _run_of(store, slot)
    state = "was pruned since" if run is None else f"{_VERBS.get(run.state, 'is')} {run.state}"
    verb = "fired" if slot.outcome == "fired" else "was coalesced into"
    return f"{verb} run {slot.run_id}, which {state}{because}"


def _run_of(store: Store, slot: Slot) -> Run | None:
    """Return the run of a slot, None for one that has none or whose run was pruned."""
    try:
        return None if slot.run_id is None else store.runs.get(slot.run_id)
    except NotFound:
        return None


def _slot_facts(slot: Slot) -> dict[str, Any]:
    return {
        "due_at": slot.due_at,
        "outcome": slot.outcome,
        "reason": slot.reason,
        "run": slot.run_id,
        "decided_at": slot.decided_at,
    }
