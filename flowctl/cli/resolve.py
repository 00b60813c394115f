"""`flowctl resolve`: a person says what became of a step that a run is blocked by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from flowctl.cli import callers
from flowctl.cli.again import DETACH, SAME_CODE, go_on, newest_code, reserve
from flowctl.cli.arguments import parse_json, read_input
from flowctl.cli.completing import complete_run
from flowctl.cli.group import Command
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.cli.references import find_run, find_step
from flowctl.cli.selecting import Chosen
from flowctl.cli.targets import new_supervisor
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import UsageError
from flowctl.core.model import Said
from flowctl.core.policy import error_text

if TYPE_CHECKING:
    from flowctl.core.model import Run
    from flowctl.store import Store


@click.command(
    "resolve",
    cls=Command,
    examples=[
        "flowctl resolve 42 charge --done '{\"receipt\": 7}'",
        "flowctl resolve 42 charge --fail 'the card was declined'",
        "flowctl resolve 42 charge --retry",
    ],
)
@click.argument("run", metavar="RUN", shell_complete=complete_run, help="A number, @last, @failed, or NAME@last.")
@click.argument("step", metavar="STEP", help="A step's key, or its number in the run.")
@click.option("--done", metavar="JSON|@FILE|-", help="It was done, and this is its output.")
@click.option("--fail", metavar="TEXT", help="It has failed, and this is why.")
@click.option("--retry", is_flag=True, help="Run it again.")
@SAME_CODE
@DETACH
@pass_invocation
def resolve(
    invocation: Invocation,
    /,
    run: str,
    step: str,
    done: str | None,
    fail: str | None,
    retry: bool,
    same_code: bool,
    detach: bool,
) -> int:
    """Say what became of a step that a run is blocked by; then the run goes on, with the newest code of its file.

    It is recorded who has said so. What was recorded before stays in the file, set aside.
    """
    said = _said(done, fail, retry)
    supervisor = new_supervisor()
    try:
        with invocation.writing() as store:
            found = find_run(store, run, invocation.namespace)

            def change(store: Store, run: Run, engine_id: int | None) -> Run:
                from flowctl.engine.resolving import Resolution, require_blocked
                from flowctl.engine.resolving import resolve as record

                require_blocked(run)
                decided = find_step(store, run, step)
                snapshot = None if same_code else newest_code(store, supervisor, run)
                resolution = Resolution(callers.person(), said, "pinned" if same_code else "newest", snapshot)
                reserve(store, run, engine_id)
                return record(store, run.id, decided, resolution, SYSTEM_CLOCK.now())

            return go_on(invocation, store, Chosen([found], alone=True), change, detach, supervisor)
    finally:
        supervisor.close()


def _said(done: str | None, fail: str | None, retry: bool) -> Said | None:
    if [done is not None, fail is not None, retry].count(True) != 1:
        raise UsageError("say what became of the step, in one way", "--done JSON, --fail TEXT, or --retry")
    if done is not None:
        text = read_input(done, "--done").strip()
        parse_json(text, "--done")
        return Said(callers.person(), output=text)
    if fail is not None:
        return Said(callers.person(), error=error_text("SaidToHaveFailed", fail))
    return None
