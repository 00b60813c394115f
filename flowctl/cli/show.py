"""`flowctl show`: a run and its steps, or one step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from flowctl.cli.completing import complete_run
from flowctl.cli.group import Command
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.cli.references import find_run, find_step, set_aside
from flowctl.core.errors import UsageError

if TYPE_CHECKING:
    from flowctl.core.model import Run
    from flowctl.store import Store

PAGE = 50  # steps, unless all are asked for


@click.command(
    "show",
    cls=Command,
    examples=[
        "flowctl show @last",
        "flowctl show 42 fetch#2",
        "flowctl show digest@last --json",
        "flowctl show 42 --history > tests/histories/digest.json",
    ],
)
@click.argument("run", metavar="RUN", shell_complete=complete_run, help="A number, @last, @failed, or NAME@last.")
@click.argument("step", metavar="STEP", required=False, help="A step's key, or its number in the run.")
@click.option("--all", "whole", is_flag=True, help=f"All steps, not only the last {PAGE}, and nothing shortened.")
@click.option("--history", is_flag=True, help="As JSON that `flowctl workflows check --histories` replays.")
@pass_invocation
def show(invocation: Invocation, /, run: str, step: str | None, whole: bool, history: bool) -> int:
    """Show a run: its state, its steps, what it was given and what it returned. Or show one step.

    On a terminal long inputs and outputs are shortened; piped, and with --json, they never are.
    """
    with invocation.reading() as store, store.reading():
        found = find_run(store, run, invocation.namespace)
        if history:
            _show_history(invocation, store, found, step)
        elif step is not None:
            _show_step(invocation, store, found, step, whole)
        elif invocation.json:
            invocation.terminal.data_json(run_json(store, found))
        else:
            _show_run(invocation, store, found, whole)
    return 0


def _show_history(invocation: Invocation, store: Store, run: Run, step: str | None) -> None:
    from flowctl.engine.histories import history_of, to_json

    if step is not None:
        raise UsageError("a history is of a whole run", f"flowctl show {run.id} --history")
    invocation.terminal.data_json(to_json(history_of(store, run)))


def run_json(store: Store, run: Run) -> str:
    """Return the JSON text of a run with its steps."""
    from flowctl.cli.json_shapes import dumps, full_run_shape
    from flowctl.cli.words import Reasons

    steps, attempts = store.steps.of_run(run.id) + set_aside(store, run), store.steps.attempts(run.id)
    return dumps(full_run_shape(run, Reasons(store).of(run), steps, attempts, store.runs.handlers(run.id)))


def _show_run(invocation: Invocation, store: Store, run: Run, whole: bool) -> None:
    from flowctl.cli.render_show import ShownRun, show_run
    from flowctl.cli.words import Reasons

    count = store.steps.count(run.id)
    left_out = 0 if whole or count <= PAGE else count - PAGE
    # Places have no gaps, so the steps left out are those up to that place.
    steps = store.steps.of_run(run.id, after_seq=left_out) + set_aside(store, run)
    reasons = Reasons(store)
    gone = run.engine_id is not None and reasons.gone(run.engine_id) is not None
    children = {child.parent_step or "": child.id for child in store.runs.children(run.id)}
    handlers, awaited = store.runs.handlers(run.id), store.signals.awaited(run.id)
    shown = ShownRun(run, reasons.of(run), gone, steps, left_out, children, handlers, awaited)
    show_run(invocation.terminal, shown, whole=whole)


def _show_step(invocation: Invocation, store: Store, run: Run, key: str, whole: bool) -> None:
    step = find_step(store, run, key)
    attempts = store.steps.attempts(run.id, step.key)
    if invocation.json:
        from flowctl.cli.json_shapes import dumps, step_shape

        invocation.terminal.data_json(dumps(step_shape(step, attempts)))
    else:
        from flowctl.cli.render_show import show_step

        show_step(invocation.terminal, run, step, attempts, whole=whole)
