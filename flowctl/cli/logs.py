"""`flowctl logs`: what user code printed and logged."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from flowctl.cli.completing import complete_run
from flowctl.cli.group import Command
from flowctl.cli.instants import clock_time
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.cli.references import find_run
from flowctl.core.errors import NotFound
from flowctl.core.model import FINAL_STATES

if TYPE_CHECKING:
    from flowctl.core.model import LogLine
    from flowctl.store import Store

PAGE = 1_000
POLL_S = 0.2
_SETTLED = FINAL_STATES | {"paused", "blocked"}


@click.command(
    "logs", cls=Command, examples=["flowctl logs @last", "flowctl logs 42 fetch#2", "flowctl logs @last -f --json"]
)
@click.argument("run", metavar="RUN", shell_complete=complete_run, help="A number, @last, @failed, or NAME@last.")
@click.argument("step", metavar="STEP", required=False, help="Only of this step.")
@click.option("--follow", "-f", is_flag=True, help="Go on printing until the run has ended, is paused or blocked.")
@pass_invocation
def logs(invocation: Invocation, /, run: str, step: str | None, follow: bool) -> int:
    """Print what a run printed and logged. With --json: one JSON object a line."""
    with invocation.reading() as store:
        found = find_run(store, run, invocation.namespace)
        if step is not None and not follow and (not step.isprintable() or store.steps.get(found.id, step) is None):
            raise NotFound(f"run {found.id} has no step {step!r}", f"flowctl show {found.id}")
        for line in _lines(store, found.id, step, follow):
            _print(invocation, line)
    return 0


def _lines(store: Store, run_id: int, step: str | None, follow: bool) -> Iterator[LogLine]:
    last = 0
    while True:
        settled = not follow or store.runs.get(run_id).state in _SETTLED  # asked first: what comes later is still read
        page = store.logs.of_run(run_id, step, last, PAGE)
        yield from page
        if page:
            last = page[-1].id
        elif settled:
            return
        else:
            time.sleep(POLL_S)


def _print(invocation: Invocation, line: LogLine) -> None:
    if invocation.json:
        from flowctl.cli.json_shapes import dumps, log_shape

        invocation.terminal.json_line(dumps(log_shape(line)))
        return
    source = line.level or ("" if line.stream == "stdout" else line.stream)
    head = "  ".join(part for part in (clock_time(line.at), line.step or "-", source) if part)
    for text in line.text.removesuffix("\n").split("\n"):
        invocation.terminal.data(f"{head}  {text}")
