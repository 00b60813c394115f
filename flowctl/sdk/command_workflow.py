"""The workflow of a run that is nothing but a shell command: `flowctl exec`."""

from __future__ import annotations

from typing import Optional

from flowctl.sdk.command import sh
from flowctl.sdk.definition import workflow
from flowctl.sdk.errors import InputError
from flowctl.sdk.shell import ShellResult


@workflow(name="exec")
def run_command(
    argv: Optional[list[str]] = None, command: Optional[str] = None, input: Optional[str] = None
) -> ShellResult:
    """Run a command as the only step of a run."""
    if (argv is None) == (command is None):
        raise InputError("give either argv or command")
    return sh(argv if argv is not None else command or "", input=input)
