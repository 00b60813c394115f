"""What a command costs before it does anything: imports, and the help that is complete without them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from flowctl.cli.main import cli
from tests.cli.conftest import PATIENCE_S
from tests.conftest import FLOWCTL, ROOT

HEAVY = {"textual", "rich", "croniter", "apsw", "asyncio", "subprocess", "importlib.metadata"}
SHOW = "import sys; print(' '.join(sorted(sys.modules)), file=sys.stderr)"


def modules_after(*words: str) -> set[str]:
    code = f"import sys; from flowctl.cli.main import main; code = main({list(words)!r}); {SHOW}; sys.exit(code)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split("\n")[-2].split())


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["run", "--help"], ["db", "path"]])
def test_help_and_version_load_nothing_heavy(words: list[str]) -> None:
    assert set() == HEAVY & modules_after(*words)


def test_a_list_loads_neither_the_screen_nor_what_draws(flowctl, hello) -> None:
    flowctl("run", hello, "name=x")
    assert {"apsw"} == (HEAVY - {"subprocess"}) & modules_after("ls", "--json")
    assert {"apsw"} == (HEAVY - {"subprocess"}) & modules_after("ls")
    assert {"apsw"} == (HEAVY - {"subprocess"}) & modules_after("show", "@last", "--json")


def test_a_list_loads_no_noun_but_runs_and_steps(flowctl, hello) -> None:
    flowctl("run", hello, "name=x")
    nouns = {f"flowctl.store.{path.stem}" for path in (ROOT / "flowctl" / "store").glob("*.sql")}
    assert {"flowctl.store.runs", "flowctl.store.steps", "flowctl.store.payloads", "flowctl.store.store"} == (
        nouns & modules_after("ls")
    )


def test_a_daemon_loads_neither_openssl_nor_parsers_that_it_does_not_need(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    words = ["--db", str(tmp_path / "flow.db"), "daemon", "run", "--ready-fd", str(theirs)]
    code = f"import sys; from flowctl.cli.main import main; main({words!r}); {SHOW}"
    process = subprocess.Popen([sys.executable, "-c", code], pass_fds=[theirs], stderr=subprocess.PIPE, text=True)
    os.close(theirs)
    with open(ours) as ready:
        assert ready.readline() == "{}\n"
    process.terminate()
    _, said = process.communicate(timeout=PATIENCE_S)
    loaded = set(said.split("\n")[-2].split())
    assert "flowctl.engine.scheduler" in loaded
    assert set() == loaded & {"_hashlib", "_ssl", "pyexpat", "tomllib", "difflib", "html.entities", "email", "logging"}


def test_the_root_help_says_of_each_command_what_its_own_help_does() -> None:
    context = context_of(cli, "flowctl")
    assert list(cli.members) == [name for names in cli.sections.values() for name in names]
    for name in cli.members:
        command = cli.get_command(context, name)
        assert command is not None
        assert name == command.name
        assert command.help


def test_every_help_page_has_an_example() -> None:
    pages = list(all_commands(cli, context_of(cli, "flowctl")))
    assert len(pages) > 25
    for path, command, context in pages:
        text = command.get_help(context)
        assert f"Examples:\n  {path}" in text or "Examples:\n  flowctl" in text, path


def context_of(command: click.Command, name: str, parent: click.Context | None = None) -> click.Context:
    """Return a context as a call would have it: a command keeps the help option that its first context gave it."""
    return click.Context(command, info_name=name, parent=parent, **command.context_settings)


def all_commands(command: click.Command, context: click.Context):
    yield context.command_path, command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            member = command.get_command(context, name)
            assert member is not None
            yield from all_commands(member, context_of(member, name, context))


def test_examples_parse() -> None:
    """An example that the parser refuses would be a lie."""
    import shlex

    for path, command, _ in all_commands(cli, context_of(cli, "flowctl")):
        for example in command.examples:
            for part in example.split(" && "):
                words = shlex.split(part.split(" > ")[0].split(" < ")[0])[1:]
                target, context = cli, cli.make_context("flowctl", words)
                while isinstance(target, click.Group):
                    rest = [*context._protected_args, *context.args]
                    name, target, rest = target.resolve_command(context, rest)
                    context = target.make_context(name, rest, parent=context)
                assert target.name, path


def test_the_module_and_the_program_are_the_same() -> None:
    by_module = subprocess.run([sys.executable, "-m", "flowctl", "--help"], capture_output=True, check=True)
    assert subprocess.run([*FLOWCTL, "--help"], capture_output=True, check=True).stdout == by_module.stdout
