"""`flowctl schedules`: rules that create runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from flowctl.cli.completing import complete_schedule
from flowctl.cli.control import confirm
from flowctl.cli.group import Command, Group
from flowctl.cli.instants import parse_instant
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.cli.schedule_options import (
    ScheduleCommand,
    ScheduleOptions,
    changed_schedule,
    new_schedule,
    schedule_options,
)
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.model import Schedule, Slot
from flowctl.core.text import plural

if TYPE_CHECKING:
    from flowctl.store import Store

_MODULE = "flowctl.cli.schedules"
_MEMBERS = {
    "add": (f"{_MODULE}:add", "Make a schedule of a workflow or a command"),
    "list": (f"{_MODULE}:list_", "List the schedules"),
    "show": (f"{_MODULE}:show", "Show a schedule"),
    "update": (f"{_MODULE}:update", "Change a schedule; its slots stay"),
    "pause": (f"{_MODULE}:pause", "Pause schedules: their slots are skipped"),
    "resume": (f"{_MODULE}:resume", "Let paused schedules go on"),
    "trigger": (f"{_MODULE}:trigger", "Make a run now, outside the rhythm"),
    "backfill": (f"{_MODULE}:backfill", "Make runs for slots of the past that have none"),
    "remove": (f"{_MODULE}:remove", "Delete schedules and their slots; their runs stay"),
}
_SCHEDULE = click.argument("name", metavar="SCHEDULE", shell_complete=complete_schedule, help="A schedule.")
_SCHEDULES = click.argument(
    "names", metavar="SCHEDULE…", nargs=-1, required=True, shell_complete=complete_schedule, help="Schedules."
)
_WORDS = click.argument(
    "words", metavar="[NAME=VALUE… | -- COMMAND…]", nargs=-1, help="Parameters of the workflow, or a command."
)


@click.command(
    "schedules",
    cls=Group,
    members=_MEMBERS,
    examples=[
        "flowctl schedules add nightly --cron '30 2 * * *' -- ./backup.sh",
        "flowctl schedules list",
        "flowctl next",
    ],
)
def schedules() -> None:
    """Make, list and change schedules: rules that create runs, while flowctl daemon runs."""


@click.command(
    "add",
    cls=ScheduleCommand,
    examples=[
        "flowctl schedules add nightly --cron '30 2 * * *' --tz Europe/Berlin -- tar -czf notes.tgz notes/",
        "flowctl schedules add digest --workflow digest --every 2h --catch-up skip top:=3",
        "flowctl schedules add inbox --on-change 'inbox/*.csv' --overlap queue -- ./import.sh",
        "flowctl schedules add reminder --once 2030-01-31T09:30 --shell -- 'date >> ~/reminders'",
    ],
)
@click.argument("name", metavar="NAME", help="Name of the schedule.")
@_WORDS
@schedule_options
@pass_invocation
def add(invocation: Invocation, /, name: str, words: tuple[str, ...], **given: Any) -> int:
    """Make a schedule of a registered workflow, or of a command after --.

    The input is checked now. A command runs in this folder, with the PATH and the --env variables of now.
    """
    from flowctl.engine import schedules as verbs

    wanted = new_schedule(invocation, name, words, ScheduleOptions(**given))
    with invocation.writing(create=True) as store:
        made = verbs.add(store, wanted.schedule, SYSTEM_CLOCK.now(), wanted.environment)
    _warn_of_nothing(invocation, made)
    _print_one(invocation, made)
    return 0


def _warn_of_nothing(invocation: Invocation, schedule: Schedule) -> None:
    """Tell when a schedule waits for files of which there is none."""
    from flowctl.core.recurrence import patterns
    from flowctl.engine.changes import files_of

    for pattern in patterns(schedule.expression) if schedule.kind == "change" else ():
        if not files_of(pattern):
            invocation.terminal.warn(f"flowctl: {schedule.name}: nothing matches {pattern} yet")


@click.command("list", cls=Command, examples=["flowctl schedules list", "flowctl schedules list --json"])
@pass_invocation
def list_(invocation: Invocation, /) -> int:
    """List the schedules, when each is due next, and what became of its last slot."""
    found: list[Schedule] = []
    last: dict[int, Slot] = {}
    if invocation.has_database():
        with invocation.reading() as store, store.reading():
            found = store.schedules.all(invocation.namespace)
            last = {each.id: slot for each in found for slot in store.schedules.slots(each.id, limit=1)}
    if invocation.json:
        from flowctl.cli.json_shapes import dumps
        from flowctl.cli.schedule_shapes import schedule_shape

        invocation.terminal.data_json(dumps([schedule_shape(each) for each in found]))
    elif found:
        from flowctl.cli.render_schedules import show_schedules

        show_schedules(invocation.terminal, found, last)
        paused = [each.name for each in found if each.paused_at is not None]
        if paused:
            invocation.terminal.say(f"{len(paused)} paused; why: flowctl why {paused[0]}")
    else:
        invocation.terminal.say("no schedules yet: flowctl schedules add NAME --cron EXPR -- COMMAND…")
    return 0


@click.command(
    "show", cls=Command, examples=["flowctl schedules show nightly", "flowctl schedules show nightly --json"]
)
@_SCHEDULE
@pass_invocation
def show(invocation: Invocation, /, name: str) -> int:
    """Show a schedule: when it is due, what it runs, and its policies."""
    with invocation.reading() as store:
        found = store.schedules.get(invocation.namespace, name)
    if invocation.json:
        _print_one(invocation, found)
    else:
        from flowctl.cli.render_schedules import show_schedule

        show_schedule(invocation.terminal, found)
    return 0


@click.command(
    "update",
    cls=ScheduleCommand,
    examples=[
        "flowctl schedules update nightly --cron '0 3 * * *'",
        "flowctl schedules update nightly --window none --requires none",
    ],
)
@_SCHEDULE
@_WORDS
@schedule_options
@pass_invocation
def update(invocation: Invocation, /, name: str, words: tuple[str, ...], **given: Any) -> int:
    """Change what is given of a schedule. Its slots stay, and another rhythm begins with its next slot.

    Where an option names |none, that word takes away what it has set.
    """
    from flowctl.engine import schedules as verbs

    with invocation.reading() as store:
        old = store.schedules.get(invocation.namespace, name)
    wanted = changed_schedule(invocation, old, words, ScheduleOptions(**given))
    with invocation.writing() as store:
        changed = verbs.update(store, wanted.schedule, SYSTEM_CLOCK.now(), wanted.environment)
    if changed.source == "code":
        invocation.terminal.say(f"{name} comes from code: flowctl workflows add makes it again what that says")
    _warn_of_nothing(invocation, changed)
    _print_one(invocation, changed)
    return 0


@click.command("pause", cls=Command, examples=["flowctl schedules pause nightly --reason 'the disk is being changed'"])
@_SCHEDULES
@click.option("--reason", metavar="TEXT", help="Why: it stands beside each slot that is skipped.")
@pass_invocation
def pause(invocation: Invocation, /, names: tuple[str, ...], reason: str | None) -> int:
    """Pause schedules. Slots that are due meanwhile are skipped, and not made up for."""
    from flowctl.engine import schedules as verbs

    def pause_one(store: Store, name: str) -> Schedule:
        before = store.schedules.get(invocation.namespace, name)
        paused = verbs.pause(store, invocation.namespace, name, SYSTEM_CLOCK.now(), reason)
        if paused == before:
            invocation.terminal.say(f"{name} was paused already, and stays so; --reason gives it another reason")
        return paused

    return _change_each(invocation, names, pause_one)


@click.command("resume", cls=Command, examples=["flowctl schedules resume nightly"])
@_SCHEDULES
@pass_invocation
def resume(invocation: Invocation, /, names: tuple[str, ...]) -> int:
    """Let paused schedules go on with their next slot."""
    from flowctl.engine import schedules as verbs

    def resume_one(store: Store, name: str) -> Schedule:
        resumed = verbs.resume(store, invocation.namespace, name, SYSTEM_CLOCK.now())
        if resumed.source == "crontab":
            _warn_of_cron(invocation, resumed)
        return resumed

    return _change_each(invocation, names, resume_one)


def _warn_of_cron(invocation: Invocation, schedule: Schedule) -> None:
    """Tell when cron runs the line too that a schedule came from."""
    from flowctl.engine.cron import active_entries
    from flowctl.engine.crontab import runs_in_cron, what

    entries, _ = active_entries()
    if runs_in_cron(schedule, frozenset(map(what, entries))):
        invocation.terminal.warn(f"flowctl: {schedule.name}: cron runs it too, its line is still active in the crontab")
        invocation.terminal.warn("  comment it out there: crontab -e")


@click.command("trigger", cls=Command, examples=["flowctl schedules trigger nightly"])
@_SCHEDULE
@pass_invocation
def trigger(invocation: Invocation, /, name: str) -> int:
    """Make a run of a schedule now, outside its rhythm, and print its number.

    It waits for a run of the schedule that is active, unless these may overlap.
    """
    from flowctl.cli.run import print_numbers
    from flowctl.engine import schedules as verbs

    with invocation.writing() as store:
        _take_up_edit(invocation, store, name)
        number = verbs.trigger(store, invocation.namespace, name, SYSTEM_CLOCK.now())
        after = store.runs.get(number).after_id
    if after is not None:
        invocation.terminal.say(f"run {number} begins when run {after} has ended")
    print_numbers(invocation, [number])
    return 0


def _take_up_edit(invocation: Invocation, store: Store, name: str) -> None:
    """Take up an edit that no daemon has taken up yet, and say so when it does not hold."""
    from flowctl.cli.targets import new_supervisor
    from flowctl.engine.reloading import reload
    from flowctl.engine.watching import differs

    schedule = store.schedules.get(invocation.namespace, name)
    workflow = store.workflows.find(schedule.namespace, schedule.workflow) if schedule.workflow is not None else None
    if workflow is None or not os.path.exists(workflow.path) or not differs(store.snapshots.get(workflow.code).files):
        return
    supervisor = new_supervisor()
    try:
        kept = reload(store, supervisor, workflow.namespace, workflow.name)
    finally:
        supervisor.close()
    if kept is not None:
        invocation.terminal.warn(f"flowctl: {workflow.name} keeps its last good version: {kept}")


@click.command(
    "backfill",
    cls=Command,
    examples=[
        "flowctl schedules backfill nightly --from 2026-01-01 --to 2026-01-31 --dry-run",
        "flowctl schedules backfill nightly --from 2026-01-01 --yes",
    ],
)
@_SCHEDULE
@click.option("--from", "from_text", metavar="TIME", required=True, help="First slot: 2026-01-31, 2026-01-31T09:30.")
@click.option("--to", "to_text", metavar="TIME", help="Last slot.  [default: now]")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="At most so many runs.")
@click.option("--dry-run", is_flag=True, help="Only print the slots.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@pass_invocation
def backfill(invocation: Invocation, /, name: str, from_text: str, to_text: str | None, **given: Any) -> int:
    """Make a run for each slot of the past that has none of its own. They run one after the other."""
    from flowctl.cli.render_schedules import print_filled
    from flowctl.engine import schedules as verbs

    now = SYSTEM_CLOCK.now()
    with invocation.reading() as store:
        schedule = store.schedules.get(invocation.namespace, name)
        from_at = parse_instant(from_text, "--from", now, schedule.zone)
        until = now if to_text is None else parse_instant(to_text, "--to", now, schedule.zone)
        due = verbs.unfired(store, schedule, from_at, until, given["limit"])
    why_none = verbs.why_none_unfired(schedule, from_at, until)
    if given["dry_run"] or not due:
        print_filled(invocation, schedule, [(slot, None) for slot in due], why_none)
        return 0
    confirm(f"make {plural(len(due), 'run')} of {name}", given["yes"])
    with invocation.writing() as store:
        filled = verbs.backfill(store, invocation.namespace, name, due, SYSTEM_CLOCK.now())
    print_filled(invocation, schedule, filled, why_none)
    return 0


@click.command("remove", cls=Command, examples=["flowctl schedules remove nightly --yes"])
@_SCHEDULES
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@pass_invocation
def remove(invocation: Invocation, /, names: tuple[str, ...], yes: bool) -> int:
    """Delete schedules with the ledger of their slots. Their runs stay."""
    from flowctl.cli.json_shapes import dumps
    from flowctl.engine import schedules as verbs

    with invocation.writing() as store:
        for name in names:
            store.schedules.get(invocation.namespace, name)
        confirm(f"delete {', '.join(names)} and what became of their slots", yes)
        verbs.remove(store, invocation.namespace, names, SYSTEM_CLOCK.now())
    if invocation.json:
        invocation.terminal.data_json(dumps({"removed": list(dict.fromkeys(names))}))
    else:
        invocation.terminal.say(f"removed {', '.join(names)}")
    return 0


def _change_each(invocation: Invocation, names: tuple[str, ...], change: Callable[[Store, str], Schedule]) -> int:
    with invocation.writing() as store:
        for name in names:
            store.schedules.get(invocation.namespace, name)
        changed = [change(store, name) for name in names]
    if invocation.json and len(changed) > 1:
        from flowctl.cli.json_shapes import dumps
        from flowctl.cli.schedule_shapes import schedule_shape

        invocation.terminal.data_json(dumps([schedule_shape(each) for each in changed]))
        return 0
    for each in changed:
        _print_one(invocation, each)
    return 0


def _print_one(invocation: Invocation, schedule: Schedule) -> None:
    """Print how a schedule stands: one object with --json, else one line."""
    if invocation.json:
        from flowctl.cli.json_shapes import dumps
        from flowctl.cli.schedule_shapes import schedule_shape

        invocation.terminal.data_json(dumps(schedule_shape(schedule)))
    else:
        from flowctl.cli.render_schedules import line_of

        invocation.terminal.data(line_of(schedule))
