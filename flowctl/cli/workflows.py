"""`flowctl workflows`: the registry of names that runs can be started by, and the check of a file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from flowctl.cli.completing import complete_target
from flowctl.cli.group import Command, Group
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.cli.run import absolute_python
from flowctl.cli.targets import find_target, new_supervisor, unknown_workflow, working_directory
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import UsageError
from flowctl.core.model import NewWorkflow, Schedule, Workflow
from flowctl.core.text import plural

if TYPE_CHECKING:
    from flowctl.core.lint import Finding
    from flowctl.engine.loading import Description, LoadedFile
    from flowctl.engine.registry import Registration
    from flowctl.engine.supervisor import Supervisor
    from flowctl.store import Store

_MODULE = "flowctl.cli.workflows"
_MEMBERS = {
    "add": (f"{_MODULE}:add", "Register the workflows of a file"),
    "list": (f"{_MODULE}:list_", "List the registered workflows"),
    "show": (f"{_MODULE}:show", "Show a registered workflow and its parameters"),
    "remove": (f"{_MODULE}:remove", "Take a workflow out of the registry; its runs stay"),
    "check": (f"{_MODULE}:check", "Look for calls that are not replay-safe; replay recorded histories"),
}


@click.command(
    "workflows",
    cls=Group,
    members=_MEMBERS,
    examples=["flowctl workflows add digest.py", "flowctl workflows list", "flowctl workflows check digest.py"],
)
def workflows() -> None:
    """Register, list and check workflow files."""


@click.command(
    "add", cls=Command, examples=["flowctl workflows add digest.py", "flowctl workflows add digest.py:weekly"]
)
@click.argument("file", metavar="FILE.py[:FUNCTION]", help="The file, or one workflow of it.")
@click.option("--name", metavar="NAME", help="Register it under this name, when it is one workflow.")
@click.option("--python", metavar="PATH", help="Interpreter for the workflow's code.")
@click.option("--env", "env_names", multiple=True, metavar="NAME", help="Keep this variable for its scheduled runs.")
@click.option("--replace", is_flag=True, help="Also when another file has the name.")
@pass_invocation
def add(
    invocation: Invocation,
    /,
    file: str,
    name: str | None,
    python: str | None,
    env_names: tuple[str, ...],
    replace: bool,
) -> int:
    """Register the workflows of a file, so that runs can be started by name.

    A workflow that is registered already is brought up to date, and so is the schedule that its code asks for. PATH
    and the variables named by --env, now or before, are kept for the runs that schedules make.
    """
    from flowctl.engine.environment import captured_environment

    target = find_file(invocation, file)
    environment = captured_environment(os.environ, env_names)
    supervisor = new_supervisor()
    try:
        loaded = _load(supervisor, target.path, absolute_python(python))
        found = [loaded.choose(target.function)] if target.function else list(_all(loaded))
        if name is not None and len(found) > 1:
            raise UsageError("--name is for one workflow", f"say which: {file}:{found[0].function}")
        from flowctl.engine.registry import register

        named = [(each, _new(invocation, loaded, each, name)) for each in found]
        new = _registrations(invocation, loaded, named, environment)
        with invocation.writing(create=True) as store:
            before = _code_schedules(store, invocation.namespace)
            added = register(store, new, loaded.snapshot, SYSTEM_CLOCK.now(), replace=replace)
            after = _code_schedules(store, invocation.namespace)
    finally:
        supervisor.close()
    _print_workflows(invocation, added)
    _say_schedules(invocation, before, after)
    return 0


def _registrations(
    invocation: Invocation,
    loaded: LoadedFile,
    named: list[tuple[Description, NewWorkflow]],
    environment: dict[str, str],
) -> list[Registration]:
    """Return what is registered: the workflows, the schedules of their code, and the variables that are kept."""
    from flowctl.engine.environment import captured_again
    from flowctl.engine.registry import Registration, code_schedule

    before = _captured_before(invocation, loaded.path)
    return [
        Registration(
            new, code_schedule(loaded, found, new), captured_again(os.environ, before.get(new.name, {})) | environment
        )
        for found, new in named
    ]


def _captured_before(invocation: Invocation, path: str) -> dict[str, dict[str, str]]:
    """Return the variables that were captured for the workflows of a file, by their names."""
    if not invocation.has_database():
        return {}
    with invocation.reading() as store:
        known = [each for each in store.workflows.list(invocation.namespace) if each.path == path]
        return {each.name: store.environments.get(each.environment) for each in known if each.environment is not None}


@click.command("list", cls=Command, examples=["flowctl workflows list", "flowctl workflows list --json"])
@pass_invocation
def list_(invocation: Invocation, /) -> int:
    """List the registered workflows."""
    found: list[Workflow] = []
    if invocation.has_database():
        with invocation.reading() as store:
            found = store.workflows.list(invocation.namespace)
    _print_workflows(invocation, found)
    return 0


@click.command("show", cls=Command, examples=["flowctl workflows show digest", "flowctl workflows show digest --json"])
@click.argument("name", metavar="NAME", shell_complete=complete_target, help="A registered workflow.")
@pass_invocation
def show(invocation: Invocation, /, name: str) -> int:
    """Show a registered workflow: its file, its parameters and its options."""
    from flowctl.cli.json_shapes import dumps, workflow_shape

    with invocation.reading() as store:
        known = store.workflows.list(invocation.namespace)
    workflow = next((each for each in known if each.name == name), None)
    if workflow is None:
        raise unknown_workflow(name, [each.name for each in known])
    if invocation.json:
        invocation.terminal.data_json(dumps(workflow_shape(workflow)))
    else:
        from flowctl.cli.render import show_workflow

        show_workflow(invocation.terminal, workflow)
    return 0


@click.command("remove", cls=Command, examples=["flowctl workflows remove digest"])
@click.argument(
    "names", metavar="NAME…", nargs=-1, required=True, shell_complete=complete_target, help="Registered workflows."
)
@click.option("--yes", "-y", is_flag=True, help="Accepted for scripts; nothing is asked, as nothing is lost.")
@pass_invocation
def remove(invocation: Invocation, /, names: tuple[str, ...], yes: bool) -> int:  # noqa: ARG001 — see its help
    """Take workflows out of the registry, and the schedules of their code. Their runs stay, and so do their files."""
    from flowctl.cli.json_shapes import dumps
    from flowctl.engine.registry import unregister

    with invocation.writing() as store:
        known = store.workflows.list(invocation.namespace)
        for name in names:
            if name not in [each.name for each in known]:
                raise unknown_workflow(name, [each.name for each in known])
        unregister(store, invocation.namespace, names, SYSTEM_CLOCK.now())
    if invocation.json:
        invocation.terminal.data_json(dumps({"removed": list(dict.fromkeys(names))}))
    else:
        invocation.terminal.say(f"removed {', '.join(names)}")
    return 0


@click.command(
    "check",
    cls=Command,
    examples=["flowctl workflows check digest.py", "flowctl workflows check digest.py --histories tests/histories"],
)
@click.argument("file", metavar="FILE.py", help="A workflow file.")
@click.option("--python", metavar="PATH", help="Interpreter for the workflow's code.")
@click.option("--histories", metavar="FOLDER", help="Replay the histories in it: flowctl show RUN --history.")
@pass_invocation
def check(invocation: Invocation, /, file: str, python: str | None, histories: str | None) -> int:
    """Import a workflow file, and look in its workflow bodies for calls that are not replay-safe.

    A workflow body runs again after every wait and crash; clocks, random numbers, files, processes and the network
    belong into steps. Exit code 1 when something is found. With --histories the *.json files of the folder are
    replayed instead, as flowctl check does with recorded runs: exit code 8 when one does not fit.
    """
    from flowctl.core.lint import lint

    target = find_file(invocation, file)
    supervisor = new_supervisor()
    try:
        loaded = _load(supervisor, target.path, absolute_python(python))
        found = list(_all(loaded))
        if histories is not None:
            return _check_histories(invocation, loaded, histories)
    finally:
        supervisor.close()
    findings = [finding for path, text in sorted(loaded.snapshot.files.items()) for finding in lint(text, path)]
    _print_check(invocation, target.path, found, findings)
    return 1 if findings else 0


def _check_histories(invocation: Invocation, loaded: LoadedFile, folder: str) -> int:
    from flowctl.cli.check import read_histories, report
    from flowctl.engine.checking import Checker

    return report(invocation, loaded.path, list(Checker(loaded).check_all(read_histories(folder, loaded))))


def find_file(invocation: Invocation, text: str) -> Any:
    """Return the target that a file name means; a registered name is not one."""
    if not text.endswith(".py") and ".py:" not in text and os.sep not in text:
        text = f".{os.sep}{text}"
    return find_target(invocation, text)


def _load(supervisor: Supervisor, path: str, python: str | None) -> LoadedFile:
    from flowctl.engine.loading import load_file
    from flowctl.engine.supervisor import CodeTarget

    return load_file(supervisor, CodeTarget(path, working_directory(), python))


def _code_schedules(store: Store, namespace: str) -> dict[str, Schedule]:
    return {each.name: each for each in store.schedules.all(namespace) if each.source == "code"}


def _say_schedules(invocation: Invocation, before: dict[str, Schedule], after: dict[str, Schedule]) -> None:
    """Tell what became of the schedules that code asks for."""
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if new is None:
            invocation.terminal.say(f"schedule {name}: removed, as its code asks for none any more")
        elif new != old:
            invocation.terminal.say(
                f"schedule {name}: {'made' if old is None else 'changed'}; see: flowctl next {name}"
            )


def _all(loaded: LoadedFile) -> tuple[Description, ...]:
    if not loaded.workflows:
        raise UsageError(f"{loaded.path} defines no workflow", "put @workflow above a function")
    return loaded.workflows


def _new(invocation: Invocation, loaded: LoadedFile, found: Description, name: str | None) -> NewWorkflow:
    from flowctl.engine.registry import described

    if name is not None and not (name.strip() and name.isprintable() and len(name) <= 200 and "/" not in name):
        raise UsageError(f"{name[:60]!r} is not a name", "give at most 200 visible characters, without /")
    return described(loaded, found, name or found.name, invocation.namespace)


def _print_workflows(invocation: Invocation, found: list[Workflow]) -> None:
    if invocation.json:
        from flowctl.cli.json_shapes import dumps, workflow_shape

        invocation.terminal.data_json(dumps([workflow_shape(workflow) for workflow in found]))
    elif found:
        from flowctl.cli.render import show_workflows

        show_workflows(invocation.terminal, found)
    else:
        invocation.terminal.say("no workflows yet: flowctl workflows add FILE.py")


def _print_check(invocation: Invocation, path: str, found: list[Description], findings: list[Finding]) -> None:
    terminal = invocation.terminal
    if invocation.json:
        from flowctl.cli.json_shapes import dumps, finding_shape

        names = [{"workflow": each.name, "function": each.function, "parameters": each.parameters} for each in found]
        terminal.data_json(dumps({"file": path, "workflows": names, "problems": [*map(finding_shape, findings)]}))
        return
    for finding in findings:
        terminal.data(f"{finding.path}:{finding.line}: {finding.call}() in {finding.workflow}: {finding.fix}")
    names_text = ", ".join(each.name for each in found)
    terminal.say(
        f"{plural(len(findings), 'problem')} in {names_text}" if findings else f"{names_text}: no problems found"
    )
