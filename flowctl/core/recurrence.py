"""Recurrence: the instants at which a schedule is due.

Four kinds of rules: `cron` (flowctl.core.cron says what an expression may be), `every` (an interval on a fixed grid),
`once`, and `change`, which no clock makes due but files that change. All are pure functions of the rule and the zone
data; nothing here reads a clock.

A slot is known by its nominal instant, which `slots` yields. Jitter moves only when the run starts (`fire_at`), by an
offset that is the same for every slot of a schedule and after every restart, so that it can never make a slot twice.

Daylight saving is that of cron(8) (Vixie): an expression whose minute or hour begins with `*` follows real time, the
repeated hour included. Any other follows the local clock: a time that occurs twice is due the first time only, and
the times that fall into a gap are due once together, at the first instant after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from typing import Literal

from flowctl.core import cron
from flowctl.core.digests import sha256
from flowctl.core.errors import UsageError
from flowctl.core.zones import DAY_MS, LAST_MS, find_zone, milliseconds, spans, to_instant
from flowctl.sdk.durations import short_text, to_ms
from flowctl.sdk.errors import shown

LONGEST_TEXT = 1_000
LONGEST_JITTER_MS = DAY_MS
SHORTEST_PERIOD_MS = 1_000
LONGEST_PERIOD_MS = 3_653 * DAY_MS  # ten years


@dataclass(frozen=True, slots=True)
class Rule:
    """When a schedule is due.

    `expression` is a cron text, the period of an `every` such as "10m", or the instant of a `once`: ISO-8601 text,
    local in `zone` unless it says otherwise, or UTC milliseconds in digits; of a `change` it is full paths or patterns
    of files, a line each. `zone` is an IANA name; "" is the
    machine's own, looked up at each use. `start_at` and `end_at` are the first and last instant allowed. `seed` is
    the schedule's identity, from which its jitter and the `H` fields of cron are derived.
    """

    kind: Literal["cron", "every", "once", "change"]
    expression: str
    zone: str
    start_at: int | None = None
    end_at: int | None = None
    jitter_ms: int = 0
    seed: str = ""


def check(rule: Rule) -> Rule:
    """Return the rule in its normal form, in which it means the same. Raises UsageError that names what is wrong.

    A period becomes its short text; the instant of a `once` becomes UTC, so that no change of a zone can move it.
    """
    expression = _patterns(rule.expression) if rule.kind == "change" else " ".join(rule.expression.split())
    if not expression:
        raise UsageError(f"the {rule.kind} of a schedule is empty", 'give such as cron "30 2 * * *" or every 10m')
    if len(expression) > LONGEST_TEXT:
        raise UsageError(f"the {rule.kind} of a schedule has at most {LONGEST_TEXT} characters, not {len(expression)}")
    zone = rule.zone.strip()
    find_zone(zone)
    _check_bounds(rule)
    if rule.kind == "cron":
        if expression.lower() == cron.REBOOT:
            expression = cron.REBOOT
        else:
            cron.check(expression, rule.seed)
    elif rule.kind == "every":
        expression = short_text(_period(expression))
    elif rule.kind == "once":
        expression = _iso(_moment(expression, zone))
    return replace(rule, expression=expression, zone=zone)


def slots(rule: Rule, after: int, until: int) -> Iterator[int]:
    """Yield the nominal instants that are due after one instant and up to another, both of any size, ascending.

    Nothing is due before 1970 or after 9999-12-31T00:00Z.
    """
    first = max(after + 1, rule.start_at or 0, 0)
    last = min(until, LAST_MS if rule.end_at is None else rule.end_at, LAST_MS)
    if first > last or not is_timed(rule):
        return iter(())
    if rule.kind == "every":
        period, anchor = _period(rule.expression), rule.start_at or 0
        return iter(range(anchor + -(-(first - anchor) // period) * period, last + 1, period))
    if rule.kind == "once":
        moment = _moment(rule.expression, rule.zone)
        return iter((moment,) if first <= moment <= last else ())
    return _cron_slots(cron.parse(rule.expression, rule.seed), find_zone(rule.zone), first, last)


def next_slot(rule: Rule, after: int) -> int | None:
    """Return the first instant that is due after another one, None when there is no more."""
    return next(slots(rule, after, LAST_MS), None)


def fire_at(rule: Rule, due_at: int) -> int:
    """Return when the run of a slot starts: its nominal instant, moved later by the schedule's own stable jitter."""
    if not rule.jitter_ms:
        return due_at
    digest = sha256(f"jitter\0{rule.seed}".encode("utf-8", "surrogatepass"))
    return due_at + int(digest[:16], 16) % rule.jitter_ms


def is_reboot(rule: Rule) -> bool:
    """Tell whether the rule is `@reboot`, which no clock makes due."""
    return rule.kind == "cron" and rule.expression.strip().lower() == cron.REBOOT


def is_timed(rule: Rule) -> bool:
    """Tell whether a clock makes the rule due: neither the start of the machine nor files that change."""
    return rule.kind != "change" and not is_reboot(rule)


def patterns(expression: str) -> list[str]:
    """Return the patterns of files that a `change` is about."""
    return expression.split("\n")


def describe(rule: Rule) -> str:
    """Return the rule in a few words for a person."""
    if rule.kind == "every":
        return f"every {rule.expression}"
    if rule.kind == "once":
        return f"once at {rule.expression}"
    if rule.kind == "change":
        return f"when {' or '.join(patterns(rule.expression))} changes"
    return rule.expression if is_reboot(rule) else f"{rule.expression} {rule.zone}".rstrip()


def _cron_slots(expression: cron.Cron, zone: tzinfo, first: int, last: int) -> Iterator[int]:
    """Yield the instants of an expression in a zone from first to last.

    It looks a day back, because the first instants may lie in an hour that was repeated.
    """
    done, previous = first - 1, None
    for begin, end, offset in spans(zone, (first - DAY_MS) // 1000 * 1000, last + 1):
        start = begin + offset
        if previous is not None and previous != offset and not expression.real_time:
            if begin > done and _any(expression, begin + previous, start):
                done = begin
                yield begin
            start = max(start, begin + previous)
        previous = offset
        for local in expression.local_times(max(start, done + 1 + offset), end + offset):
            done = local - offset
            yield done


def _any(expression: cron.Cron, first: int, stop: int) -> bool:
    """Tell whether a local time lies in a gap; where clocks go back, none does."""
    return next(expression.local_times(first, stop), None) is not None


def _check_bounds(rule: Rule) -> None:
    for name, instant in (("start_at", rule.start_at), ("end_at", rule.end_at)):
        if instant is not None and not 0 <= instant <= LAST_MS:
            raise UsageError(f"{name} of the schedule is not between the years 1970 and 9999")
    if rule.start_at is not None and rule.end_at is not None and rule.start_at > rule.end_at:
        raise UsageError("the schedule ends before it starts", "give an end that is later than the start")
    if not 0 <= rule.jitter_ms <= LONGEST_JITTER_MS:
        raise UsageError("the jitter of a schedule is at least 0 and at most a day", "give a jitter such as 5m")


def _patterns(text: str) -> str:
    """Return the patterns of a `change` without those that say the same."""
    found = list(dict.fromkeys(pattern for pattern in patterns(text) if pattern))
    for pattern in found:
        if not pattern.startswith("/") or not pattern.isprintable():
            raise UsageError(f"change: {shown(pattern)} is not the full path of a file or a pattern of such")
    return "\n".join(found)


def _period(text: str) -> int:
    try:
        period = to_ms(text)
    except ValueError as error:
        raise UsageError(f"every: {error}") from None
    if not SHORTEST_PERIOD_MS <= period <= LONGEST_PERIOD_MS:
        raise UsageError(f"every {shown(text)} is not between a second and ten years", "give a period such as 10m")
    return period


def _moment(text: str, zone: str) -> int:
    """Return the instant of a `once`."""
    try:
        moment = int(text) if text.isascii() and text.isdecimal() else datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"once: {shown(text)} is not a time", "give a time such as 2026-01-31T09:30") from None
    try:
        instant = moment if isinstance(moment, int) else _instant(moment, find_zone(zone))
    except (ValueError, OverflowError):  # at either end of Python's calendar
        instant = -1
    if not 0 <= instant <= LAST_MS:
        raise UsageError(f"once: {shown(text)} is not between the years 1970 and 9999")
    return instant


def _instant(moment: datetime, zone: tzinfo) -> int:
    return to_instant(zone, moment) if moment.tzinfo is None else milliseconds(moment)


def _iso(instant: int) -> str:
    """Return an instant as ISO-8601 text in UTC, with milliseconds where it has some."""
    seconds, rest = divmod(instant, 1000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest:03d}Z" if rest else f"{text}Z"
