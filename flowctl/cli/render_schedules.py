"""How schedules and slots look to a person."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from flowctl.cli.instants import short
from flowctl.cli.invocation import Invocation
from flowctl.cli.tables import Cell, Column, Row, show_table
from flowctl.cli.terminal import Terminal, can_draw
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.model import Schedule, Slot
from flowctl.core.planning import rule_of
from flowctl.core.recurrence import describe, is_reboot
from flowctl.core.zones import in_zone

_COLUMNS = (
    Column("SCHEDULE"),
    Column("DUE"),
    Column("NEXT"),
    Column("LAST SLOT"),
    Column("RUNS", whole=False),
)
_SLOT_COLUMNS = (Column("DUE"), Column("OUTCOME"), Column("RUN", right=True), Column("REASON", whole=False))
_DUE_COLUMNS = (Column("DUE"), Column("SCHEDULE"))
SLOT_LOOKS = {
    "fired": ("✓", "+", "green"),
    "coalesced": ("◌", "w", "cyan"),
    "skipped": ("⊘", "-", "bright_black"),
    "missed": ("✗", "x", "red"),
}


def local_text(instant: int, zone: str) -> str:
    """Return an instant for a person: weekday, date, time and zone."""
    return in_zone(instant, zone).strftime("%a %Y-%m-%d %H:%M:%S %Z")


def show_schedules(terminal: Terminal, schedules: Sequence[Schedule], last: Mapping[int, Slot]) -> None:
    """Print the table of schedules."""
    show_table(terminal, _COLUMNS, [_row(each, last.get(each.id)) for each in schedules])


def _row(schedule: Schedule, last: Slot | None) -> Row:
    return (
        schedule.name,
        "once" if schedule.kind == "once" else describe(rule_of(schedule)),
        Cell("paused", "yellow") if schedule.paused_at is not None else soon(schedule),
        Cell("") if last is None else _outcome(last),
        what_it_runs(schedule),
    )


def what_it_runs(schedule: Schedule) -> str:
    """Return the workflow of a schedule, or its command."""
    if schedule.workflow is not None:
        return schedule.workflow
    try:
        given = json.loads(schedule.input)
        return str(given["command"]) if "command" in given else " ".join(map(str, given["argv"]))
    except (ValueError, KeyError, TypeError):  # a damaged row is shown, not hidden behind an error
        return schedule.input


def _next(schedule: Schedule) -> str:
    if schedule.paused_at is not None:
        return "paused"
    return "" if schedule.next_at is None else local_text(schedule.next_at, schedule.zone)


def soon(schedule: Schedule) -> str:
    """Return when a schedule is due next, without what is the same for most of them."""
    if schedule.next_at is None:
        return _unclocked(schedule, "at the next boot", "")
    moment = in_zone(schedule.next_at, schedule.zone)
    this_year = in_zone(SYSTEM_CLOCK.now(), schedule.zone).year == moment.year
    return moment.strftime("%a %d %b %H:%M" if this_year else "%a %d %b %Y %H:%M")


def _unclocked(schedule: Schedule, boot: str, otherwise: str) -> str:
    """Return what is said of a schedule that has no next slot: of the start of the machine, or else."""
    if schedule.kind == "change":
        return "at a change"
    return boot if is_reboot(rule_of(schedule)) else otherwise


def _outcome(slot: Slot) -> Cell:
    icon, plain, style = SLOT_LOOKS[slot.outcome]
    import sys

    run = "" if slot.run_id is None else f" run {slot.run_id}"
    return Cell(f"{icon if can_draw(sys.stdout) else plain} {slot.outcome}{run}", style)


def _note(schedule: Schedule) -> str:
    if schedule.paused_at is not None:
        return f"paused ({schedule.pause_reason}) since {local_text(schedule.paused_at, schedule.zone)}"
    return schedule.description


def line_of(schedule: Schedule) -> str:
    """Return one line on how a schedule stands."""
    if schedule.paused_at is not None:
        stands = _note(schedule)
    elif schedule.next_at is None:
        stands = _unclocked(schedule, "at the next start of the machine", "not due any more")
    else:
        stands = f"next {local_text(schedule.next_at, schedule.zone)}"
    return f"{schedule.name}  {describe(rule_of(schedule))}  {stands}"


def show_schedule(terminal: Terminal, schedule: Schedule) -> None:
    """Print one schedule."""
    facts = {
        "schedule": schedule.name,
        "for": schedule.description,
        "due": describe(rule_of(schedule)),
        "next": _next(schedule),
        "paused": _note(schedule) if schedule.paused_at is not None else "",
        "workflow": schedule.workflow or "",
        "input" if schedule.workflow else "command": schedule.input if schedule.workflow else what_it_runs(schedule),
        "not before": "" if schedule.start_at is None else local_text(schedule.start_at, schedule.zone),
        "not after": "" if schedule.end_at is None else local_text(schedule.end_at, schedule.zone),
        "settles": f"when still for {short(schedule.debounce_ms)}" if schedule.kind == "change" else "",
        "jitter": short(schedule.jitter_ms) if schedule.jitter_ms else "",
        "catch-up": catch_up_text(schedule),
        "overlap": schedule.overlap,
        "pauses": f"after {schedule.pause_after} failed runs in a row" if schedule.pause_after else "",
        "options": json.dumps(schedule.options, ensure_ascii=False) if schedule.options else "",
        "folder": schedule.directory,
        "python": schedule.python or "",
        "env file": schedule.env_file or "",
        "made by": {"person": "", "code": "the workflow's code", "crontab": "an import"}[schedule.source],
    }
    for name, value in facts.items():
        if value:
            terminal.data(f"{name:<11} " + value.replace("\n", f"\n{'':<12}"))


def catch_up_text(schedule: Schedule) -> str:
    """Return what becomes of slots that were missed."""
    cap = f", at most {schedule.catch_up_cap}" if schedule.catch_up == "all" else ""
    window = f", none later than {short(schedule.window_ms)}" if schedule.window_ms is not None else ""
    return f"{schedule.catch_up}{cap}{window}"


def show_slots(terminal: Terminal, schedule: Schedule, slots: Sequence[Slot]) -> None:
    """Print the ledger of a schedule."""
    rows = [
        (
            local_text(slot.due_at, schedule.zone),
            _outcome(slot._replace(run_id=None)),
            "" if slot.run_id is None else str(slot.run_id),
            slot.reason or "",
        )
        for slot in slots
    ]
    show_table(terminal, _SLOT_COLUMNS, rows)


def show_due(terminal: Terminal, due: Iterable[tuple[str, str]]) -> None:
    """Print slots that are to come: local time and schedule."""
    show_table(terminal, _DUE_COLUMNS, list(due))


def print_filled(
    invocation: Invocation, schedule: Schedule, filled: Sequence[tuple[int, int | None]], why_none: str
) -> None:
    """Print the slots that a backfill has filled, or would fill, and their runs."""
    if invocation.json:
        from flowctl.cli.instants import iso
        from flowctl.cli.json_shapes import dumps

        invocation.terminal.data_json(dumps([{"due_at": iso(slot), "run": run} for slot, run in filled]))
    elif filled:
        rows = [(local_text(slot, schedule.zone), "" if run is None else str(run)) for slot, run in filled]
        show_table(invocation.terminal, (Column("DUE"), Column("RUN", right=True)), rows)
    else:
        invocation.terminal.say(why_none)
