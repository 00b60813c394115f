"""`flowctl grep`: where a text stands in everything that was recorded."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, NoReturn

import click

from flowctl.cli.completing import complete_run
from flowctl.cli.group import Command
from flowctl.cli.instants import iso, parse_duration, parse_since, short
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.cli.references import find_run
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import Busy, DiskTrouble, NotPermitted, TimedOut, UsageError
from flowctl.core.model import RUN_STATES

if TYPE_CHECKING:
    from flowctl.core.needle import Needle
    from flowctl.engine.searching import Hit

NAMED_FORKS = 3  # of those that share a step


@click.command(
    "grep",
    cls=Command,
    examples=[
        "flowctl grep ann@example.org",
        'flowctl grep "connection refused" --workflow digest --since 7d',
        "flowctl grep --regex 'order-\\d{6}' --json",
    ],
)
@click.argument("text", metavar="TEXT", help="What to look for.")
@click.option("--regex", is_flag=True, help="TEXT is a regular expression of Python's.")
@click.option("--run", metavar="RUN", shell_complete=complete_run, help="Only in this run.")
@click.option("--workflow", metavar="NAME", help="Only in runs of this workflow.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(RUN_STATES),
    help="Only in runs in this state; may be repeated.",
)
@click.option("--since", metavar="TIME", help="Only in runs created since: 2h, 09:30, 2026-01-31.")
@click.option(
    "--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="At most so many, the newest."
)
@click.option("--timeout", metavar="DURATION", default="30s", show_default=True, help="Give up after so long.")
@pass_invocation
def grep(invocation: Invocation, /, text: str, regex: bool, limit: int, timeout: str, **given: Any) -> int:
    """Find a text in every input, output, error and log: which run, which step, and the path to it.

    It is found in upper and lower case, wherever a word begins with it; --regex finds it anywhere, but reads every row.
    A step that forks share is found once: RUN names the run that recorded it, then the forks. --run finds it for each.
    """
    needle = _needle(text, regex)
    milliseconds = parse_duration(timeout, "--timeout")
    found: list[Hit] = []
    if invocation.has_database():
        with _within(milliseconds):
            found = _hits(invocation, needle, limit, given)
    if invocation.json:
        from flowctl.cli.json_shapes import dumps

        invocation.terminal.data_json(dumps([hit._asdict() | {"at": iso(hit.at)} for hit in found]))
    elif found:
        _show(invocation, found)
        if len(found) == limit:
            invocation.terminal.say(f"the newest {limit}; more with --limit")
    else:
        invocation.terminal.say("nothing found")
    return 0


@contextmanager
def _within(milliseconds: int) -> Iterator[None]:
    """Raise TimedOut when what is done in here takes longer.

    Only a signal ends a regular expression: on some texts one would go on for years.
    """

    def give_up(*_: object) -> NoReturn:
        raise TimedOut(f"the search was not over within {short(milliseconds)}", "give it more: --timeout")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, max(milliseconds, 1) / 1000)  # 0 would be for ever
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _needle(text: str, regex: bool) -> Needle:
    from flowctl.core.needle import regex_needle, text_needle

    if any("\ud800" <= char <= "\udfff" for char in text):
        raise UsageError("what is looked for is not valid text")
    return regex_needle(text) if regex else text_needle(text)


def _hits(invocation: Invocation, needle: Needle, limit: int, given: dict[str, Any]) -> list[Hit]:
    from flowctl.core.config import load_config
    from flowctl.engine.searching import hits
    from flowctl.store.search import Wanted

    since = None if given["since"] is None else parse_since(given["since"], SYSTEM_CLOCK.now())
    indexed = load_config(os.environ).search
    if indexed and needle.text is not None:
        _catch_up(invocation)
    with invocation.reading() as store:
        run = None if given["run"] is None else find_run(store, given["run"], invocation.namespace).id
        wanted = Wanted(invocation.namespace, run, given["workflow"], given["states"], since)
        return list(islice(hits(store, needle, wanted, indexed=indexed), limit))


def _catch_up(invocation: Invocation) -> None:
    """Bring the index nearer to the end. Where that cannot be, the search only takes longer."""
    from flowctl.engine.indexing import catch_up

    with invocation.reading() as store:
        stale = store.search.stale()
    if stale:
        with suppress(Busy, DiskTrouble, NotPermitted), invocation.writing() as store:
            catch_up(store)


def _show(invocation: Invocation, found: list[Hit]) -> None:
    from flowctl.cli.tables import Column, show_table

    columns = [Column("RUN", right=True), Column("WORKFLOW"), Column("STEP"), Column("IN"), Column("TEXT", whole=False)]
    rows = [(_runs(hit), hit.workflow, hit.step or "", _where(hit), hit.excerpt) for hit in found]
    show_table(invocation.terminal, columns, rows)


def _runs(hit: Hit) -> str:
    named = [str(run) for run in (hit.run, *hit.forks[:NAMED_FORKS])]
    return ", ".join([*named, "…"] if len(hit.forks) > NAMED_FORKS else named)


def _where(hit: Hit) -> str:
    part = hit.part if hit.attempt is None or hit.path is None else f"{hit.part} of attempt {hit.attempt}"
    return part if hit.path is None else f"{part} {hit.path}"
