"""The scheduler: each slot that is due becomes a row of the ledger, and a run where the schedule's policies say so.

One schedule is planned in one transaction: its slots, its runs and how far it is planned. So no slot is lost or fires
twice, whoever dies in between, and however many schedulers look at the same file.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from flowctl.core import failpoint
from flowctl.core.clock import Clock
from flowctl.core.errors import Busy, DiskTrouble, FlowctlError, Moved
from flowctl.core.model import Schedule, Slot, SlotGroup
from flowctl.core.planning import (
    LATE_MS,
    DueSlots,
    Plan,
    by_reason,
    catch_up,
    due_slots,
    has_paused_itself,
    overlap,
    probe,
    rule_of,
    self_paused,
)
from flowctl.core.recurrence import fire_at, next_slot
from flowctl.core.zones import local_zone_name
from flowctl.engine import suspend as gaps
from flowctl.engine.changes import Change, Changes
from flowctl.engine.claim import boot_id
from flowctl.engine.firing import Moment, Source, create_run, source_of
from flowctl.engine.recovery import cancel_all, with_children
from flowctl.store import Store
from flowctl.store.schedules import ActiveRun, DueSchedule

EARLIEST_MS = 1_577_836_800_000  # 2020: a clock that says less has not been set since the machine started
MOST_AT_ONCE = 100  # schedules of one tick
STAGGER_MS = 2_000
LONGEST_STAGGER_MS = 300_000
RETRY_MS = 3_600_000  # before a schedule that cannot be planned is tried again


class Scheduler:
    """Plans the schedules of one file. `boot` names this start of the machine: `@reboot` fires once after each."""

    def __init__(self, store: Store, clock: Clock, boot: str | None = None) -> None:
        self._store = store
        self._since = clock.now()
        self._boot: str | None = boot_id() if boot is None else boot
        self._zone: str | None = None  # the machine's own, as it was at the last tick
        self._staggered = 0  # schedules that catch up at this moment
        self._more = False
        self._changes = Changes(store, clock)

    def tick(self, now: int) -> int | None:
        """Plan what is due, and return the instant of the next slot of all schedules, None when there is none.

        It may be past already: then there is more to plan than one tick should take.
        """
        store = self._store
        if now < EARLIEST_MS:
            return None
        if store.runs.wakes_after():
            with store.transaction():
                store.runs.wake_after(now)
        self._fire_boot(now)
        self._follow_zone(now)
        if not self._more:
            self._staggered = 0
        due = store.schedules.due(now, MOST_AT_ONCE)
        for each in due:
            self._guarded(each, now, self._plan)
        self._more = len(due) == MOST_AT_ONCE
        for change in self._changes.look(now):
            each = DueSchedule(*change.schedule[:3], now)
            self._guarded(each, now, partial(self._plan_change, change))
        deadlines = (store.schedules.next_due_at(), self._changes.next_at)
        return min((at for at in deadlines if at is not None), default=None)

    def _fire_boot(self, now: int) -> None:
        """Fire what is to fire once after each start of the machine, at the first tick."""
        if self._boot is None:
            return
        for each in self._store.schedules.reboots():
            self._guarded(each, now, self._plan_boot)
        self._boot = None

    def _follow_zone(self, now: int) -> None:
        """Look anew when schedules are due that follow the machine's own time zone, when it has another one."""
        zone, schedules = local_zone_name(), self._store.schedules
        if zone == self._zone:
            return
        before = schedules.local_zone()
        if before != zone:
            with self._store.transaction():
                if before is not None:
                    line = f"time zone changed from {before} to {zone}"
                    self._store.events.note(gaps.SUBJECT, line, now)
                    for each in schedules.local():
                        self._look_anew(each)
                schedules.set_local_zone(zone)
        self._zone = zone

    def _look_anew(self, local: DueSchedule) -> None:
        with suppress(FlowctlError):  # one that is damaged says so at its next slot
            schedule = self._store.schedules.read(local.id)
            if schedule is not None:
                next_at = next_slot(rule_of(schedule), schedule.planned_to)
                self._store.schedules.advance(local.id, schedule.planned_to, next_at)

    def _guarded(self, due: DueSchedule, now: int, plan: Callable[[int, int], None]) -> None:
        """Plan one schedule; one that cannot be planned does not stop the others."""
        try:
            plan(due.id, now)
        except (Busy, DiskTrouble, Moved):  # what is the matter is the file
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this schedule's, and is told below
            self._give_up(due, error, now)

    def _give_up(self, due: DueSchedule, error: Exception, now: int) -> None:
        """Record that a slot was missed, once, and try the schedule again later."""
        what = error.message if isinstance(error, FlowctlError) else f"{type(error).__name__}: {error}"
        schedules = self._store.schedules
        with self._store.transaction():
            newest = schedules.slots(due.id, limit=1)
            known = bool(newest) and newest[0].reason == what
            if not known:
                schedules.fill(Slot(due.id, due.at, "missed", what, None, now))
                self._store.events.note(f"schedule {due.name}", f"could not be planned: {what}", now)
            schedules.advance(due.id, 0 if known else due.at, now + RETRY_MS)

    def _plan(self, schedule_id: int, now: int) -> None:
        """Plan one schedule, unless another scheduler has."""
        store = self._store
        with store.transaction():
            schedule = store.schedules.read(schedule_id)
            if schedule is None or schedule.next_at is None or schedule.next_at > now:
                return
            rule = rule_of(schedule)
            due = due_slots(rule, schedule.planned_to, now)
            planning = Planning(store, _standing(store, schedule, now), now, self._reasons(schedule, due, now))
            planning.delay_ms = self._delay(due, now)
            planning.settle(due)
            failpoint.reach("slots-recorded")
            store.schedules.advance(schedule.id, now, next_slot(rule, max(now, schedule.planned_to)))
        failpoint.reach("schedule-planned")

    def _plan_boot(self, schedule_id: int, now: int) -> None:
        store = self._store
        with store.transaction():
            schedule = store.schedules.read(schedule_id)
            if schedule is None or self._boot is None or store.schedules.booted(schedule_id) == self._boot:
                return
            store.schedules.set_booted(schedule_id, self._boot)
            planning = Planning(store, _standing(store, schedule, now), now, lambda _: "")
            planning.settle(DueSlots([max(now, schedule.planned_to + 1)]))
            store.schedules.advance(schedule_id, now, None)

    def _plan_change(self, change: Change, schedule_id: int, now: int) -> None:
        """Make a slot of files that have changed, unless what the schedule waits for was changed meanwhile."""
        store = self._store
        with store.transaction():
            schedule = store.schedules.read(schedule_id)
            if schedule is None or store.schedules.files(schedule_id) != change.schedule.files:
                return
            store.schedules.set_files(schedule_id, change.after)
            due_at = max(change.at, schedule.planned_to + 1)
            if (schedule.start_at or 0) <= due_at <= (due_at if schedule.end_at is None else schedule.end_at):
                planning = Planning(store, _standing(store, schedule, now), now, lambda _: "flowctl was not running")
                planning.cause = change.reason
                planning.settle(DueSlots([due_at]))
                store.schedules.advance(schedule_id, due_at, None)

    def _delay(self, due: DueSlots, now: int) -> int:
        """Return how much later the run of a schedule starts that catches up, so that not all of them start at once."""
        if not due.listed or due.listed[0] >= now - LATE_MS:
            return 0
        self._staggered += 1
        return min((self._staggered - 1) * STAGGER_MS, LONGEST_STAGGER_MS)

    def _reasons(self, schedule: Schedule, due: DueSlots, now: int) -> Callable[[int], str]:
        """Return what says of a slot why it was late. One alone that is in time is not asked about."""
        if not due.listed or (len(due.listed) == 1 and due.listed[0] >= now - LATE_MS):
            return lambda _: "flowctl was late"
        lines = self._store.events.of_subject(gaps.SUBJECT, due.listed[0])
        found = [gap for line in lines if (gap := gaps.Gap.of_text(line.reason or "")) is not None]
        told = [(gap.from_at, gap.to_at, gap.told(schedule.zone)) for gap in found]

        def why(slot: int) -> str:
            if slot < schedule.created_at:  # a `once`, which fires even when it is past
                return "it was due before the schedule was made"
            for from_at, to_at, text in told:
                if from_at <= slot <= to_at:
                    return text
            return "flowctl was not running" if slot < self._since else "flowctl was late"

        return why


class Planning:
    """One plan of one schedule, inside a transaction: slots become rows, and some of them runs."""

    def __init__(self, store: Store, schedule: Schedule, now: int, why: Callable[[int], str]) -> None:
        self.delay_ms = 0
        self.cause: str | None = None  # what made the slots due, where it was no clock
        self._store = store
        self._schedule = schedule
        self._now = now
        self._why = why
        self._rule = rule_of(schedule)
        self._source: Source | None = None
        self._active = [] if schedule.overlap == "allow" else store.schedules.active(schedule.namespace, schedule.name)
        self._previous: int | None = None  # the run of the slot before

    def settle(self, due: DueSlots) -> None:
        """Write what becomes of slots."""
        plan = self._sort(due.listed)
        groups = [group for group in plan.without if group.due]
        for slot in plan.starts:
            group = self._start(slot)
            groups.append(group)
            if slot == plan.starts[-1] and plan.joins:
                groups += self._joined(plan.joins, group)
        if due.first_omitted is not None:
            text = f"{self._why(due.first_omitted)}; this row stands for {due.omitted} slots that are not listed"
            groups.append(SlotGroup([due.first_omitted], "missed", text))
        if self.cause is not None:
            groups = [group._replace(reason=": ".join(filter(None, (group.reason, self.cause)))) for group in groups]
        for group in groups:
            self._store.schedules.record(self._schedule.id, group, self._now)
        self._note(groups, due)

    def _sort(self, due: list[int]) -> Plan:
        schedule = self._schedule
        if schedule.paused_at is None:
            return catch_up(schedule, due, self._now, self._why)
        tried = None
        if has_paused_itself(schedule):
            tried = probe(due, self._store.schedules.last_start(schedule))
        reason = f"paused ({schedule.pause_reason})"
        skipped = SlotGroup([slot for slot in due if slot != tried], "skipped", reason)
        return Plan([] if tried is None else [tried], [], [skipped])

    def _start(self, slot: int) -> SlotGroup:
        """Give a slot its run, if the runs before it allow that, and return what became of it."""
        turn = overlap(self._schedule, self._active, self._previous)
        if turn.refusal is not None:
            return SlotGroup([slot], "skipped", turn.refusal)
        if turn.join is not None:
            return SlotGroup([slot], "coalesced", f"overlap, run {turn.join} is waiting already", turn.join)
        after = self._replaced(turn.cancelled) if turn.cancelled else turn.after
        self._source = self._source or source_of(self._store, self._schedule)
        wake_at = max(fire_at(self._rule, slot), self._now + self.delay_ms)
        moment = Moment(slot, wake_at if wake_at > self._now else None, after, heeds=True)
        number = create_run(self._store, self._schedule, self._source, self._now, moment)
        if self._source.missing is None:
            self._active.append(ActiveRun(number, "queued" if after is None else "waiting", after))
            self._previous = number
        return SlotGroup([slot], "fired", self._late(slot), number)

    def _replaced(self, runs: tuple[int, ...]) -> int | None:
        """Cancel runs, and return the last one that goes on until its engine has ended it."""
        for run in runs:
            cancel_all(self._store, with_children(self._store, run), self._now)
        self._active = self._store.schedules.active(self._schedule.namespace, self._schedule.name)
        return self._active[-1].id if self._active else None

    def _late(self, slot: int) -> str | None:
        return self._why(slot) if slot < self._now - LATE_MS else None

    def _joined(self, joins: list[int], last: SlotGroup) -> list[SlotGroup]:
        """Return what becomes of slots for which the run of a later one is to stand: without one, the same."""
        if last.run_id is None:
            return [last._replace(due=joins)]
        return by_reason(joins, "coalesced", self._why, last.run_id)

    def _note(self, groups: list[SlotGroup], due: DueSlots) -> None:
        """Tell in the audit log what a catch-up has made of many slots."""
        total = sum(len(group.due) for group in groups)
        if total > 1:
            counts = dict.fromkeys(("fired", "coalesced", "skipped", "missed"), 0)
            for group in groups:
                counts[group.outcome] += len(group.due)
            text = ", ".join(f"{count:,} {outcome}" for outcome, count in counts.items() if count)
            more = f", and {due.omitted} before them that are not listed" if due.omitted else ""
            line = f"{total:,} slots were due at once: {text}{more}"
            self._store.events.note(f"schedule {self._schedule.name}", line, self._now)


def _standing(store: Store, schedule: Schedule, now: int) -> Schedule:
    """Pause a schedule whose runs have failed too often; let one go on whose probe has succeeded."""
    schedules, subject = store.schedules, f"schedule {schedule.name}"
    if has_paused_itself(schedule) and schedule.paused_at is not None:
        if "succeeded" in schedules.outcomes(schedule, schedule.paused_at, 1):
            schedules.resume(schedule.id, now)
            store.events.note(subject, "resumed itself: its probe succeeded", now)
            return schedule._replace(paused_at=None, pause_reason=None, changed_at=now)
    elif schedule.pause_after is not None and schedule.paused_at is None:
        ended = schedules.outcomes(schedule, schedule.changed_at, schedule.pause_after)
        if ["failed"] * schedule.pause_after == ended:
            reason = self_paused(schedule.pause_after)
            schedules.pause(schedule.id, now, reason)
            store.events.note(subject, f"paused itself: {reason}", now)
            return schedule._replace(paused_at=now, pause_reason=reason, changed_at=now)
    return schedule
