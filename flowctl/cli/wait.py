"""`flowctl wait`: until runs have ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from flowctl.cli.completing import complete_run
from flowctl.cli.group import Command
from flowctl.cli.instants import parse_duration
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.cli.references import find_runs
from flowctl.cli.words import TIMED_OUT, Reasons, exit_code, labelled
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.model import FINAL_STATES

if TYPE_CHECKING:
    from flowctl.core.model import Run
    from flowctl.store import Store

POLL_S = 0.1
_SETTLED = FINAL_STATES | {"paused", "blocked"}


@click.command(
    "wait", cls=Command, examples=["flowctl wait @last", "flowctl wait 41 42 --timeout 10m", "flowctl wait 42 --json"]
)
@click.argument(
    "runs",
    metavar="RUN…",
    nargs=-1,
    required=True,
    shell_complete=complete_run,
    help="Numbers, @last, @failed, NAME@last.",
)
@click.option("--timeout", metavar="DURATION", help="Give up after so long, with exit code 7.")
@pass_invocation
def wait(invocation: Invocation, /, runs: tuple[str, ...], timeout: str | None) -> int:
    """Wait until runs have ended, or stand still because they are paused or blocked.

    The exit code tells how the first run stands that did not succeed: 1 failed, 6 cancelled, 7 timed out, 8 blocked.
    """
    limit = parse_duration(timeout, "--timeout") if timeout is not None else None
    with invocation.reading() as store:
        numbers = [run.id for run in find_runs(store, runs, invocation.namespace)]
        found, over = _wait(invocation, store, numbers, limit)
        _print(invocation, store, found)
    codes = [TIMED_OUT if over and run.state not in _SETTLED else exit_code(run) for run in found]
    return next((code for code in codes if code), 0)


def _wait(invocation: Invocation, store: Store, numbers: list[int], limit: int | None) -> tuple[list[Run], bool]:
    started, told = SYSTEM_CLOCK.monotonic(), False
    while True:
        found = [store.runs.get(number) for number in numbers]
        waited = (SYSTEM_CLOCK.monotonic() - started) * 1000
        if all(run.state in _SETTLED for run in found):
            return found, False
        if limit is not None and waited >= limit:
            return found, True
        if not told:
            told = _tell_of_orphans(invocation, store, found)
        time.sleep(POLL_S)


def _tell_of_orphans(invocation: Invocation, store: Store, runs: list[Run]) -> bool:
    """Say so when nobody works on a run: it would be waited for in vain. Return whether there is such a run."""
    reasons, told = Reasons(store), False
    for run in runs:
        if run.engine_id is not None and reasons.gone(run.engine_id) is not None:
            invocation.terminal.say(f"run {run.id}: {reasons.of(run)}")
            told = True
        elif run.state == "queued" and not store.engines.running():
            invocation.terminal.say(f"run {run.id} is queued and nobody works on it: flowctl resume {run.id}")
            told = True
    return told


def _print(invocation: Invocation, store: Store, runs: list[Run]) -> None:
    reasons = Reasons(store)
    if invocation.json:
        from flowctl.cli.json_shapes import dumps, run_shape

        shapes = [run_shape(run, reasons.of(run)) for run in runs]
        invocation.terminal.data_json(dumps(shapes[0] if len(shapes) == 1 else shapes))
        return
    for run in runs:
        reason = reasons.of(run)
        invocation.terminal.data(
            f"run {run.id}  {run.workflow}  {labelled(run.state)}{f': {reason}' if reason else ''}"
        )
