"""What `schedules add` and `schedules update` are given, and the record of a schedule that is made of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from flowctl.cli.arguments import parse_arguments, read_input
from flowctl.cli.group import Command
from flowctl.cli.instants import parse_duration, parse_instant
from flowctl.cli.invocation import Invocation
from flowctl.cli.run import absolute_python
from flowctl.cli.targets import PRIORITIES, Submission, find_registered, new_supervisor, working_directory
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import NotFound, UsageError
from flowctl.core.model import NewSchedule, Schedule, Workflow
from flowctl.core.text import quoted

F = TypeVar("F", bound=Callable[..., Any])
NONE = "none"  # takes away what a schedule has
_AFTER = "flowctl.after"  # where a click context keeps the words that stand after --

_OPTIONS = (
    click.option("--workflow", metavar="NAME", help="Registered workflow to run."),
    click.option("--cron", metavar="EXPR", help="Due by a cron expression: '30 2 * * *', @daily, @reboot."),
    click.option("--every", metavar="DURATION", help="Due on a fixed grid: 10m, 1h30m, 1d."),
    click.option("--once", metavar="TIME", help="Due at one time: 2026-01-31T09:30, 09:30."),
    click.option(
        "--on-change", multiple=True, metavar="GLOB", help="Due when such a file changes; repeatable, in quotes."
    ),
    click.option(
        "--debounce", metavar="DURATION", help="With --on-change: once they stand still so long.  [default: 2s]"
    ),
    click.option("--tz", "zone", metavar="ZONE", help="Time zone: Europe/Berlin.  [default: this machine's]"),
    click.option("--start-at", metavar="TIME|none", help="Not due before."),
    click.option("--end-at", metavar="TIME|none", help="Not due after."),
    click.option("--jitter", metavar="DURATION", help="Start up to so much later, always by the same."),
    click.option(
        "--catch-up",
        type=click.Choice(["latest", "skip", "all"]),
        help="Of slots that were missed, run the newest, none, or all.  [default: latest]",
    ),
    click.option(
        "--cap", type=click.IntRange(1, 100_000), help="With --catch-up all: the newest so many.  [default: 100]"
    ),
    click.option("--window", metavar="DURATION|none", help="Never run a slot that is later than this."),
    click.option(
        "--overlap",
        type=click.Choice(["skip", "queue", "allow", "replace"]),
        help="While an earlier run is active: skip the slot, queue one, allow both, replace it.  [default: skip]",
    ),
    click.option("--pause-after", metavar="N|none", help="Pause after so many failed runs in a row."),
    click.option("--input", "input_source", metavar="JSON|@FILE|-", help="All parameters, as a JSON object."),
    click.option("--queue", metavar="NAME|none", help="Queue of its runs."),
    click.option("--priority", type=PRIORITIES, help="Runs with a higher one start first.  [default: 0]"),
    click.option("--tag", "tags", multiple=True, metavar="K=V|none", help="Tag of its runs; may be repeated."),
    click.option("--timeout", metavar="DURATION|none", help="Fail a run when it takes longer."),
    click.option("--attempts", type=click.IntRange(1, 1_000_000), help="Tries of a whole run.  [default: 1]"),
    click.option(
        "--requires", multiple=True, metavar="LABEL|none", help="Only where a daemon has this label; repeatable."
    ),
    click.option(
        "--when",
        multiple=True,
        metavar="CONDITION|none",
        help='Hold its runs until it is true: online, idle (10m), cmd("…"), …; repeatable.',
    ),
    click.option("--description", metavar="TEXT", help="What it is for."),
    click.option("--env", "env_names", multiple=True, metavar="NAME", help="Keep this variable for its runs."),
    click.option("--python", metavar="PATH|none", help="Interpreter for the workflow's code."),
    click.option("--env-file", metavar="FILE|none", help=".env file with variables for its runs."),
    click.option("--shell", is_flag=True, help="COMMAND is one text for the shell: pipes, variables, patterns."),
)


class ScheduleCommand(Command):
    """A command that tells a schedule's command, which stands after --, from parameters of its workflow."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Note the words after --, which click does not tell apart."""
        ctx.meta[_AFTER] = tuple(args[args.index("--") + 1 :]) if "--" in args else ()
        return super().parse_args(ctx, args)


def schedule_options(function: F) -> F:
    """Give a command the options that say what a schedule is."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@dataclass(frozen=True, slots=True)
class ScheduleOptions:
    """What the options of `schedule_options` were given; what was not is None or empty."""

    workflow: str | None = None
    cron: str | None = None
    every: str | None = None
    once: str | None = None
    on_change: tuple[str, ...] = ()
    debounce: str | None = None
    zone: str | None = None
    start_at: str | None = None
    end_at: str | None = None
    jitter: str | None = None
    catch_up: Any = None
    cap: int | None = None
    window: str | None = None
    overlap: Any = None
    pause_after: str | None = None
    input_source: str | None = None
    queue: str | None = None
    priority: int | None = None
    tags: tuple[str, ...] = ()
    timeout: str | None = None
    attempts: int | None = None
    requires: tuple[str, ...] = ()
    when: tuple[str, ...] = ()
    description: str | None = None
    env_names: tuple[str, ...] = ()
    python: str | None = None
    env_file: str | None = None
    shell: bool = False

    def changes(self, zone: str = "") -> dict[str, Any]:
        """Return the fields of a schedule of a zone that are given, without what it runs. Raises UsageError."""
        zone = zone if self.zone is None else self.zone
        found = self._rhythm(zone)
        plain = {
            "zone": self.zone,
            "catch_up": self.catch_up,
            "catch_up_cap": self.cap,
            "overlap": self.overlap,
            "description": self.description,
            "debounce_ms": None if self.debounce is None else parse_duration(self.debounce, "--debounce"),
            "jitter_ms": None if self.jitter is None else parse_duration(self.jitter, "--jitter"),
        }
        found |= {name: value for name, value in plain.items() if value is not None}
        now = SYSTEM_CLOCK.now()
        removable: tuple[tuple[str, str | None, Callable[[str], Any]], ...] = (
            ("python", self.python, _interpreter),
            ("env_file", self.env_file, _env_file),
            ("start_at", self.start_at, lambda text: parse_instant(text, "--start-at", now, zone)),
            ("end_at", self.end_at, lambda text: parse_instant(text, "--end-at", now, zone)),
            ("window_ms", self.window, lambda text: _positive(parse_duration(text, "--window"), "--window")),
            ("pause_after", self.pause_after, _count),
        )
        found |= {name: None if text == NONE else read(text) for name, text, read in removable if text is not None}
        return found

    def check_fit(self, kind: str, catch_up: str) -> None:
        """Refuse a debounce or a cap for what has none. Raises UsageError."""
        if self.debounce is not None and kind != "change":
            raise UsageError("--debounce is for --on-change", f"it is due by {kind}")
        if self.cap is not None and catch_up != "all":
            raise UsageError("--cap is for --catch-up all", f"give --catch-up all; now it is {catch_up}")

    def options(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return what its runs ask, with what was asked here on top and what was taken away left out.

        Raises UsageError.
        """
        submission = Submission(
            queue=_named(self.queue),
            priority=self.priority,
            timeout=_named(self.timeout),
            attempts=self.attempts,
            tags=_several(self.tags, "--tag"),
        )
        asked = submission.checked().options({})
        if requires := _several(self.requires, "--requires"):
            asked["requires"] = list(dict.fromkeys(map(_label, requires)))
        if when := _several(self.when, "--when"):
            asked["when"] = _conditions(when)
        removable = {
            "queue": (self.queue,),
            "timeout_ms": (self.timeout,),
            "tags": self.tags,
            "requires": self.requires,
            "when": self.when,
        }
        return {name: value for name, value in given.items() if removable.get(name) != (NONE,)} | asked

    def _rhythm(self, zone: str) -> dict[str, Any]:
        given = [(kind, text) for kind in ("cron", "every", "once") if (text := getattr(self, kind)) is not None]
        if self.on_change:
            given.append(("change", "\n".join(map(_full_pattern, self.on_change))))
        if len(given) > 1:
            raise UsageError("--cron, --every, --once and --on-change exclude each other")
        if not given:
            return {}
        kind, text = given[0]
        return {"kind": kind, "expression": _moment(text, zone) if kind == "once" else text}


def _full_pattern(pattern: str) -> str:
    """Return a pattern of files as it is everywhere, not only in this folder."""
    return os.path.normpath(os.path.join(working_directory(), os.path.expanduser(pattern))) if pattern else ""


def _conditions(texts: tuple[str, ...]) -> list[str]:
    from flowctl.sdk.conditions import conditions

    try:
        return list(conditions(texts))
    except ValueError as error:
        raise UsageError(f"--when: {error}", "--when none takes all conditions away") from None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A schedule that a person wants, and the variables that are captured for it: None for none."""

    schedule: NewSchedule
    environment: dict[str, str] | None = None


def new_schedule(invocation: Invocation, name: str, words: tuple[str, ...], options: ScheduleOptions) -> Wanted:
    """Return the schedule that `add` is to make. Raises UsageError, NotFound."""
    changes = options.changes()
    if "kind" not in changes:
        raise UsageError("nothing says when it is due", "give --cron, --every, --once or --on-change")
    options.check_fit(changes["kind"], changes.get("catch_up", "latest"))
    check_name(name)
    if options.workflow is None:
        target = _command_fields(words, options)
        environment: dict[str, str] | None = _captured(options, {})
    else:
        workflow = find_registered(invocation, options.workflow)
        target = _workflow_fields(workflow, words, options)
        environment = _captured(options, _kept(invocation, workflow.environment)) if options.env_names else None
    fields: dict[str, Any] = {"options": options.options({}), **target, **changes}
    return Wanted(NewSchedule(name=name, namespace=invocation.namespace, **fields), environment)


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a schedule. Raises UsageError."""
    if not (name.strip() and name.isprintable() and len(name) <= 200 and "/" not in name and not name.startswith("@")):
        raise UsageError(
            f"{name[:60]!r} is not a name", "give at most 200 visible characters, without /, and no @ in front"
        )
    if name.isdecimal():
        raise UsageError(f"{name} is the number of a run", "a name of a schedule has a letter in it")


def changed_schedule(invocation: Invocation, old: Schedule, words: tuple[str, ...], options: ScheduleOptions) -> Wanted:
    """Return what `update` makes of a schedule. Raises UsageError, NotFound."""
    changes = options.changes(old.zone) | {"options": options.options(old.options)}
    options.check_fit(changes.get("kind", old.kind), changes.get("catch_up", old.catch_up))
    environment = None
    if words and options.workflow is None and old.workflow is None:
        changes |= _command_fields(words, options)
    elif options.workflow is not None or words or options.input_source is not None:
        chosen = options.workflow or old.workflow
        if chosen is None:
            raise UsageError("--input is for a workflow", "give the command anew after --")
        changes |= _workflow_fields(find_registered(invocation, chosen), words, options)
    if options.env_names:
        environment = _captured(options, _kept_by(invocation, old, changes.get("workflow", old.workflow)))
    new = NewSchedule(**{name: getattr(old, name) for name in NewSchedule._fields})
    return Wanted(new._replace(**changes), environment)


def _command_fields(words: tuple[str, ...], options: ScheduleOptions) -> dict[str, Any]:
    from flowctl.cli.exec import command_input

    if not words:
        raise UsageError("nothing says what it runs", "give --workflow NAME, or a command after --")
    if words != click.get_current_context().meta[_AFTER]:
        raise UsageError(
            f"{quoted(words[0])} is neither after -- nor for a workflow", "give --workflow NAME, or a command after --"
        )
    if options.input_source is not None:
        raise UsageError("--input is for a workflow", "a command gets its arguments after --")
    return {"input": command_input(words, options.shell), "directory": working_directory(), "workflow": None}


def _workflow_fields(workflow: Workflow, words: tuple[str, ...], options: ScheduleOptions) -> dict[str, Any]:
    """Return what a schedule of a workflow runs, its input checked by the workflow itself."""
    from flowctl.engine.loading import load_file
    from flowctl.engine.supervisor import CodeTarget

    if options.shell:
        raise UsageError("--shell is for a command", "leave out --workflow, and give the command after --")
    source = options.input_source
    arguments = parse_arguments(words, None if source is None else read_input(source))
    python = absolute_python(_named(options.python)) or workflow.python
    env_file = _env_file(_named(options.env_file))
    supervisor = new_supervisor()
    try:
        loaded = load_file(supervisor, CodeTarget(workflow.path, workflow.directory, python, env_file))
        bound = loaded.bind(loaded.choose(workflow.function), arguments.texts, arguments.object_text)
    finally:
        supervisor.close()
    return {"input": bound.text, "directory": workflow.directory, "workflow": workflow.name}


def _captured(options: ScheduleOptions, kept: dict[str, str]) -> dict[str, str]:
    from flowctl.engine.environment import captured_environment

    return kept | captured_environment(os.environ, options.env_names)


def _kept_by(invocation: Invocation, old: Schedule, workflow: str | None) -> dict[str, str]:
    """Return the variables that stay when a schedule is to have others: its own, else those of its workflow."""
    if workflow == old.workflow and old.environment is not None:
        return _kept(invocation, old.environment)
    return {} if workflow is None else _kept(invocation, find_registered(invocation, workflow).environment)


def _kept(invocation: Invocation, digest: str | None) -> dict[str, str]:
    """Return variables that were captured: those of a schedule stand in the place of its workflow's."""
    if digest is None:
        return {}
    with invocation.reading() as store:
        return store.environments.get(digest)


def _moment(text: str, zone: str) -> str:
    """Return the instant of --once: a time of day means its next occurrence in the zone."""
    return text if "-" in text else str(parse_instant(text, "--once", SYSTEM_CLOCK.now(), zone))


def _named(text: str | None) -> str | None:
    """Return what an option names, None when it takes something away."""
    return None if text == NONE else text


def _several(words: tuple[str, ...], option: str) -> tuple[str, ...]:
    """Return what an option names that may be repeated, nothing when it takes everything away. Raises UsageError."""
    if NONE in words and len(words) > 1:
        raise UsageError(f"{option}: {NONE} stands alone", f"{option} {NONE} takes all away; give it, or the others")
    return () if words == (NONE,) else words


def _env_file(name: str | None) -> str | None:
    return Submission(env_file=name).full_env_file()


def _interpreter(python: str) -> str | None:
    """Return --python as it is kept. Raises NotFound."""
    if shutil.which(os.path.expanduser(python)) is None:
        raise NotFound(f"there is no program {quoted(python)} (--python)", "name an interpreter: --python PATH")
    return absolute_python(python)


def _positive(amount: int, option: str) -> int:
    if amount < 1:
        raise UsageError(f"{option}: it must be longer than nothing", f"{option} {NONE} takes the limit away")
    return amount


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= 1_000_000):
        raise UsageError(f"--pause-after: {text[:60]!r} is not a number of failures", "give such as 3, or none")
    return int(text[:9])


def _label(text: str) -> str:
    if not (text.strip() and text.isprintable() and len(text) <= 200):
        raise UsageError(f"--requires: {text[:60]!r} is not a label", "give such as gpu or ram=32")
    return text
