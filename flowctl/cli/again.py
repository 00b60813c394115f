"""`flowctl resume`, `retry` and `rerun`: runs go on, or start anew, and are worked on here."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from flowctl.cli.control import DRY_RUN, RUNS, apply_each, show_changed, would_change
from flowctl.cli.foreground import work_here
from flowctl.cli.group import Command
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.cli.references import find_step
from flowctl.cli.run import print_numbers
from flowctl.cli.selecting import Chosen, Filters, filter_options, selected_runs
from flowctl.cli.targets import new_supervisor
from flowctl.cli.words import Reasons
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import Conflict, NotFound, UsageError

if TYPE_CHECKING:
    from flowctl.core.model import Replay, Run, Snapshot
    from flowctl.engine.supervisor import Supervisor
    from flowctl.store import Store

Change = Callable[["Store", "Run", "int | None"], "Run"]  # of a run, for the engine here if there is one
DETACH = click.option("--detach", "-d", is_flag=True, help="Only change the runs; do not work on them here.")
SAME_CODE = click.option("--same-code", is_flag=True, help="With the code the run has, not the newest.")


@click.command(
    "resume",
    cls=Command,
    examples=["flowctl resume @last", "flowctl resume --state paused", "flowctl resume 42 --steal"],
)
@RUNS
@filter_options
@click.option("--steal", is_flag=True, help="Also from an engine that is alive but stuck: its work on the run ends.")
@DETACH
@pass_invocation
def resume(invocation: Invocation, /, runs: tuple[str, ...], steal: bool, detach: bool, **given: Any) -> int:
    """Continue paused runs, and take over runs whose engine is gone, with the code they started with.

    They are worked on here until they have ended. Steps that are recorded do not run again.
    PATH, virtual environment and language are still those of the shell that made the run.
    """
    from flowctl.engine import commands

    def one(store: Store, run: Run, engine_id: int | None) -> Run:
        if steal:
            commands.steal(store, run.id, SYSTEM_CLOCK.now())
        else:
            refuse_held(store, run)
        reserve(store, run, engine_id)
        return commands.resume(store, run.id, SYSTEM_CLOCK.now())

    with invocation.writing() as store:
        chosen = selected_runs(invocation, store, runs, Filters(**given))
        return go_on(invocation, store, chosen, one, detach)


@click.command(
    "retry",
    cls=Command,
    examples=["flowctl retry @failed", "flowctl retry 42 --from fetch#2", "flowctl retry 42 --accept"],
)
@RUNS
@filter_options
@SAME_CODE
@click.option("--accept", is_flag=True, help="Reuse recorded steps although their input or source has changed.")
@click.option("--from", "from_step", metavar="STEP", help="Run this step, and all after it, again.")
@DRY_RUN
@DETACH
@pass_invocation
def retry(invocation: Invocation, /, runs: tuple[str, ...], detach: bool, dry_run: bool, **given: Any) -> int:
    """Let failed, cancelled or blocked runs go on, with the newest code of their file.

    Steps that succeeded are reused where step, input and source are unchanged; the first that differs blocks the run.
    PATH, virtual environment and language are still those of the shell that made the run.
    """
    how = _Retry(given.pop("same_code"), given.pop("accept"), given.pop("from_step"))
    how.check()
    if dry_run:
        return would_change(invocation, runs, Filters(**given))
    supervisor = new_supervisor()
    try:
        with invocation.writing() as store:
            chosen = selected_runs(invocation, store, runs, Filters(**given))
            return go_on(invocation, store, chosen, how.action(supervisor), detach, supervisor)
    finally:
        supervisor.close()


@click.command("rerun", cls=Command, examples=["flowctl rerun @last", "flowctl rerun 42 --same-code --detach"])
@RUNS
@filter_options
@SAME_CODE
@DETACH
@pass_invocation
def rerun(invocation: Invocation, /, runs: tuple[str, ...], same_code: bool, detach: bool, **given: Any) -> int:
    """Start new runs of the same workflows with the same input, with the newest code of their file.

    PATH, virtual environment and language are those of the shell that made the old run.
    """
    from flowctl.engine import commands

    supervisor = new_supervisor()

    def one(store: Store, run: Run, engine_id: int | None) -> Run:
        snapshot = None if same_code else newest_code(store, supervisor, run, check_input=True)
        return store.runs.get(commands.rerun(store, run.id, SYSTEM_CLOCK.now(), snapshot, engine_id))

    try:
        with invocation.writing() as store:
            chosen = selected_runs(invocation, store, runs, Filters(**given))
            if detach:
                created, code = apply_each(invocation, store, chosen, partial(_detached, one))
                print_numbers(invocation, [run.id for run in created])
                return code
            return _work_on(invocation, store, chosen, one, supervisor, exclusive=False)
    finally:
        supervisor.close()


@dataclass(frozen=True, slots=True)
class _Retry:
    """How runs are retried."""

    same_code: bool
    accept: bool
    from_step: str | None

    def check(self) -> None:
        if self.same_code and self.accept:
            raise UsageError("--same-code and --accept exclude each other", "the same code has nothing to accept")

    @property
    def replay(self) -> Replay:
        return "pinned" if self.same_code else "accept" if self.accept else "newest"

    def action(self, supervisor: Supervisor) -> Change:
        from flowctl.engine import commands

        def one(store: Store, run: Run, engine_id: int | None) -> Run:
            if run.state not in ("failed", "cancelled", "blocked"):
                raise Conflict(f"run {run.id} is {run.state} and cannot be retried", _instead(run))
            from_step = find_step(store, run, self.from_step).key if self.from_step is not None else None
            snapshot = None if self.same_code else newest_code(store, supervisor, run)
            now = SYSTEM_CLOCK.now()
            reserve(store, run, engine_id)
            return commands.retry(store, run.id, now, replay=self.replay, snapshot=snapshot, from_step=from_step)

        return one


def _instead(run: Run) -> str:
    return f"flowctl rerun {run.id}" if run.state == "succeeded" else f"flowctl resume {run.id}"


def newest_code(store: Store, supervisor: Supervisor, run: Run, *, check_input: bool = False) -> Snapshot | None:
    """Return the code that a run's file has now; None for a shell command. Its executor is kept warm for the run."""
    from flowctl.engine.loading import load_file
    from flowctl.engine.places import target_of

    if not run.path:
        return None
    require_file(run)
    loaded = load_file(supervisor, target_of(store, run))
    workflow = loaded.choose(run.function)
    if check_input:
        loaded.bind(workflow, {}, run.input)
    return loaded.snapshot


def require_file(run: Run) -> None:
    """Raise NotFound when the file of a run is gone."""
    if not os.path.isfile(run.path):
        raise NotFound(f"the file of run {run.id} is gone: {run.path}", "go on with the code it has: --same-code")


def refuse_held(store: Store, run: Run) -> None:
    """Refuse a run that an engine is working on. Raises Conflict."""
    if run.state != "running" or run.engine_id is None or Reasons(store).gone(run.engine_id) is not None:
        return
    engine = store.engines.get(run.engine_id)
    by = f" by process {engine.pid}" if engine is not None else ""
    hint = f"flowctl logs {run.id} -f; if it is stuck: flowctl resume {run.id} --steal"
    raise Conflict(f"run {run.id} is being worked on already{by}", hint)


def reserve(store: Store, run: Run, engine_id: int | None) -> None:
    """Take a run and its family for the engine here, if there is one. Raises Conflict when another watches it."""
    from flowctl.engine import commands

    if engine_id is not None:
        commands.reserve(store, run.id, engine_id, SYSTEM_CLOCK.now())


def go_on(
    invocation: Invocation,
    store: Store,
    chosen: Chosen,
    change: Change,
    detach: bool,
    supervisor: Supervisor | None = None,
) -> int:
    """Change runs, and work on them here unless told not to. Returns the exit code."""
    if detach:
        changed, code = apply_each(invocation, store, chosen, partial(_detached, change))
        show_changed(invocation, store, changed, alone=chosen.alone)
        return code
    own = supervisor or new_supervisor()
    try:
        return _work_on(invocation, store, chosen, change, own, exclusive=True)
    finally:
        own.close()


def _detached(change: Change, store: Store, run: Run) -> Run:
    return change(store, run, None)


def _work_on(
    invocation: Invocation, store: Store, chosen: Chosen, change: Change, supervisor: Supervisor, *, exclusive: bool
) -> int:
    codes: list[int] = []

    def prepare(engine_id: int) -> list[int]:
        changed, code = apply_each(invocation, store, chosen, lambda store, run: change(store, run, engine_id))
        codes.append(code)
        return [run.id for run in changed]

    return work_here(invocation, store, supervisor, prepare, exclusive=exclusive) or codes[0]
