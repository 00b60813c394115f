"""What a person asks of schedules. The command line and the screen call these."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from flowctl.core.errors import Conflict, NotFound, UsageError
from flowctl.core.model import NewSchedule, Schedule, Slot, SlotGroup, SlotOutcome
from flowctl.core.planning import due_slots, has_paused_itself, rule_of
from flowctl.core.recurrence import Rule, check, describe, is_reboot, is_timed, next_slot, slots
from flowctl.core.text import plural
from flowctl.core.zones import zoned
from flowctl.engine.changes import look_text
from flowctl.engine.claim import boot_id
from flowctl.engine.firing import Moment, create_run, source_of
from flowctl.store import Store

BY_A_PERSON = "by a person"
_RHYTHM = ("kind", "expression", "zone", "start_at", "end_at")


class Filled(NamedTuple):
    """A slot of the past and the run that a backfill gave it."""

    due_at: int
    run: int


def add(store: Store, new: NewSchedule, now: int, environment: dict[str, str] | None = None) -> Schedule:
    """Make a schedule, with the variables captured for it. A `once` fires even when it is past.

    Raises UsageError, or Conflict for a known name.
    """
    with store.transaction():
        return add_within(store, _with_environment(store, new, environment), now)


def add_within(store: Store, new: NewSchedule, now: int) -> Schedule:
    """Make a schedule inside an open transaction."""
    rule = check(rule_of(new))
    planned_to = now
    if rule.kind == "once":
        planned_to = min(now, (next_slot(rule, -1) or now) - 1)
    next_at = next_slot(rule, planned_to)
    _require_a_slot(rule, next_at)
    normal = new._replace(expression=rule.expression, zone=rule.zone)
    schedule = store.schedules.add(normal, now, planned_to=planned_to, next_at=next_at)
    _begin(store, schedule, rule)
    note(store, schedule.name, f"added: {rule.kind} {rule.expression}", now)
    return schedule


def update(store: Store, new: NewSchedule, now: int, environment: dict[str, str] | None = None) -> Schedule:
    """Change a schedule into this one. Without a difference nothing is written; another rhythm begins now."""
    with store.transaction():
        return update_within(store, _with_environment(store, new, environment), now)


def update_within(store: Store, new: NewSchedule, now: int) -> Schedule:
    """Change a schedule inside an open transaction."""
    old = store.schedules.get(new.namespace, new.name)
    rule = check(rule_of(new))
    normal = new._replace(expression=rule.expression, zone=rule.zone)
    changed = [field for field in NewSchedule._fields if getattr(old, field) != getattr(normal, field)]
    if not changed:
        return old
    note(store, old.name, f"changed: {', '.join(changed)}", now)
    if set(changed) & set(_RHYTHM):
        next_at = next_slot(rule, max(now, old.planned_to))
        _require_a_slot(rule, next_at)
        settle(store, old, now, "missed", "the schedule was changed before flowctl came to it")
        store.schedules.advance(old.id, now, next_at)
        _begin(store, old, rule)
    return store.schedules.update(normal, now)


def remove(store: Store, namespace: str, names: Iterable[str], now: int) -> None:
    """Delete schedules with their slots, all or none. Their runs stay. Raises NotFound."""
    with store.transaction():
        for schedule in [store.schedules.get(namespace, name) for name in dict.fromkeys(names)]:
            remove_within(store, schedule, now)


def remove_within(store: Store, schedule: Schedule, now: int) -> None:
    """Delete a schedule inside an open transaction."""
    store.schedules.remove(schedule)
    note(store, schedule.name, "removed", now)


def pause(store: Store, namespace: str, name: str, now: int, reason: str | None = None) -> Schedule:
    """Pause a schedule: its slots are skipped until it is resumed, and never made up for.

    One that is paused stays as it is, unless there is a reason: the one that it has may say who is to resume it. One
    that has paused itself lets no probe through any more.
    """
    with store.transaction():
        schedule = store.schedules.get(namespace, name)
        if schedule.paused_at is not None and reason is None and not has_paused_itself(schedule):
            return schedule
        store.schedules.pause(schedule.id, now, reason or BY_A_PERSON)
        note(store, name, f"paused: {reason or BY_A_PERSON}", now)
        return store.schedules.get(namespace, name)


def resume(store: Store, namespace: str, name: str, now: int) -> Schedule:
    """Let a paused schedule go on with its next slot."""
    with store.transaction():
        resume_within(store, store.schedules.get(namespace, name), now)
        return store.schedules.get(namespace, name)


def resume_within(store: Store, schedule: Schedule, now: int) -> None:
    """Let a schedule go on inside an open transaction."""
    if schedule.paused_at is not None:
        settle(store, schedule, now, "skipped", f"paused ({schedule.pause_reason})")
        store.schedules.advance(schedule.id, now, next_slot(rule_of(schedule), max(now, schedule.planned_to)))
        store.schedules.resume(schedule.id, now)
        if schedule.kind == "change":
            _begin(store, schedule, rule_of(schedule))
        note(store, schedule.name, "resumed", now)


def trigger(store: Store, namespace: str, name: str, now: int) -> int:
    """Create a run of a schedule now, outside its rhythm, and return its number.

    It waits for a run of the schedule that is active, unless these may overlap.
    """
    with store.transaction():
        schedule = store.schedules.get(namespace, name)
        source = source_of(store, schedule)
        if source.missing is not None:
            raise NotFound(source.missing)
        run = create_run(store, schedule, source, now, Moment(after=_last_active(store, schedule)))
        note(store, name, f"triggered: run {run}", now)
        return run


def unfired(store: Store, schedule: Schedule, from_at: int, until: int, limit: int) -> list[int]:
    """Return the slots of a past span, its ends included, that have no run of their own. Raises UsageError."""
    if from_at > until:
        raise UsageError("there is no past between --from and --to", "give a span that has gone by")
    until = min(until, schedule.planned_to)  # what is due and not planned yet is the scheduler's
    fired = set(store.schedules.fired(schedule.id, from_at, until))
    found = []
    for slot in slots(rule_of(schedule), from_at - 1, until):
        if slot not in fired:
            found.append(slot)
        if len(found) > limit:
            raise UsageError(f"more than {limit} slots would be filled", "give a shorter span, or a higher --limit")
    return found


def why_none_unfired(schedule: Schedule, from_at: int, until: int) -> str:
    """Return why a span has no slot to fill."""
    rule = rule_of(schedule)
    if not is_timed(rule):
        return f"it has no slots by the clock: it is due {describe(rule)}"
    undecided = next(slots(rule, max(from_at - 1, schedule.planned_to), until), None)
    if undecided is not None:
        return f"the slot of {zoned(undecided, schedule.zone)} is not decided yet: flowctl daemon does that"
    if next(slots(rule, from_at - 1, until), None) is None:
        return "no slot is due in that time"
    return "every slot of that time has its run"


def backfill(store: Store, namespace: str, name: str, due: Iterable[int], now: int) -> list[Filled]:
    """Create a run for each of these slots, one after the other unless they may overlap, and return their numbers."""
    filled = []
    with store.transaction():
        schedule = store.schedules.get(namespace, name)
        source = source_of(store, schedule)
        if source.missing is not None:
            raise NotFound(source.missing)
        after = _last_active(store, schedule)
        for slot in due:
            if store.schedules.fired(schedule.id, slot, slot):
                continue
            run = create_run(store, schedule, source, now, Moment(slot, after=after))
            store.schedules.fill(Slot(schedule.id, slot, "fired", "filled in by a person", run, now))
            filled.append(Filled(slot, run))
            after = None if schedule.overlap == "allow" else run
        note(store, name, f"filled in: {plural(len(filled), 'slot')}", now)
    return filled


def settle(store: Store, schedule: Schedule, now: int, outcome: SlotOutcome, reason: str) -> None:
    """Write the same of every slot that is due and not planned yet, without a run."""
    try:
        due = due_slots(rule_of(schedule), schedule.planned_to, now)
    except UsageError:  # a zone that is not known any more: nobody can say what was due
        return
    store.schedules.record(schedule.id, SlotGroup(due.listed, outcome, reason), now)
    if due.first_omitted is not None:
        text = f"{reason}; this row stands for {due.omitted} slots that are not listed"
        store.schedules.record(schedule.id, SlotGroup([due.first_omitted], outcome, text), now)


def apply_code(store: Store, wanted: list[NewSchedule], workflows: Iterable[tuple[str, str]], now: int) -> None:
    """Make the schedules of these workflows, (namespace, name) each, those that their code asks for.

    Belongs inside `store.transaction()`. Raises Conflict when a person has made a schedule of the name.
    """
    asked = {(new.namespace, new.name): new for new in wanted}
    for place in workflows:
        found, new = store.schedules.find(*place), asked.get(place)
        if found is not None and found.source != "code":
            if new is not None:
                raise Conflict(
                    f"the code of {found.name} asks for a schedule, and there is one of that name that it has not made",
                    f"flowctl schedules remove {found.name}",
                )
        elif new is None and found is not None:
            remove_within(store, found, now)
        elif new is not None and found is None:
            add_within(store, new, now)
        elif new is not None:
            update_within(store, new, now)


def note(store: Store, name: str, what: str, now: int) -> None:
    """Write down what has become of a schedule."""
    store.events.note(f"schedule {name}", what, now)


def _with_environment(store: Store, new: NewSchedule, variables: dict[str, str] | None) -> NewSchedule:
    return new if variables is None else new._replace(environment=store.environments.put(variables))


def _last_active(store: Store, schedule: Schedule) -> int | None:
    active = store.schedules.active(schedule.namespace, schedule.name)
    return active[-1].id if active and schedule.overlap != "allow" else None


def _require_a_slot(rule: Rule, next_at: int | None) -> None:
    if next_at is None and rule.kind == "once" and next_slot(rule, -1) is not None:
        raise UsageError(f"{rule.expression} has passed", "to run it now: flowctl schedules trigger NAME")
    if next_at is None and is_timed(rule):
        raise UsageError(f"the schedule is never due: {describe(rule)}", "see with: flowctl next --cron EXPR")


def _begin(store: Store, schedule: Schedule, rule: Rule) -> None:
    """Take what is behind us for done: the start of the machine, and how files look now."""
    if is_reboot(rule):
        store.schedules.set_booted(schedule.id, boot_id())
    elif rule.kind == "change":
        store.schedules.set_files(schedule.id, look_text(rule.expression))
