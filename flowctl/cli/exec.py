"""`flowctl exec`: a shell command as a recorded run."""

from __future__ import annotations

import json
import os
from typing import Any

import click

from flowctl.cli.group import Command
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.cli.run import submit_runs, with_variables
from flowctl.cli.targets import Origin, Submission, new_run, new_supervisor, submission_options, working_directory
from flowctl.core.errors import UsageError
from flowctl.core.model import Snapshot, code_of


@click.command(
    "exec",
    cls=Command,
    context_settings={"allow_interspersed_args": False, "help_option_names": ["-h", "--help"]},
    examples=[
        "flowctl exec -- tar -czf notes.tgz notes/",
        "flowctl exec --shell -- 'du -sh * | sort -h'",
        "flowctl exec --in 10m --name tidy --attempts 3 -- ./tidy.sh",
    ],
)
@click.argument("command", metavar="COMMAND…", nargs=-1, required=True, help="The program and its arguments, after --.")
@click.option("--shell", is_flag=True, help="COMMAND is one text for the shell: pipes, variables, patterns.")
@click.option("--name", metavar="NAME", help="Name of the run.  [default: the program's name]")
@submission_options
@pass_invocation
def exec_(invocation: Invocation, /, command: tuple[str, ...], shell: bool, name: str | None, **given: Any) -> int:
    """Run a shell command as a recorded run: what it printed and its exit code are kept.

    Prints {"exit_code": …, "stdout": …, "stderr": …}. The command gets its arguments as they are; only --shell
    gives a text to the shell.
    """
    from flowctl.engine.places import shell_variables

    submission = Submission(**given).checked()
    text = command_input(command, shell)
    supervisor = new_supervisor()
    try:
        snapshot = Snapshot(code_of("", {}), "", {})
        new = new_run(invocation, _origin(command, shell, name, snapshot), submission, _bound(text))
        with invocation.writing(create=True) as store:
            placed = with_variables(store, [new], shell_variables(os.environ))
            return submit_runs(invocation, store, supervisor, placed, snapshot, submission)
    finally:
        supervisor.close()


def command_input(command: tuple[str, ...], shell: bool) -> str:
    """Return the input of a run that is nothing but a command. Raises UsageError."""
    if shell and len(command) > 1:
        raise UsageError("--shell takes one text", "quote it: flowctl exec --shell -- 'du -sh * | sort -h'")
    if not command[0].strip():
        raise UsageError("the command is empty", "flowctl exec -- COMMAND…")
    try:
        "\0".join(command).encode()
    except UnicodeEncodeError:
        raise UsageError("the command is not UTF-8 text") from None
    return json.dumps({"command": command[0]} if shell else {"argv": list(command)}, ensure_ascii=False)


def _bound(text: str) -> Any:
    from flowctl.engine.loading import BoundInput
    from flowctl.sdk.codec import canonical_hash

    return BoundInput(text, canonical_hash(text))


def _origin(command: tuple[str, ...], shell: bool, name: str | None, snapshot: Snapshot) -> Origin:
    from flowctl.engine.loading import Description

    called = name if name is not None else os.path.basename(command[0].split()[0] if shell else command[0])
    if not called or not called.isprintable() or len(called) > 200:
        raise UsageError(f"{called[:60]!r} is not a name", "give one with --name")
    description = Description(name=called, function="", doc="", parameters={}, options={})
    return Origin(description, "", snapshot.code, None, working_directory())
