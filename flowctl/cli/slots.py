"""`flowctl next` and `flowctl slots`: what is due, and what became of what was."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from itertools import islice
from typing import NamedTuple

import click

from flowctl.cli.completing import complete_schedule
from flowctl.cli.group import Command
from flowctl.cli.instants import parse_instant, parse_since
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import UsageError
from flowctl.core.model import Schedule

_LAST_MS = 2**53


class Coming(NamedTuple):
    """A slot that is to come."""

    due_at: int
    schedule: str | None
    zone: str


@click.command(
    "next",
    cls=Command,
    examples=[
        "flowctl next",
        "flowctl next nightly -n 5",
        "flowctl next --cron '*/15 9-17 * * mon-fri' --tz Europe/Berlin",
    ],
)
@click.argument(
    "name", metavar="[SCHEDULE]", required=False, shell_complete=complete_schedule, help="Only of this schedule."
)
@click.option("--cron", metavar="EXPR", help="Of this expression, without a schedule.")
@click.option("--tz", "zone", metavar="ZONE", help="Time zone of --cron.  [default: this machine's]")
@click.option("--from", "from_text", metavar="TIME", help="From this time on.  [default: now]")
@click.option("-n", "count", type=click.IntRange(1, 100_000), default=10, show_default=True, help="At most so many.")
@pass_invocation
def next_(
    invocation: Invocation, /, name: str | None, cron: str | None, zone: str | None, from_text: str | None, count: int
) -> int:
    """Print what is due next: of all schedules, of one, or of a cron expression that is only tried."""
    now = SYSTEM_CLOCK.now()
    if cron is not None and name is not None:
        raise UsageError("a schedule and --cron exclude each other")
    if zone is not None and cron is None:
        raise UsageError("--tz is for --cron", "flowctl schedules update changes the zone of a schedule")
    known = [] if cron is not None else _known(invocation, name)
    here = known[0].zone if name is not None else zone or ""
    after = now if from_text is None else parse_instant(from_text, "--from", now, here) - 1
    found = _of_expression(cron, here, after) if cron is not None else _of_schedules(invocation, known, after)
    _print_coming(invocation, list(islice(found, count)), [each for each in known if each.kind == "change"])
    return 0


def _of_expression(cron: str, zone: str, after: int) -> Iterator[Coming]:
    from flowctl.core.recurrence import Rule, check, slots

    rule = check(Rule("cron", cron, zone))
    return (Coming(slot, None, zone) for slot in slots(rule, after, _LAST_MS))


def _known(invocation: Invocation, name: str | None) -> list[Schedule]:
    """Return a schedule, or all that are not paused."""
    known: list[Schedule] = []
    if name is not None or invocation.has_database():
        with invocation.reading() as store:
            schedules = store.schedules
            known = schedules.all(invocation.namespace) if name is None else [schedules.get(invocation.namespace, name)]
    if name is not None and known[0].paused_at is not None:
        invocation.terminal.say(f"{name} is paused ({known[0].pause_reason}): none of these runs before it is resumed")
    elif name is None:
        known = [schedule for schedule in known if schedule.paused_at is None]
    return known


def _of_schedules(invocation: Invocation, known: list[Schedule], after: int) -> Iterator[Coming]:
    return merge(*(_of_schedule(invocation, schedule, after) for schedule in known))


def _of_schedule(invocation: Invocation, schedule: Schedule, after: int) -> Iterator[Coming]:
    from flowctl.core.planning import rule_of
    from flowctl.core.recurrence import slots

    try:
        for slot in slots(rule_of(schedule), after, _LAST_MS):
            yield Coming(slot, schedule.name, schedule.zone)
    except UsageError as error:  # a zone that this machine does not know any more
        invocation.terminal.warn(f"flowctl: {schedule.name}: {error.message}")


def _print_coming(invocation: Invocation, coming: list[Coming], changes: list[Schedule]) -> None:
    """Print slots that are to come, and to a person also what no clock makes due."""
    from flowctl.cli.render_schedules import local_text, show_due
    from flowctl.core.planning import rule_of
    from flowctl.core.recurrence import describe
    from flowctl.core.zones import in_zone

    if invocation.json:
        from flowctl.cli.json_shapes import dumps
        from flowctl.cli.schedule_shapes import due_shape

        shapes = [due_shape(each.schedule, each.due_at, in_zone(each.due_at, each.zone).isoformat()) for each in coming]
        invocation.terminal.data_json(dumps(shapes))
    elif coming or changes:
        rows = [(local_text(each.due_at, each.zone), each.schedule or "") for each in coming]
        show_due(invocation.terminal, [*rows, *((describe(rule_of(each)), each.name) for each in changes)])
    else:
        invocation.terminal.say("nothing is due")


@click.command("slots", cls=Command, examples=["flowctl slots nightly", "flowctl slots nightly --since 7d --json"])
@click.argument("name", metavar="SCHEDULE", shell_complete=complete_schedule, help="A schedule.")
@click.option("--since", metavar="TIME", help="Only due since: 2h, 09:30, 2026-01-31.")
@click.option(
    "--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="At most so many, the newest."
)
@pass_invocation
def slots_(invocation: Invocation, /, name: str, since: str | None, limit: int) -> int:
    """Print what became of each slot of a schedule, the newest first: fired, coalesced, skipped or missed, and why."""
    with invocation.reading() as store, store.reading():
        schedule = store.schedules.get(invocation.namespace, name)
        from_at = 0 if since is None else parse_since(since, SYSTEM_CLOCK.now(), schedule.zone)
        found = store.schedules.slots(schedule.id, limit=limit, since=from_at)
    if invocation.json:
        from flowctl.cli.json_shapes import dumps
        from flowctl.cli.schedule_shapes import slot_shape

        invocation.terminal.data_json(dumps([slot_shape(slot) for slot in found]))
    elif found:
        from flowctl.cli.render_schedules import show_slots

        show_slots(invocation.terminal, schedule, found)
        if len(found) == limit:
            invocation.terminal.say(f"the newest {limit}; more with --limit")
    else:
        invocation.terminal.say("no slot was due yet: flowctl next")
    return 0
