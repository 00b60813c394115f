"""`flowctl completion`: the script that teaches a shell flowctl's commands."""

from __future__ import annotations

import click

from flowctl.cli.group import Command
from flowctl.cli.invocation import Invocation, pass_invocation


@click.command(
    "completion",
    cls=Command,
    examples=[
        "flowctl completion bash > ~/.local/share/bash-completion/completions/flowctl",
        "flowctl completion zsh > ~/.zfunc/_flowctl",
        "flowctl completion fish > ~/.config/fish/completions/flowctl.fish",
    ],
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), help="Which shell.")
@pass_invocation
def completion(invocation: Invocation, /, shell: str) -> int:
    """Print the completion script of a shell. It completes commands, options, workflows and run numbers."""
    from click.shell_completion import get_completion_class

    from flowctl.cli.main import cli

    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(cli, {}, "flowctl", "_FLOWCTL_COMPLETE")
    text = script.source_template % script.source_vars()
    invocation.answer({"shell": shell, "script": text}, text.rstrip("\n"))
    return 0
