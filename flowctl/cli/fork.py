"""`flowctl fork`: a new run that shares the checkpoints of another before a step, and goes on from there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from flowctl.cli import callers
from flowctl.cli.again import DETACH, SAME_CODE, require_file
from flowctl.cli.arguments import parse_json, read_input
from flowctl.cli.completing import complete_run
from flowctl.cli.edits import Assignment, Edits, parse_assignment
from flowctl.cli.foreground import work_here
from flowctl.cli.group import Command
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.cli.references import find_run, find_step
from flowctl.cli.run import print_numbers
from flowctl.cli.targets import new_supervisor
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import UsageError

if TYPE_CHECKING:
    from flowctl.core.model import Run, Snapshot
    from flowctl.engine.forks import Fork
    from flowctl.engine.loading import BoundInput, Loading
    from flowctl.engine.supervisor import Supervisor
    from flowctl.store import Store


@click.command(
    "fork",
    cls=Command,
    examples=[
        "flowctl fork 42 --from parse",
        "flowctl fork @last --from send --set steps.fetch.output.items[0].price=3",
        "flowctl fork 42 --set input.month=3 --detach",
        "flowctl fork 42 --from send --output @answer.json",
        "flowctl fork 42 --edited - < edited.json",
    ],
)
@click.argument("run", metavar="RUN", shell_complete=complete_run, help="A number, @last, @failed, or NAME@last.")
@click.option("--from", "from_step", metavar="STEP", help="Run this step and all after it.  [default: all of them]")
@click.option(
    "--set", "assignments", multiple=True, metavar="PATH=VALUE", help="Change input.… or steps.KEY.output.…; :=JSON."
)
@click.option("--edit", is_flag=True, help="Change input and outputs in $VISUAL or $EDITOR.")
@click.option(
    "--edited",
    metavar="JSON|@FILE|-",
    help="The JSON that --edit shows, edited already. What it leaves out stays as it is.",
)
@click.option("--output", metavar="JSON|@FILE|-", help="Answer for the step of --from instead of running it.")
@SAME_CODE
@DETACH
@pass_invocation
def fork(
    invocation: Invocation,
    /,
    run: str,
    from_step: str | None,
    assignments: tuple[str, ...],
    detach: bool,
    **given: object,
) -> int:
    """Start a new run from a step of another, which stays as it is, with the newest code of its file.

    Steps before that one answer from the record. VALUE is read by the parameter's type, or as what stands there now;
    write PATH:=JSON for anything else, PATH=@file for the text of a file.
    The variable PATH, virtual environment and language are those of the shell that made the old run.
    """
    asked = _asked(from_step, assignments, given)
    asked.check()
    supervisor = new_supervisor()
    try:
        with invocation.writing() as store:
            source = find_run(store, run, invocation.namespace)
            how = asked.resolve(store, source, supervisor)

            def create(engine_id: int | None) -> list[int]:
                from flowctl.engine import forks

                return [forks.fork(store, source.id, SYSTEM_CLOCK.now(), how, engine_id)]

            if detach:
                print_numbers(invocation, create(None))
                return 0
            return work_here(invocation, store, supervisor, create)
    finally:
        supervisor.close()


def _asked(from_step: str | None, assignments: tuple[str, ...], given: Mapping[str, object]) -> _Asked:
    return _Asked(
        from_step,
        tuple(map(parse_assignment, assignments)),
        bool(given["edit"]),
        _edited(given["edited"]),
        _output(given["output"]),
        bool(given["same_code"]),
    )


def _output(source: object) -> str | None:
    if source is None:
        return None
    text = read_input(str(source), "--output")
    parse_json(text, "--output")
    return text.strip()


def _edited(source: object) -> str | None:
    return None if source is None else read_input(str(source), "--edited")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the options say."""

    from_step: str | None
    assignments: tuple[Assignment, ...]
    edit: bool
    edited: str | None
    output: str | None
    same_code: bool

    def check(self) -> None:
        """Raise UsageError for what makes no sense together."""
        if [self.edit, self.edited is not None, bool(self.assignments)].count(True) > 1:
            raise UsageError(
                "--edit, --edited and --set exclude each other", "the editor shows what the others can change"
            )
        if self.output is not None and self.from_step is None:
            raise UsageError("--output answers for one step", "say for which: --from STEP")

    def resolve(self, store: Store, run: Run, supervisor: Supervisor) -> Fork:
        """Return what the fork is to be; nothing is written yet. Raises UsageError, NotFound."""
        step = find_step(store, run, self.from_step) if self.from_step is not None else None
        edits = Edits(store, run)
        edits.assign(self.assignments)
        if self.edit:
            edits.edit(step)
        if self.edited is not None:
            edits.take(self.edited, step)
        if self.output is not None and edits.answer is not None:
            raise UsageError(f"step {self.from_step} is answered for twice", "leave out --output, or change that")
        loading = self._begin_load(store, run, supervisor, edits)
        from flowctl.engine.forks import Fork  # while the executor imports the code

        answer = self.output if edits.answer is None else edits.answer
        snapshot, bound = self._code(run, loading, edits)
        return Fork(callers.person(), step, snapshot, bound, edits.outputs, answer)

    def _begin_load(self, store: Store, run: Run, supervisor: Supervisor, edits: Edits) -> Loading | None:
        """Begin to import the code, None when nothing is asked of it."""
        if not run.path or (self.same_code and not edits.changes_input):
            return None
        from flowctl.engine.loading import Loading
        from flowctl.engine.places import target_of

        if not self.same_code:
            require_file(run)
        return Loading(supervisor, target_of(store, run), store.snapshots.get(run.code) if self.same_code else None)

    def _code(self, run: Run, loading: Loading | None, edits: Edits) -> tuple[Snapshot | None, BoundInput | None]:
        """Return the code of the fork, None for that of its source, and its input, None when that is not edited."""
        if loading is None:
            return None, _bound(edits.input(json.loads(run.input))) if edits.changes_input else None
        loaded = loading.finish()
        workflow = loaded.choose(run.function)
        bound = loaded.bind(workflow, edits.texts, edits.input(workflow.parameters["properties"]))
        return None if self.same_code else loaded.snapshot, bound if edits.changes_input else None


def _bound(text: str) -> BoundInput:
    from flowctl.engine.loading import BoundInput
    from flowctl.sdk.codec import canonical_hash

    return BoundInput(text, canonical_hash(text))
