"""`flowctl doctor`: what may keep work from being done, and the next command."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from flowctl.cli.completing import complete_target
from flowctl.cli.group import Command
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import FlowctlError, NotFound

if TYPE_CHECKING:
    from flowctl.engine.doctor import Diagnosis
    from flowctl.store import Store

_CODES = {"ok": 0, "warning": 1, "broken": 2}


@click.command("doctor", cls=Command, examples=["flowctl doctor", "flowctl doctor digest", "flowctl doctor --fix"])
@click.argument(
    "workflow", metavar="[WORKFLOW]", required=False, shell_complete=complete_target, help="Only this workflow."
)
@click.option("--fix", is_flag=True, help="Put right what needs no decision. What was recorded stays as it is.")
@pass_invocation
def doctor(invocation: Invocation, /, workflow: str | None, fix: bool) -> int:
    """Look for what may keep work from being done.

    It looks at the file and its place, disk, clock and time zone, engines, schedules, and environments.
    Exit code 0 when all is well, 1 with warnings, 2 when something is broken. --fix frees the runs of engines that
    are gone, removes their locks, shortens the log, and lets schedules wait for their next slot.
    """
    if fix:
        _fix(invocation)
    try:
        with invocation.reading() as store:
            found = _examine(store, invocation.namespace, workflow)
    except NotFound:
        raise
    except FlowctlError as error:
        from flowctl.engine.doctor import Diagnosis

        found = [Diagnosis("file", "broken", invocation.db, error.message, error.hint)]
    _print(invocation, found)
    return max(_CODES[each.level] for each in found)


def _fix(invocation: Invocation) -> None:
    from flowctl.engine.doctor import fix

    with invocation.writing() as store:
        for text in fix(store, SYSTEM_CLOCK.now()):
            invocation.terminal.say(text)


def _examine(store: Store, namespace: str, workflow: str | None) -> list[Diagnosis]:
    from flowctl.cli.targets import unknown_workflow
    from flowctl.engine.doctor import Diagnosis, examine
    from flowctl.engine.drift import drift

    known = [each.name for each in store.workflows.list(namespace)]
    if workflow is not None and workflow not in known:
        raise unknown_workflow(workflow, known)
    drifted = list(drift(store, namespace, os.environ, workflow))
    if workflow is not None:
        return drifted or [Diagnosis("environment", "ok", f"workflow {workflow}", "nothing wrong")]
    return examine(store, SYSTEM_CLOCK.now()) + (
        drifted or [Diagnosis("environment", "ok", f"namespace {namespace}", "nothing wrong")]
    )


def _print(invocation: Invocation, found: list[Diagnosis]) -> None:
    terminal = invocation.terminal
    if invocation.json:
        from flowctl.cli.json_shapes import dumps

        terminal.data_json(dumps([each._asdict() for each in found]))
        return
    for each in found:
        if each.level == "ok":
            terminal.data(f"ok       {each.check}")
            continue
        terminal.data(f"{each.level:<8} {each.check}: {each.subject} {each.message}")
        if each.hint:
            terminal.data(f"{'':<9}{each.hint}")
