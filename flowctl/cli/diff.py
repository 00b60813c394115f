"""`flowctl diff`: how two runs differ, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from flowctl.cli.completing import complete_run
from flowctl.cli.group import Command
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.cli.references import find_run, find_step
from flowctl.core.errors import NotFound, UsageError

if TYPE_CHECKING:
    from flowctl.core.model import Run
    from flowctl.store import Store


@click.command(
    "diff",
    cls=Command,
    examples=["flowctl diff 41 42", "flowctl diff @failed --last-good", "flowctl diff 41 42 --step parse --json"],
)
@click.argument("run", metavar="RUN", shell_complete=complete_run, help="A number, @last, @failed, or NAME@last.")
@click.argument("other", metavar="RUN", required=False, shell_complete=complete_run, help="What it is compared with.")
@click.option("--last-good", is_flag=True, help="Compare the last run of its workflow that succeeded with it.")
@click.option("--step", metavar="STEP", help="Compare only this step.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when they differ.")
@pass_invocation
def diff(
    invocation: Invocation, /, run: str, other: str | None, last_good: bool, step: str | None, exit_code: bool
) -> int:
    """Show how two runs differ: input, steps by key, output, error, surroundings and code; the first divergence on top.

    Times are shown and are no difference, and neither is what now(), random() and uuid4() gave.
    """
    from flowctl.engine.diffs import diff_runs

    with invocation.reading() as store, store.reading():
        before, after = _runs(invocation, store, run, other, last_good)
        found = diff_runs(store, before, after, None if step is None else _key(store, before, after, step))
    if invocation.json:
        from flowctl.cli.json_shapes import dumps
        from flowctl.cli.render_diff import diff_shape

        invocation.terminal.data_json(dumps(diff_shape(found)))
    else:
        from flowctl.cli.render_diff import show_diff

        show_diff(invocation.terminal, found)
    return 1 if exit_code and found.differ else 0


def _runs(invocation: Invocation, store: Store, run: str, other: str | None, last_good: bool) -> tuple[Run, Run]:
    """Return the two runs, what is taken as the earlier one first."""
    from flowctl.engine import diffs

    if (other is not None) == last_good:
        raise UsageError("two runs are compared", "name two, or one and --last-good")
    found = find_run(store, run, invocation.namespace)
    if other is None:
        return diffs.last_good(store, found), found
    return found, find_run(store, other, invocation.namespace)


def _key(store: Store, before: Run, after: Run, step: str) -> str:
    """Return the key of a step that one of the runs has."""
    try:
        return find_step(store, before, step).key
    except NotFound:
        return find_step(store, after, step).key
