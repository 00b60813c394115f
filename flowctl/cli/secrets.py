"""`flowctl secrets`: the names of secrets and where they come from, never their values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import click

from flowctl.cli.group import Command, Group
from flowctl.cli.invocation import Invocation, pass_invocation

if TYPE_CHECKING:
    from flowctl.core.config import Source

_MEMBERS = {"list": ("flowctl.cli.secrets:list_", "List the secrets that are known by name, and their sources")}


class _Known(NamedTuple):
    name: str
    source: str
    problem: str | None  # why it has none now; None too where nobody has asked, as of commands


@click.command("secrets", cls=Group, members=_MEMBERS, examples=["flowctl secrets list"])
def secrets() -> None:
    """See which secrets workflows can ask for with secret("NAME")."""


@click.command("list", cls=Command, examples=["flowctl secrets list", "flowctl secrets list --json"])
@pass_invocation
def list_(invocation: Invocation, /) -> int:
    """List the secrets of config.toml and those that are files of their own, and their sources. Values are never shown.

    Commands and keyrings are not asked. Every variable of the environment is a secret to whoever asks for its name.
    """
    known = _known(os.environ)
    if invocation.json:
        from flowctl.cli.json_shapes import dumps

        shapes = [{"secret": each.name, "source": each.source, "problem": each.problem} for each in known]
        invocation.terminal.data_json(dumps(shapes))
    elif known:
        from flowctl.cli.tables import Column, show_table

        columns = [Column("SECRET"), Column("SOURCE"), Column("PROBLEM")]
        show_table(invocation.terminal, columns, [(each.name, each.source, each.problem or "") for each in known])
    else:
        invocation.terminal.say("no secrets are known by name: config.toml has none, and there are no files of secrets")
    return 0


def _known(environ: Mapping[str, str]) -> list[_Known]:
    from flowctl.core.config import load_config
    from flowctl.engine.secrets import NoSecret, is_slow, resolve, secrets_folder, sources_of

    configured = load_config(environ).secrets
    folder = secrets_folder(environ)
    names = set(configured) | {path.name for path in (folder.iterdir() if folder.is_dir() else ())}
    known = []
    for name in sorted(names):
        sources = sources_of(name, configured, environ)
        problem = None
        if not is_slow(sources):
            try:
                resolve(name, sources, environ)
            except NoSecret as error:
                problem = str(error)
        known.append(_Known(name, ", then ".join(map(_described, sources)), problem))
    return known


def _described(source: Source) -> str:
    """Return a source without the words of a command, which may be secret themselves."""
    kinds = {"env": "variable", "file": "file", "command": "command", "keyring": "keyring service"}
    return f"{kinds[source.kind]} {source.what}"
