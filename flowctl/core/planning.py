"""What becomes of slots that are due: which get a run, which join one, and why the others get none.

Two questions follow each other. `catch_up` asks how late the slots are: it knows only the schedule's policy and the
time. `overlap` asks for each slot that is to get a run what the runs before it are doing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import groupby, islice
from typing import NamedTuple, Protocol

from flowctl.core.model import NewSchedule, Schedule, SlotGroup, SlotOutcome
from flowctl.core.recurrence import Rule, slots
from flowctl.sdk.durations import short_text

LATE_MS = 60_000  # a slot that is worked on within this is on time
DAY_MS = 86_400_000
MOST_LISTED = 100_000  # slots of one plan that get rows of their own
MOST_COUNTED = 500_000
_SHORTEST_PERIOD_MS = 1_000  # of every rule
_SELF_PAUSED = " failed runs in a row"


class Plan(NamedTuple):
    """Slots by what the catch-up policy makes of them, each list in the order of time."""

    starts: list[int]  # each is to get a run
    joins: list[int]  # coalesced into the run of the last start
    without: list[SlotGroup]  # these get none


class Active(Protocol):
    """A run of the schedule that is not final."""

    @property
    def id(self) -> int:
        """Return its number."""

    @property
    def state(self) -> str:
        """Return its state."""

    @property
    def after_id(self) -> int | None:
        """Return the run that it waits for, None when it does not wait."""


class Turn(NamedTuple):
    """What a slot may do about the runs before it: `refusal` says why it gets none, `join` which run stands for it.

    Otherwise it gets a run that begins when the run `after` has ended, or those that are `cancelled` for it.
    """

    refusal: str | None = None
    join: int | None = None
    after: int | None = None
    cancelled: tuple[int, ...] = ()


class DueSlots(NamedTuple):
    """The slots of a span. `omitted` counts older ones, too many to be listed: the first stands for all of them."""

    listed: list[int]
    first_omitted: int | None = None
    omitted: str = ""


def rule_of(schedule: Schedule | NewSchedule) -> Rule:
    """Return when a schedule is due. Its name is what jitter and `H` fields are derived from."""
    return Rule(
        schedule.kind,
        schedule.expression,
        schedule.zone,
        schedule.start_at,
        schedule.end_at,
        schedule.jitter_ms,
        f"{schedule.namespace}/{schedule.name}",
    )


def due_slots(rule: Rule, after: int, until: int) -> DueSlots:
    """Return the slots after one instant and up to another, at most the newest MOST_LISTED of them."""
    found = list(islice(slots(rule, after, until), MOST_LISTED + 1))
    if len(found) <= MOST_LISTED:
        return DueSlots(found)
    span, recent = MOST_LISTED * _SHORTEST_PERIOD_MS, list[int]()
    while len(recent) < MOST_LISTED:
        recent = list(slots(rule, max(after, until - span), until))
        span *= 2
    recent = recent[-MOST_LISTED:]
    count = sum(1 for _ in islice(slots(rule, after, recent[0] - 1), MOST_COUNTED))
    return DueSlots(recent, found[0], f"{count:,}{' or more' if count == MOST_COUNTED else ''}")


def catch_up(schedule: Schedule, due: list[int], now: int, why: Callable[[int], str]) -> Plan:
    """Return what the schedule's catch-up policy makes of slots that are due; `why` says why a slot is late."""
    oldest = now - schedule.window_ms if schedule.window_ms is not None else 0
    cut = bisect_left(due, oldest)
    stale = SlotGroup(due[:cut], "skipped", f"stale (more than {short_text(now - oldest)} late)")
    fresh = due[cut:]
    if schedule.catch_up == "latest":
        return Plan(fresh[-1:], fresh[:-1], [stale])
    if schedule.catch_up == "skip":
        late = bisect_left(fresh, now - LATE_MS)
        return Plan(fresh[late:], [], [stale, *by_reason(fresh[:late], "missed", why)])
    over = max(0, len(fresh) - schedule.catch_up_cap)
    return Plan(
        fresh[over:], [], [stale, SlotGroup(fresh[:over], "skipped", f"over the cap of {schedule.catch_up_cap}")]
    )


def by_reason(
    due: list[int], outcome: SlotOutcome, why: Callable[[int], str | None], run: int | None = None
) -> list[SlotGroup]:
    """Return slots in groups that have the same reason."""
    return [SlotGroup(list(group), outcome, reason, run) for reason, group in groupby(due, why)]


def overlap(schedule: Schedule, active: Sequence[Active], previous: int | None = None) -> Turn:
    """Return what a slot may do while runs of its schedule are active, the oldest first.

    `previous` is the run of the slot before it in the same plan: under the catch-up policy `all` each slot gets its
    run, and they run one after the other.
    """
    if schedule.overlap == "allow" or not active:
        return Turn()
    if previous is not None and schedule.catch_up == "all":
        return Turn(after=previous)
    if schedule.overlap == "queue":
        waiting = [run.id for run in active if run.after_id is not None]
        return Turn(join=waiting[-1]) if waiting else Turn(after=active[-1].id)
    if schedule.overlap == "replace":
        return Turn(cancelled=tuple(run.id for run in active))
    return Turn(refusal=f"overlap, run {active[0].id} is still {active[0].state}")


def self_paused(failures: int) -> str:
    """Return the reason of a schedule that pauses itself."""
    return f"{failures}{_SELF_PAUSED}"


def has_paused_itself(schedule: Schedule) -> bool:
    """Tell whether a schedule is paused because its runs failed: then it still lets a probe through."""
    return schedule.pause_reason is not None and schedule.pause_reason.endswith(_SELF_PAUSED)


def probe(due: Sequence[int], last_start: int | None) -> int | None:
    """Return the slot that a schedule which has paused itself lets through: a day after its last run, none sooner."""
    allowed = [slot for slot in due if last_start is None or slot >= last_start + DAY_MS]
    return allowed[-1] if allowed else None
