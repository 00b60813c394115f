"""Writes docs/cli.md from the commands themselves: `make docs`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import click

from flowctl.cli.main import cli
from flowctl.core import errors

PAGE = Path(__file__).with_name("cli.md")

HEAD = """\
# Commands

Written from the commands by `make docs`; do not edit. `flowctl COMMAND --help` says the same.
"""


def context_of(command: click.Command, name: str, parent: click.Context | None = None) -> click.Context:
    """Return what click knows of a command when it is called by that name."""
    return command.context_class(command, info_name=name, parent=parent, **command.context_settings)


def commands(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    """Yield the full name, the command and its context, for every command, in the order of its help."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        inner = context_of(command, name, context)
        yield inner.command_path, command, inner
        if isinstance(command, click.Group):
            yield from commands(command, inner)


def render() -> str:
    """Return the text of the page."""
    top = context_of(cli, "flowctl")
    parts = [HEAD, section("flowctl", cli, top)]
    parts += [section(*each) for each in commands(cli, top)]
    parts.append(exit_codes())
    return "\n".join(parts)


def section(path: str, command: click.Command, context: click.Context) -> str:
    """Return the part about one command: usage, explanation, options."""
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f"## `{path}`", "", "```text", f"{path} {usage}".rstrip(), "```", ""]
    lines += [inspect.cleandoc(command.help or ""), ""]
    if examples := getattr(command, "examples", ()):
        lines += ["```text", *examples, "```", ""]
    options = [record for each in command.get_params(context) if (record := each.get_help_record(context))]
    if options:
        lines += ["| option | meaning |", "|---|---|"]
        lines += [f"| `{cell(name)}` | {cell(meaning)} |" for name, meaning in options] + [""]
    return "\n".join(lines)


def cell(text: str) -> str:
    """Return text that may stand in a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def exit_codes() -> str:
    """Return the table of exit codes that errors have."""
    found: dict[int, list[str]] = {}
    for kind in (kind for kind in errors.FlowctlError.__subclasses__() if kind.__module__ == errors.__name__):
        found.setdefault(kind.exit_code, []).append(inspect.cleandoc(kind.__doc__ or "").splitlines()[0])
    lines = ["## Exit codes of errors", "", "| code | when |", "|---|---|"]
    lines += [f"| {code} | {cell(' '.join(texts))} |" for code, texts in sorted(found.items())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
