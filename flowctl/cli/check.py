"""`flowctl check`: recorded runs replayed against a workflow file as it is now, without running anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flowctl.cli.group import Command
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.cli.run import absolute_python
from flowctl.cli.targets import new_supervisor, working_directory
from flowctl.cli.workflows import find_file
from flowctl.core.errors import NotFound
from flowctl.core.text import plural

if TYPE_CHECKING:
    from flowctl.engine.checking import Verdict
    from flowctl.engine.histories import History
    from flowctl.engine.loading import Description, LoadedFile

BLOCKED = 8  # exit code: what does not fit would block the run


@click.command(
    "check",
    cls=Command,
    examples=[
        "flowctl check report.py",
        "flowctl check report.py:monthly --last 100",
        "flowctl check report.py --json",
    ],
)
@click.argument("file", metavar="FILE.py[:FUNCTION]", help="The edited file, or one workflow of it.")
@click.option("--last", type=click.IntRange(1, 100_000), default=20, help="Runs of each workflow.  [default: 20]")
@click.option("--python", metavar="PATH", help="Interpreter for the workflow's code.")
@pass_invocation
def check(invocation: Invocation, /, file: str, last: int, python: str | None) -> int:
    """Replay the last recorded runs of a file's workflows against the file as it is now.

    Every step is answered from the record and no step is executed; the workflow functions themselves run, as on every
    resume. Exit code 8 when a run does not fit: it would be blocked. Made for a pre-commit hook.
    """
    from flowctl.engine.checking import Checker
    from flowctl.engine.loading import load_file
    from flowctl.engine.supervisor import CodeTarget

    target = find_file(invocation, file)
    supervisor = new_supervisor()
    try:
        loaded = load_file(supervisor, CodeTarget(target.path, working_directory(), absolute_python(python)))
        chosen = [loaded.choose(target.function)] if target.function else list(loaded.workflows)
        verdicts = list(Checker(loaded).check_all(_recorded(invocation, loaded, chosen, last)))
    finally:
        supervisor.close()
    return report(invocation, target.path, verdicts)


def _recorded(
    invocation: Invocation, loaded: LoadedFile, chosen: Sequence[Description], last: int
) -> Iterator[History]:
    from flowctl.engine.checking import recorded_histories

    if not invocation.has_database():
        return
    with invocation.reading() as store:
        for workflow in chosen:
            yield from recorded_histories(store, loaded.path, workflow, invocation.namespace, last)


def read_histories(folder: str, loaded: LoadedFile) -> list[History]:
    """Return the recorded histories in a folder that are of workflows of a file. Raises NotFound when there is none."""
    from flowctl.cli.arguments import read_source
    from flowctl.engine.histories import from_json

    paths = sorted(Path(folder).glob("*.json"))
    found = [from_json(read_source(str(path), "a history"), str(path)) for path in paths]
    functions = {workflow.function for workflow in loaded.workflows}
    fitting = [history for history in found if history.function in functions]
    if not fitting:
        raise NotFound(
            f"{folder} holds no recorded history of {loaded.path}",
            f"flowctl show RUN --history > {folder.rstrip('/')}/NAME.json",
        )
    return fitting


def report(invocation: Invocation, path: str, verdicts: Sequence[Verdict]) -> int:
    """Print how histories fit a file, and return the exit code."""
    mismatches = [verdict for verdict in verdicts if verdict.mismatch is not None]
    if invocation.json:
        from flowctl.cli.json_shapes import dumps

        shapes = [verdict_shape(verdict) for verdict in verdicts]
        invocation.terminal.data_json(dumps({"file": path, "mismatches": len(mismatches), "histories": shapes}))
    else:
        _print_verdicts(invocation, verdicts, mismatches)
    return BLOCKED if mismatches else 0


def _print_verdicts(invocation: Invocation, verdicts: Sequence[Verdict], mismatches: Sequence[Verdict]) -> None:
    terminal = invocation.terminal
    for verdict in mismatches:
        terminal.data(f"{verdict.name} {verdict.workflow}: {verdict.mismatch}")
    for note in dict.fromkeys(note for verdict in verdicts for note in _notes(verdict)):
        terminal.say(f"note: {note}")
    if not verdicts:
        terminal.say("there is no recorded run of it, so there is nothing to check")
    elif mismatches:
        terminal.say(f"{len(mismatches)} of {len(verdicts)} recorded runs do not fit the code")
    else:
        terminal.say(f"{plural(len(verdicts), 'recorded run')} {'fits' if len(verdicts) == 1 else 'fit'} the code")


def _notes(verdict: Verdict) -> Iterator[str]:
    """Yield what a person may want to know although it blocks nothing."""
    if verdict.changed:
        yield f"{verdict.workflow}: other source than recorded, of {', '.join(verdict.changed)}"
    if verdict.asks is not None:
        yield f'{verdict.workflow}: after what is recorded, step "{verdict.asks}" would run'
    if verdict.output is not None:
        was, now = verdict.output
        yield f"{verdict.name} {verdict.workflow} returned {was}, and now {now}"


def verdict_shape(verdict: Verdict) -> dict[str, Any]:
    """Return the shape of how one history fits."""
    return {
        "history": verdict.name,
        "workflow": verdict.workflow,
        "steps": verdict.steps,
        "mismatch": verdict.mismatch,
        "changed_steps": list(verdict.changed),
        "next_step": verdict.asks,
        "output_changed": verdict.output is not None,
    }
