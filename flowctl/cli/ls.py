"""`flowctl ls`: the runs, the newest first."""

from __future__ import annotations

from typing import Any

import click

from flowctl.cli.group import Command
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.cli.selecting import Filters, filter_options
from flowctl.core.errors import UsageError
from flowctl.core.model import Run


@click.command(
    "ls",
    cls=Command,
    examples=["flowctl ls", "flowctl ls --state failed --since 2h", "flowctl ls --workflow digest --json"],
)
@filter_options
@click.option("--search", metavar="TEXT", help="Only with this text in workflow, input, output or error.")
@click.option("--dead", is_flag=True, help="Only failed runs.")
@click.option(
    "--limit", type=click.IntRange(min=1, max=1_000_000), default=50, show_default=True, help="At most so many."
)
@pass_invocation
def ls(invocation: Invocation, /, search: str | None, dead: bool, limit: int, **given: Any) -> int:
    """List runs, the newest first."""
    if search is not None and any("\ud800" <= char <= "\udfff" for char in search):
        raise UsageError("--search is not valid text")
    run_filter = Filters(**given).resolve(invocation.namespace, search=search, dead=dead, limit=limit)
    runs: list[Run] = []
    reasons: dict[int, str | None] = {}
    if invocation.has_database():
        from flowctl.cli.words import Reasons

        with invocation.reading() as store, store.reading():
            runs = store.runs.find(run_filter)
            known = Reasons(store)
            reasons = {run.id: known.of(run) for run in runs}
    if invocation.json:
        from flowctl.cli.json_shapes import dumps, run_shape

        invocation.terminal.data_json(dumps([run_shape(run, reasons[run.id]) for run in runs]))
    elif runs:
        from flowctl.cli.render import show_runs

        show_runs(invocation.terminal, runs, reasons)
        if len(runs) == limit:
            invocation.terminal.say(f"the newest {limit}; more with --limit")
    else:
        invocation.terminal.say("no runs" if Filters(**given) or search or dead else "no runs yet: flowctl run FILE.py")
    return 0
