"""`flowctl crontab`: schedules from a crontab, and back."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, NamedTuple

import click

from flowctl.cli.arguments import read_bytes, read_stdin_bytes
from flowctl.cli.control import YES, confirm
from flowctl.cli.group import Command, Group
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import UsageError
from flowctl.core.text import plural

if TYPE_CHECKING:
    from flowctl.core.crontab import CrontabLine
    from flowctl.engine.crontab import Exported, Row, Scope

_MODULE = "flowctl.cli.crontab"
_MEMBERS = {
    "import": (f"{_MODULE}:import_", "Make schedules of the lines of a crontab"),
    "export": (f"{_MODULE}:export", "Print schedules as a crontab"),
}


@click.command(
    "crontab",
    cls=Group,
    members=_MEMBERS,
    examples=["flowctl crontab import", "flowctl crontab import --apply", "flowctl crontab export"],
)
def crontab() -> None:
    """Move from cron to flowctl, and back."""


class _Source(NamedTuple):
    """A crontab that was read. `system` says that its lines name a user."""

    text: str
    system: bool


@click.command(
    "import",
    cls=Command,
    examples=[
        "flowctl crontab import",
        "flowctl crontab import --apply",
        "flowctl crontab import --apply --take-over",
        "flowctl crontab import /etc/cron.d/backup --apply",
    ],
)
@click.argument("file", metavar="[FILE|-]", required=False, help="A file, or - for stdin.  [default: crontab -l]")
@click.option("--user-format", "layout", flag_value="user", help="Its lines name no user.  [default, but not in /etc]")
@click.option(
    "--system-format", "layout", flag_value="system", help="Its lines name a user after the time, as in /etc."
)
@click.option("--dry-run/--apply", default=True, help="Only say what would be made, or make it.  [default: --dry-run]")
@click.option(
    "--take-over", is_flag=True, help="Comment the lines out in your crontab, so that only flowctl runs them."
)
@YES
@pass_invocation
def import_(
    invocation: Invocation, /, file: str | None, layout: str | None, dry_run: bool, take_over: bool, yes: bool
) -> int:
    """Make a schedule of each line of a crontab, and say of every line what becomes of it.

    A schedule is held, which is a pause, while cron itself has its line: give --take-over, or comment the line out
    and import again. A line that is known changes nothing, and one that was changed changes its schedule.
    """
    from flowctl.engine import cron
    from flowctl.engine.crontab import TAKE_OVER

    if take_over and (dry_run or file is not None):
        raise UsageError("--take-over is for your own crontab, with --apply", TAKE_OVER)
    source = _read(file, layout)
    from flowctl.core.crontab import read_crontab

    lines = read_crontab(source.text, system=source.system, owner=cron.user_name() if source.system else None)
    wanted = sum(line.entry is not None for line in lines)
    if take_over and wanted:
        confirm(f"comment out {plural(wanted, 'line')} of your crontab", yes)
    if dry_run:
        rows = _planned(invocation, lines)
    else:
        rows = _carried_out(invocation, lines)
        if take_over and wanted:
            _take_over(invocation, source.text, rows)
    _print(invocation, rows)
    words = ["flowctl", "crontab", "import", *([] if file is None else [file])]
    _say_what_is_next(invocation, rows, shlex.join(words), dry_run=dry_run, took_over=take_over)
    return 0


def _read(file: str | None, layout: str | None) -> _Source:
    from flowctl.core.crontab import decode
    from flowctl.engine import cron

    if file is None:
        if layout == "system":
            raise UsageError("your own crontab has no column for the user", "name a file: flowctl crontab import FILE")
        return _Source(cron.own_crontab(), system=False)
    text = decode(read_stdin_bytes("FILE") if file == "-" else read_bytes(file, "FILE"))
    system = layout == "system" or (layout is None and file != "-" and cron.is_system_table(file))
    return _Source(text, system)


def _scope(invocation: Invocation) -> Scope:
    from flowctl.engine import cron
    from flowctl.engine.crontab import Scope, what

    entries, known = cron.active_entries()
    if not known:
        invocation.terminal.warn("flowctl: not all that cron runs can be read: what is not seen there is not held")
    return Scope(invocation.namespace, os.path.expanduser("~"), frozenset(map(what, entries)), known)


def _planned(invocation: Invocation, lines: list[CrontabLine]) -> list[Row]:
    from flowctl.engine.crontab import plan

    scope = _scope(invocation)
    if not invocation.has_database():
        return plan(None, lines, scope)
    with invocation.reading() as store, store.reading():
        return plan(store, lines, scope)


def _carried_out(invocation: Invocation, lines: list[CrontabLine]) -> list[Row]:
    from flowctl.engine.crontab import carry_out

    scope = _scope(invocation)
    with invocation.writing(create=True) as store:
        return carry_out(store, lines, scope, SYSTEM_CLOCK.now())


def _take_over(invocation: Invocation, text: str, rows: list[Row]) -> None:
    """Comment the lines of schedules out, then let these go on: whoever dies in between leaves no line to two."""
    from flowctl.engine.cron import comment_out
    from flowctl.engine.crontab import release

    taken = {row.line.line: f"flowctl runs this, as {row.wish.schedule.name}:" for row in rows if row.wish is not None}
    comment_out(text, taken)
    with invocation.writing() as store:
        release(store, _scope(invocation), SYSTEM_CLOCK.now())


def _print(invocation: Invocation, rows: list[Row]) -> None:
    if invocation.json:
        from flowctl.cli.json_shapes import dumps
        from flowctl.cli.schedule_shapes import crontab_shape

        shapes = [
            crontab_shape(
                row.line.line,
                row.line.text,
                row.outcome,
                row.reason,
                None if row.wish is None else row.wish.schedule.name,
            )
            for row in rows
        ]
        invocation.terminal.data_json(dumps(shapes))
    else:
        from flowctl.cli.render_crontab import show_rows

        show_rows(invocation.terminal, rows)


def _say_what_is_next(invocation: Invocation, rows: list[Row], command: str, *, dry_run: bool, took_over: bool) -> None:
    """Tell in a few lines what was made, or would be, and the command that comes next."""
    from flowctl.cli.render_crontab import counted, made
    from flowctl.engine.crontab import TAKE_OVER

    say = invocation.terminal.say
    say(counted(rows))
    wishes = [row.wish for row in rows if row.wish is not None]
    if not wishes:
        return
    say(made(wishes, dry_run=dry_run))
    held = 0 if took_over else sum(wish.held and not wish.goes_on for wish in wishes)
    if held:
        say(f"cron runs {plural(held, 'line')} of these itself: their schedules are held until it does not")
        say(f"  to hand all of yours over: {TAKE_OVER}")
    if dry_run and any(wish.action != "same" for wish in wishes):
        say(f"nothing was changed; to make the schedules: {command} --apply")
    elif not dry_run and held < len(wishes):
        say("the daemon runs them: flowctl daemon start; and when: flowctl next")


@click.command(
    "export",
    cls=Command,
    examples=["flowctl crontab export", "flowctl crontab export --json"],
)
@pass_invocation
def export(invocation: Invocation, /) -> int:
    """Print the schedules that cron can run as a crontab, and say of the others why they are not in it.

    A schedule that is paused is left out, unless it is held for cron anyway.
    """
    from flowctl.engine.crontab import export as write

    text = ""
    rows: list[Exported] = []
    if invocation.has_database():
        with invocation.reading() as store, store.reading():
            text, rows = write(store, invocation.namespace, os.path.expanduser("~"))
    if invocation.json:
        from flowctl.cli.json_shapes import dumps
        from flowctl.cli.schedule_shapes import crontab_shape

        shapes = [crontab_shape(row.line, row.text, row.outcome, row.reason, row.schedule) for row in rows]
        invocation.terminal.data_json(dumps(shapes))
        return 0
    if text:
        invocation.terminal.data(text.removesuffix("\n"))
    for row in rows:
        if row.reason:
            invocation.terminal.say(
                f"{row.schedule} {'is left out' if row.line is None else 'is written'}: {row.reason}"
            )
    if not rows:
        invocation.terminal.say("no schedules yet: flowctl schedules add NAME --cron EXPR -- COMMAND…")
    return 0
