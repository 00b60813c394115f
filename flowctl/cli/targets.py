"""TARGET as a person writes it, the code behind it, and the run that is made of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from flowctl.cli import callers
from flowctl.cli.instants import parse_duration, parse_instant
from flowctl.cli.invocation import Invocation
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import NotFound, UsageError

if TYPE_CHECKING:
    from flowctl.core.model import NewRun, Workflow
    from flowctl.engine.loading import BoundInput, Description
    from flowctl.engine.supervisor import Supervisor

F = TypeVar("F", bound=Callable[..., Any])
PRIORITIES = click.IntRange(-(2**31), 2**31 - 1)


class Target(NamedTuple):
    """A workflow: its file, its function (None: the only one), and what its registration says of where it runs."""

    path: str
    function: str | None
    python: str | None = None
    variables: dict[str, str] | None = None  # kept at its registration; those of the shell go before them


def find_target(invocation: Invocation, text: str) -> Target:
    """Return the workflow that a person means by FILE.py, FILE.py:FUNCTION, or a registered name."""
    if not text.isprintable() or not text:
        raise UsageError(f"{text!r} is not a target", "give FILE.py, FILE.py:FUNCTION, or a registered name")
    path, _, function = text.partition(".py:")
    if function:
        return Target(_existing(f"{path}.py"), function)
    if text.endswith(".py") or os.sep in text:
        return Target(_existing(text), None)
    workflow = find_registered(invocation, text)
    return Target(workflow.path, workflow.function, workflow.python, _captured(invocation, workflow))


def _captured(invocation: Invocation, workflow: Workflow) -> dict[str, str] | None:
    if workflow.environment is None:
        return None
    with invocation.reading() as store:
        return store.environments.get(workflow.environment)


def _existing(path: str) -> str:
    full = os.path.abspath(os.path.expanduser(path))
    if os.path.isdir(full):
        raise UsageError(f"{path} is a folder", "give a workflow file")
    if not os.path.exists(full):
        raise NotFound(f"there is no file {path}", _file_hint(full))
    return full


def _file_hint(path: str) -> str:
    import difflib

    try:
        names = [name for name in os.listdir(os.path.dirname(path)) if name.endswith(".py")]
    except OSError:
        names = []
    near = difflib.get_close_matches(os.path.basename(path), names, n=1)
    return f"did you mean {near[0]}?" if near else "flowctl init writes a first workflow file"


def find_registered(invocation: Invocation, name: str) -> Workflow:
    """Return the registered workflow of that name. Raises NotFound with a name that is close."""
    names: list[str] = []
    if invocation.has_database():
        with invocation.reading() as store:
            workflow = store.workflows.find(invocation.namespace, name)
            if workflow is not None:
                return workflow
            names = [known.name for known in store.workflows.list(invocation.namespace)]
    raise unknown_workflow(name, names, "flowctl workflows list; a file is named by its path: FILE.py")


def unknown_workflow(name: str, known: Iterable[str], hint: str = "flowctl workflows list") -> NotFound:
    """Return what is raised of a workflow that is not there: with a known name that is close, else the hint."""
    import difflib

    near = difflib.get_close_matches(name, known, n=1)
    shown = repr(name) if not name.isprintable() or not name else name
    return NotFound(f"there is no workflow {shown[:100]}", f"did you mean {near[0]}?" if near else hint)


def new_supervisor() -> Supervisor:
    """Return a supervisor with the settings of the configuration file and the caller's umask."""
    from flowctl.core.config import load_config
    from flowctl.engine.supervisor import Supervisor

    return Supervisor(load_config(os.environ), callers.umask)


class Submission(NamedTuple):
    """How a run is to be made: what `run` and `exec` have in common."""

    detach: bool = False
    at: str | None = None
    delay: str | None = None
    key: str | None = None
    queue: str | None = None
    priority: int | None = None
    timeout: str | None = None
    attempts: int | None = None
    tags: tuple[str, ...] = ()
    env_file: str | None = None

    def wake_at(self, now: int) -> int | None:
        """Return the instant before which the run does not start. Raises UsageError."""
        if self.at is not None and self.delay is not None:
            raise UsageError("--at and --in exclude each other")
        if self.at is not None:
            return parse_instant(self.at, "--at", now)
        return now + parse_duration(self.delay, "--in") if self.delay is not None else None

    def options(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return a workflow's options with what was asked on the command line. Raises UsageError."""
        asked: dict[str, Any] = {}
        if self.tags:
            from flowctl.cli.selecting import parse_tags

            asked["tags"] = {**options.get("tags", {}), **parse_tags(self.tags)}
        if self.timeout is not None:
            asked["timeout_ms"] = parse_duration(self.timeout, "--timeout")
            if asked["timeout_ms"] < 1:
                raise UsageError("--timeout: it must be longer than nothing", "such as 90s or 1h30m")
        for name, value in (("attempts", self.attempts), ("queue", self.queue), ("priority", self.priority)):
            if value is not None:
                asked[name] = value
        return options | asked

    def checked(self) -> Submission:
        """Return the same with an absolute path of the .env file. Raises UsageError for what makes no sense."""
        for option, text in (("--key", self.key), ("--queue", self.queue)):
            if text is not None and not (text.isprintable() and text.strip() and len(text) <= 1000):
                raise UsageError(f"{option}: {text[:60]!r} is not a name")
        self.options({})
        self.wake_at(SYSTEM_CLOCK.now())
        return self

    def full_env_file(self) -> str | None:
        """Return the absolute path of the .env file. Raises NotFound."""
        if self.env_file is None:
            return None
        full = os.path.abspath(os.path.expanduser(self.env_file))
        if not os.path.isfile(full):
            raise NotFound(f"there is no environment file {self.env_file}")
        return full


def submission_options(function: F) -> F:
    """Give a command the options that say how a run is to be made."""
    options = (
        click.option("--detach", "-d", is_flag=True, help="Only enqueue the run, and print its number."),
        click.option("--at", metavar="TIME", help="Not before: 09:30, 2026-01-31T09:30, …"),
        click.option("--in", "delay", metavar="DURATION", help="Not before so long has passed: 90s, 1h30m."),
        click.option("--key", metavar="TEXT", help="Idempotency key: the run that has it already is not made again."),
        click.option("--queue", metavar="NAME", help="Queue of the run."),
        click.option("--priority", type=PRIORITIES, help="Runs with a higher one start first.  [default: 0]"),
        click.option("--timeout", metavar="DURATION", help="Fail the run when it takes longer."),
        click.option("--attempts", type=click.IntRange(1, 1_000_000), help="Tries of the whole run.  [default: 1]"),
        click.option("--tag", "tags", multiple=True, metavar="K=V", help="Tag of the run; may be repeated."),
        click.option("--env-file", metavar="FILE", help=".env file with variables for the run."),
    )
    for option in reversed(options):
        function = option(function)
    return function


class Origin(NamedTuple):
    """Where a run comes from: the workflow, its code, and where it is to run."""

    workflow: Description
    path: str
    code: str
    python: str | None
    directory: str


def new_run(invocation: Invocation, origin: Origin, submission: Submission, given: BoundInput) -> NewRun:
    """Return the record of a run that is to be created."""
    from flowctl.core.model import NewRun

    options = submission.options(origin.workflow.options)
    options.pop("when", None)  # what a person starts begins at once
    return NewRun(
        workflow=origin.workflow.name,
        path=origin.path,
        function=origin.workflow.function,
        code=origin.code,
        directory=origin.directory,
        input=given.text,
        input_hash=given.hash,
        namespace=invocation.namespace,
        python=origin.python,
        env_file=submission.full_env_file(),
        key=submission.key,
        wake_at=submission.wake_at(SYSTEM_CLOCK.now()),
    ).with_options(options)


def working_directory() -> str:
    """Return the folder in which user code is to work: the current one."""
    try:
        return os.getcwd()
    except OSError:
        raise NotFound("the current folder does not exist any more", "cd to another one") from None
