"""`flowctl cancel`, `pause` and `drop`: what changes runs at once, or asks the engine that holds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from flowctl.cli.completing import complete_run
from flowctl.cli.group import Command
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.cli.selecting import Chosen, Filters, filter_options, selected_runs
from flowctl.cli.words import Reasons, labelled
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import FlowctlError, UsageError
from flowctl.core.text import plural

if TYPE_CHECKING:
    from flowctl.core.model import Run
    from flowctl.store import Store

RUNS = click.argument(
    "runs", metavar="RUN…", nargs=-1, shell_complete=complete_run, help="Numbers, @last, @failed, NAME@last."
)
DRY_RUN = click.option("--dry-run", is_flag=True, help="Only print which runs are meant.")
YES = click.option("--yes", "-y", is_flag=True, help="Do not ask.")


@click.command(
    "cancel", cls=Command, examples=["flowctl cancel 42", "flowctl cancel --workflow digest --state queued --yes"]
)
@RUNS
@filter_options
@YES
@pass_invocation
def cancel(invocation: Invocation, /, runs: tuple[str, ...], yes: bool, **given: Any) -> int:
    """Cancel runs and their children, at once or by the engine that works on them.

    A finished run stays as it is. A cancelled run can be retried.
    """
    from flowctl.engine import commands

    with invocation.writing() as store:
        chosen = selected_runs(invocation, store, runs, Filters(**given))
        if not runs:
            confirm(f"cancel {plural(len(chosen.runs), 'run')}", yes)
        return change_runs(
            invocation, store, chosen, lambda store, run: commands.cancel(store, run.id, SYSTEM_CLOCK.now())
        )


@click.command("pause", cls=Command, examples=["flowctl pause @last", "flowctl pause --workflow digest"])
@RUNS
@filter_options
@pass_invocation
def pause(invocation: Invocation, /, runs: tuple[str, ...], **given: Any) -> int:
    """Pause runs: steps that run are finished, and nothing new begins until flowctl resume."""
    from flowctl.engine import commands

    with invocation.writing() as store:
        chosen = selected_runs(invocation, store, runs, Filters(**given))
        return change_runs(
            invocation, store, chosen, lambda store, run: commands.pause(store, run.id, SYSTEM_CLOCK.now())
        )


@click.command("drop", cls=Command, examples=["flowctl drop 42", "flowctl drop --dead --workflow digest --dry-run"])
@RUNS
@filter_options
@DRY_RUN
@YES
@pass_invocation
def drop(invocation: Invocation, /, runs: tuple[str, ...], dry_run: bool, yes: bool, **given: Any) -> int:
    """Mark failed runs as dealt with: flowctl ls --dead has them no more. They stay recorded, and can be retried."""
    from flowctl.engine import commands

    if dry_run:
        return would_change(invocation, runs, Filters(**given))
    with invocation.writing() as store:
        chosen = selected_runs(invocation, store, runs, Filters(**given))
        if not runs:
            confirm(f"drop {len(chosen.runs)} failed runs", yes)
        return change_runs(
            invocation, store, chosen, lambda store, run: commands.drop(store, run.id, SYSTEM_CLOCK.now())
        )


def would_change(invocation: Invocation, references: tuple[str, ...], filters: Filters) -> int:
    """Print the runs that a command means, and change nothing."""
    with invocation.reading() as store:
        chosen = selected_runs(invocation, store, references, filters)
        show_changed(invocation, store, chosen.runs, alone=chosen.alone)
    count = len(chosen.runs)
    invocation.terminal.say(f"nothing was changed: {plural(count, 'run')} {'is' if count == 1 else 'are'} meant")
    return 0


def change_runs(invocation: Invocation, store: Store, chosen: Chosen, change: Callable[[Store, Run], Run]) -> int:
    """Change runs one by one and print how they stand. One that cannot be changed does not stop the others."""
    changed, code = apply_each(invocation, store, chosen, change)
    show_changed(invocation, store, changed, alone=chosen.alone)
    return code


def apply_each(
    invocation: Invocation, store: Store, chosen: Chosen, change: Callable[[Store, Run], Run]
) -> tuple[list[Run], int]:
    """Change runs one by one; return those that were changed, and the exit code of the first that was not."""
    changed: list[Run] = []
    code = 0
    for run in chosen.runs:
        try:
            changed.append(change(store, run))
        except FlowctlError as error:
            if chosen.alone:
                raise
            invocation.terminal.warn(f"flowctl: {error.message}")
            code = code or error.exit_code
    return changed, code


def show_changed(invocation: Invocation, store: Store, runs: list[Run], *, alone: bool) -> None:
    """Print how runs stand now: one object with --json when one was named, else an array."""
    reasons = Reasons(store)
    if invocation.json:
        from flowctl.cli.json_shapes import dumps, run_shape

        shapes = [run_shape(run, reasons.of(run)) for run in runs]
        invocation.terminal.data_json(dumps(shapes[0] if alone else shapes))
        return
    for run in runs:
        reason = reasons.of(run)
        invocation.terminal.data(
            f"run {run.id}  {run.workflow}  {labelled(run.state)}{f': {reason}' if reason else ''}"
        )


def confirm(what: str, yes: bool) -> None:
    """Ask on a terminal whether to go on; without one, --yes is needed. Raises UsageError, Abort."""
    if yes:
        return
    import sys

    from flowctl.cli.terminal import is_terminal

    if not is_terminal(sys.stdin):
        raise UsageError(f"nobody can be asked whether to {what}", "say so with --yes")
    click.confirm(f"{what}?", abort=True, err=True)
