"""`flowctl ls`: the runs, the newest first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import click

from flowctl.cli.group import Command
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.cli.selecting import LIMIT, Filters, filter_options
from flowctl.core.errors import UsageError
from flowctl.core.model import Run
from flowctl.core.policy import error_class, error_type


@click.command(
    "ls",
    cls=Command,
    examples=["flowctl ls", "flowctl ls --state failed --since 2h", "flowctl ls --dead --count"],
)
@filter_options
@click.option("--search", metavar="TEXT", help="Only with this text in workflow, input, output or error.")
@click.option("--count", is_flag=True, help="With --dead: only count them, by workflow and kind of failure.")
@click.option(
    "--limit", type=click.IntRange(min=1, max=1_000_000), default=50, show_default=True, help="At most so many."
)
@pass_invocation
def ls(invocation: Invocation, /, search: str | None, count: bool, limit: int, **given: Any) -> int:
    """List runs, the newest first."""
    if search is not None and any("\ud800" <= char <= "\udfff" for char in search):
        raise UsageError("--search is not valid text")
    if count and not given["dead"]:
        raise UsageError("--count counts failures", "flowctl ls --dead --count")
    run_filter = Filters(**given).resolve(invocation.namespace, search=search, limit=LIMIT if count else limit)
    runs: list[Run] = []
    reasons: dict[int, str | None] = {}
    if invocation.has_database():
        from flowctl.cli.words import Reasons

        with invocation.reading() as store, store.reading():
            runs = store.runs.find(run_filter)
            known = Reasons(store)
            reasons = {run.id: known.of(run) for run in runs}
    if count:
        _print_counts(invocation, runs)
    elif invocation.json:
        from flowctl.cli.json_shapes import dumps, run_shape

        invocation.terminal.data_json(dumps([run_shape(run, reasons[run.id]) for run in runs]))
    elif runs:
        from flowctl.cli.render import show_runs

        show_runs(invocation.terminal, runs, reasons)
        if len(runs) == limit:
            invocation.terminal.say(f"the newest {limit}; more with --limit")
    else:
        invocation.terminal.say("no runs" if Filters(**given) or search else "no runs yet: flowctl run FILE.py")
    return 0


def count_failures(failures: Iterable[tuple[str, str, int]]) -> Counter[tuple[str, str, str]]:
    """Return how many runs failed, by workflow, kind of failure and type; given workflow, error and a number."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for workflow, error, number in failures:
        counts[workflow, error_class(error), error_type(error)] += number
    return counts


def _print_counts(invocation: Invocation, runs: list[Run]) -> None:
    counts = count_failures((run.workflow, run.error, 1) for run in runs if run.error)
    if invocation.json:
        from flowctl.cli.json_shapes import dumps

        names = ("workflow", "class", "type", "runs")
        shapes = [dict(zip(names, (*key, number), strict=True)) for key, number in counts.most_common()]
        invocation.terminal.data_json(dumps(shapes))
    elif counts:
        from flowctl.cli.tables import Column, show_table

        columns = [Column("RUNS", right=True), Column("WORKFLOW"), Column("FAILURE"), Column("TYPE")]
        show_table(invocation.terminal, columns, [(f"{number:,}", *key) for key, number in counts.most_common()])
    else:
        invocation.terminal.say("no failures that nobody has dealt with")
