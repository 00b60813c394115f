"""What every command has: the global options on both sides of the verb, examples in its help, imports when called."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click
from click.core import augment_usage_errors

GLOBALS = "flowctl.globals"  # where a click context keeps the global options that were given
_NOTE = "Global options, before or after the command: --db, --namespace, --json, --quiet, --verbose, --debug, --color."


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value is not None and param.name is not None:
        ctx.meta.setdefault(GLOBALS, {})[param.name] = value


def _global_options(hidden: bool) -> Iterator[click.Option]:
    def option(*names: str, **settings: Any) -> click.Option:
        return click.Option(names, callback=_remember, expose_value=False, hidden=hidden, default=None, **settings)

    yield option("--db", metavar="PATH", help="Database to use.  [env: FLOWCTL_DB]")
    yield option(
        "--namespace", metavar="NAME", help="Namespace to work in.  [env: FLOWCTL_NAMESPACE; default: default]"
    )
    yield option("--json", "json", is_flag=True, flag_value=True, help="Print data as JSON.")
    yield option("--quiet", "-q", is_flag=True, flag_value=True, help="No progress on stderr.")
    yield option("--verbose", "-v", is_flag=True, flag_value=True, help="More progress on stderr.")
    yield option("--debug", is_flag=True, flag_value=True, help="Show tracebacks of flowctl's own errors.")
    yield option("--color", type=click.Choice(["auto", "always", "never"]), help="Use colour.  [default: auto]")


class _Told(click.Command):
    """What every command and group has: what is wrong with its words is known to be of it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words of the command line; click leaves out of some errors whose they are."""
        with augment_usage_errors(ctx):
            return super().parse_args(ctx, args)


class Command(_Told):
    """A command with examples in its help, and the global options after it."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **settings: Any) -> None:
        settings.setdefault("context_settings", {"help_option_names": ["-h", "--help"]})
        settings["params"] = [*(settings.get("params") or []), *_global_options(hidden=True)]
        super().__init__(*args, **settings)
        self.examples = tuple(examples)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, then where the global options are."""
        super().format_epilog(ctx, formatter)
        _write_examples(formatter, self.examples)
        formatter.write_paragraph()
        formatter.write_text(_NOTE)


class Group(_Told, click.Group):
    """A group of commands that are imported when they are called: `members` maps name to (module:attribute, help)."""

    def __init__(
        self,
        *args: Any,
        members: Mapping[str, tuple[str, str]],
        examples: Sequence[str] = (),
        sections: Mapping[str, Sequence[str]] | None = None,
        **settings: Any,
    ) -> None:
        settings.setdefault("context_settings", {"help_option_names": ["-h", "--help"]})
        settings["params"] = [*(settings.get("params") or []), *_global_options(hidden=sections is None)]
        super().__init__(*args, **{"subcommand_metavar": "COMMAND …", **settings})
        self.members = members
        self.examples = tuple(examples)
        self.sections = sections or {"Commands": tuple(members)}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 — click's protocol
        """Return the names of the members."""
        return list(self.members)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a member."""
        if cmd_name not in self.members:
            return None
        module, _, attribute = self.members[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the member that is called, or say which one may have been meant."""
        name = args[0]
        if name in self.members or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        import difflib

        near = difflib.get_close_matches(name, self.members, n=1)
        path = ctx.command_path
        hint = f"did you mean {path} {near[0]}?" if near else f"{path} --help lists them"
        raise click.UsageError(f"there is no command {path} {name}\n{hint}", ctx=ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the members by section, from the table alone: nothing is imported for it."""
        for title, names in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(name, self.members[name][1]) for name in names])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        super().format_epilog(ctx, formatter)
        _write_examples(formatter, self.examples)


def set_up_version(group: click.Group) -> None:
    """Give the root group its --version."""

    def show(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: ARG001 — click's protocol
        if value and not ctx.resilient_parsing:
            from flowctl.core.version import VERSION

            click.echo(f'{{"version": "{VERSION}"}}' if ctx.meta.get(GLOBALS, {}).get("json") else f"flowctl {VERSION}")
            ctx.exit()

    option = click.Option(
        ["--version", "-V"], is_flag=True, expose_value=False, callback=show, help="Print the version and exit."
    )
    group.params.append(option)


def _write_examples(formatter: click.HelpFormatter, examples: Sequence[str]) -> None:
    if examples:
        with formatter.section("Examples"):
            for example in examples:
                formatter.write(f"{'':>{formatter.current_indent}}{example}\n")
