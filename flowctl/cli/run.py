"""`flowctl run`: a workflow, now and here, or enqueued."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from flowctl.cli.arguments import Arguments, parse_arguments, read_each, read_input
from flowctl.cli.completing import complete_target
from flowctl.cli.group import Command
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.cli.targets import (
    Origin,
    Submission,
    Target,
    find_target,
    new_run,
    new_supervisor,
    submission_options,
    working_directory,
)
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import UsageError

if TYPE_CHECKING:
    from flowctl.core.model import NewRun, Snapshot
    from flowctl.engine.loading import LoadedFile
    from flowctl.engine.supervisor import Supervisor
    from flowctl.store import Store


@click.command(
    "run",
    cls=Command,
    examples=[
        "flowctl run hello.py name=World",
        "flowctl run report.py:monthly month:=3 text=@notes.txt",
        "flowctl run digest --each feeds.jsonl --detach",
        "flowctl run backup.py --at 02:30 --key nightly-2026-01-31",
    ],
)
@click.argument(
    "target", metavar="TARGET", shell_complete=complete_target, help="FILE.py, FILE.py:FUNCTION, or a registered name."
)
@click.argument("pairs", metavar="NAME=VALUE…", nargs=-1, help="Parameters: name=value, name:=JSON, name=@file.")
@click.option("--input", "input_source", metavar="JSON|@FILE|-", help="All parameters, as a JSON object.")
@click.option("--each", metavar="FILE|-", help="One run for each line, a JSON object of parameters.")
@click.option("--python", metavar="PATH", help="Interpreter for the workflow's code.")
@submission_options
@pass_invocation
def run(invocation: Invocation, /, target: str, pairs: tuple[str, ...], **given: Any) -> int:
    """Run a workflow now, here, with live progress. Its output is printed to stdout as JSON.

    Ctrl-C pauses the run; flowctl resume goes on. Exit codes: 0 succeeded, 1 failed, 2 wrong use, 4 not found,
    6 cancelled, 7 timed out, 8 blocked, 130 interrupted. With --each and --json: one JSON object a line.
    """
    source, each, python = given.pop("input_source"), given.pop("each"), given.pop("python")
    submission = Submission(**given).checked()
    found = find_target(invocation, target)
    inputs = _inputs(pairs, source, each, submission)
    supervisor = new_supervisor()
    try:
        loaded = load_target(invocation, supervisor, found, python, submission)
        runs = bind_runs(invocation, loaded, found, inputs, submission)
        with invocation.writing(create=True) as store:
            placed = with_variables(store, runs, dict(loaded.executor.target.variables))
            return submit_runs(invocation, store, supervisor, placed, loaded.snapshot, submission)
    finally:
        supervisor.close()


def _inputs(
    pairs: Sequence[str], source: str | None, each: str | None, submission: Submission
) -> list[tuple[str, Arguments]]:
    """Return what each run is given, and how to call its place in a message."""
    if source is not None and each is not None:
        raise UsageError("--input and --each exclude each other")
    if each is None:
        return [("", parse_arguments(pairs, None if source is None else read_input(source)))]
    if submission.key is not None:
        raise UsageError("--key and --each exclude each other", "a key is of one run")
    lines = [(f"{each}, line {number}: ", line) for number, line in read_each(each)]
    if not lines:
        raise UsageError(f"{each} holds no line", "give one JSON object a line")
    return [(place, _line_arguments(pairs, place, line)) for place, line in lines]


def _line_arguments(pairs: Sequence[str], place: str, line: str) -> Arguments:
    try:
        return parse_arguments(pairs, line)
    except UsageError as error:
        raise UsageError(place + error.message.replace("--input is", "it is"), error.hint) from None


def load_target(
    invocation: Invocation, supervisor: Supervisor, target: Target, python: str | None, submission: Submission
) -> LoadedFile:
    """Import the file of a target in an executor that has the shell's folder and variables."""
    from flowctl.engine.loading import Loading
    from flowctl.engine.places import shell_variables
    from flowctl.engine.supervisor import CodeTarget

    chosen = absolute_python(python) or target.python
    variables = {**(target.variables or {}), **shell_variables(os.environ)}
    place = CodeTarget(
        target.path, working_directory(), chosen, submission.full_env_file(), tuple(sorted(variables.items()))
    )
    loading = Loading(supervisor, place)
    _load_the_rest()
    loaded = loading.finish()
    interpreter = loaded.executor.interpreter
    if interpreter.note:
        invocation.terminal.warn(f"note: {interpreter.note}")
    if invocation.verbose:
        invocation.terminal.say(f"interpreter: {interpreter.source}")
    return loaded


def _load_the_rest() -> None:
    """Import what works on a run, while the executor imports the file."""
    import flowctl.cli.foreground
    import flowctl.cli.patience
    import flowctl.engine.commands
    import flowctl.engine.engine
    import flowctl.store  # noqa: F401


def absolute_python(python: str | None) -> str | None:
    """Return --python so that it means the same from another folder; a bare name is looked up in PATH later."""
    return os.path.abspath(os.path.expanduser(python)) if python and os.sep in python else python


def bind_runs(
    invocation: Invocation,
    loaded: LoadedFile,
    target: Target,
    inputs: Sequence[tuple[str, Arguments]],
    submission: Submission,
) -> list[NewRun]:
    """Return the runs that are to be created, one for each input. Raises UsageError."""
    workflow = loaded.choose(target.function)
    where = loaded.executor.target
    origin = Origin(workflow, loaded.path, loaded.snapshot.code, where.python, where.directory)
    runs = []
    for place, arguments in inputs:
        try:
            bound = loaded.bind(workflow, arguments.texts, arguments.object_text)
        except UsageError as error:
            raise UsageError(place + error.message, error.hint) from None
        runs.append(new_run(invocation, origin, submission, bound))
    return runs


def with_variables(store: Store, runs: Sequence[NewRun], variables: Mapping[str, str]) -> list[NewRun]:
    """Return the runs so that they have these variables, whichever engine works on them."""
    from flowctl.engine.places import keep_variables

    environment = keep_variables(store, variables)
    return [new._replace(environment=environment) for new in runs]


def submit_runs(
    invocation: Invocation,
    store: Store,
    supervisor: Supervisor,
    runs: Sequence[NewRun],
    snapshot: Snapshot,
    submission: Submission,
) -> int:
    """Create the runs, durably, then work on them here or print their numbers."""
    from flowctl.engine import commands

    def submit(engine_id: int | None) -> list[int]:
        numbers = []
        for new in runs:
            reserved = new._replace(followed_by=engine_id)
            number, is_new = commands.submit(store, reserved, snapshot, SYSTEM_CLOCK.now())
            numbers.append(number)
            if not is_new:
                invocation.terminal.say(f"the key {new.key} belongs to run {number} already")
        return numbers

    if submission.detach:
        print_numbers(invocation, submit(None))
        return 0
    from flowctl.cli.foreground import work_here

    return work_here(invocation, store, supervisor, submit)


def print_numbers(invocation: Invocation, numbers: Sequence[int]) -> None:
    """Print the numbers of runs that were made."""
    for number in numbers:
        if invocation.json:
            invocation.terminal.json_line(f'{{"run": {number}}}')
        else:
            invocation.terminal.data(str(number))
