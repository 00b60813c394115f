"""The entry point: the root group, and what a person is told when something goes wrong."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Callable, Sequence

import click

from flowctl.cli import callers
from flowctl.cli.group import Group, set_up_version
from flowctl.core.errors import FlowctlError

_DAILY = (
    "run", "exec", "ls", "show", "logs", "wait", "why", "cancel", "pause", "resume", "retry", "rerun", "drop",
    "fork", "diff", "signal", "resolve", "grep", "sql", "next", "slots", "tui",
)  # fmt: skip
_OTHER = (
    "workflows", "check", "lineage", "signals", "events", "schedules", "crontab", "queues", "breakers", "secrets",
    "daemon", "notify", "db", "doctor", "metrics", "health", "dev", "init", "completion",
)  # fmt: skip
_MEMBERS = {
    "run": ("flowctl.cli.run:run", "Run a workflow now, here, with live progress"),
    "exec": ("flowctl.cli.exec:exec_", "Run a shell command as a recorded run"),
    "ls": ("flowctl.cli.ls:ls", "List runs"),
    "show": ("flowctl.cli.show:show", "Show a run and its steps, or one step"),
    "logs": ("flowctl.cli.logs:logs", "Print what a run printed and logged"),
    "wait": ("flowctl.cli.wait:wait", "Wait until runs have ended"),
    "why": ("flowctl.cli.why:why", "Say why a run is in its state, or a schedule did or did not fire"),
    "cancel": ("flowctl.cli.control:cancel", "Cancel runs"),
    "pause": ("flowctl.cli.control:pause", "Pause runs: what runs is finished, nothing new begins"),
    "resume": ("flowctl.cli.again:resume", "Continue paused or orphaned runs, here"),
    "retry": ("flowctl.cli.again:retry", "Let failed, cancelled or blocked runs go on"),
    "rerun": ("flowctl.cli.again:rerun", "Start new runs with the same input"),
    "drop": ("flowctl.cli.control:drop", "Mark failed runs as dealt with"),
    "fork": ("flowctl.cli.fork:fork", "Start a new run from a step of another, edited if need be"),
    "diff": ("flowctl.cli.diff:diff", "Show how two runs differ, step by step"),
    "signal": ("flowctl.cli.signals:signal", "Send a signal to runs that wait for it, or will"),
    "resolve": ("flowctl.cli.resolve:resolve", "Say what became of a step that a run is blocked by"),
    "grep": ("flowctl.cli.grep:grep", "Find a text in every input, output, error and log"),
    "sql": ("flowctl.cli.sql:sql", "Ask the database in SQL, read-only"),
    "next": ("flowctl.cli.slots:next_", "Print what is due next, by schedule or of a cron expression"),
    "slots": ("flowctl.cli.slots:slots_", "Print what became of each slot of a schedule, and why"),
    "tui": ("flowctl.tui.command:tui", "See runs, steps and schedules on a screen, and act on them"),
    "workflows": ("flowctl.cli.workflows:workflows", "Register, list and check workflow files"),
    "check": ("flowctl.cli.check:check", "Replay recorded runs against an edited file; nothing is executed"),
    "lineage": ("flowctl.cli.lineage:lineage", "Show where a run comes from, and what came of it"),
    "signals": ("flowctl.cli.signals:signals", "List the signals that were sent to a run"),
    "events": ("flowctl.cli.events:events", "Print the audit log: who did what, when"),
    "schedules": ("flowctl.cli.schedules:schedules", "Make, list and change schedules"),
    "crontab": ("flowctl.cli.crontab:crontab", "Make schedules of a crontab, and a crontab of schedules"),
    "queues": ("flowctl.cli.queues:queues", "List queues, and set their limits"),
    "breakers": ("flowctl.cli.breakers:breakers", "See and close circuit breakers"),
    "secrets": ("flowctl.cli.secrets:secrets", "List secrets and where they come from"),
    "daemon": ("flowctl.cli.daemon:daemon", "Run schedules and queued runs while nobody watches"),
    "notify": ("flowctl.cli.notify:notify", "Choose where you are told of failures"),
    "db": ("flowctl.cli.db:db", "Look after the database file"),
    "doctor": ("flowctl.cli.doctor:doctor", "Look for what keeps work from being done"),
    "metrics": ("flowctl.cli.metrics:metrics", "Print metrics for Prometheus"),
    "health": ("flowctl.cli.metrics:health", "Tell whether scheduled work gets done"),
    "dev": ("flowctl.cli.dev:dev", "Run a file again whenever it is saved, from the first step that changed"),
    "init": ("flowctl.cli.init:init", "Write a first workflow file into this folder"),
    "completion": ("flowctl.cli.completion:completion", "Print the completion script of a shell"),
}
_HELP = """Run workflows on this machine, durably: every step is recorded, and a run picks up where it stopped.

RUN is a number, @last, @failed, or NAME@last. Everything is kept in one SQLite file.
"""
_COMPLETE = "_FLOWCTL_COMPLETE"  # set by the completion scripts
_INTERNAL_HINT = "run it again with --debug, and report what it shows"


@click.command(
    cls=Group,
    name="flowctl",
    help=_HELP,
    members=_MEMBERS,
    sections={"Daily commands": _DAILY, "More commands": _OTHER},
    examples=[
        "flowctl init",
        "flowctl run hello.py name=World",
        "flowctl ls",
        "flowctl show @last",
        "flowctl resume @last",
    ],
)
def cli() -> None:
    """Choose a command."""


set_up_version(cli)


def main(args: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    atexit.register(gc.freeze)  # on the way out Python would look for cycles in all that was imported
    callers.umask = os.umask(0o077)
    _open_standard_descriptors()
    words = list(sys.argv[1:] if args is None else args)
    return _guarded(lambda: _run(words), words)


def _run(words: list[str]) -> int:
    instruction = os.environ.get(_COMPLETE)
    if instruction:
        from click.shell_completion import shell_complete

        return shell_complete(cli, {}, "flowctl", _COMPLETE, instruction)
    try:
        # Not cli.main(): that turns a broken pipe into exit code 1. A copy: the parser takes words out of its list.
        with cli.make_context("flowctl", list(words)) as context:
            code = cli.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    return code if isinstance(code, int) else 0


def _guarded(action: Callable[[], int], words: list[str]) -> int:
    """Turn whatever is raised into a sentence and an exit code."""
    try:
        code = action()
        _flush()
        return code
    except BrokenPipeError:
        _silence()
        return 0
    except FlowctlError as error:
        return _fail(words, error.exit_code, error.message, error.hint, error)
    except click.exceptions.NoArgsIsHelpError as error:
        return _print_help(error)
    except click.UsageError as error:
        message, _, hint = error.format_message().partition("\n")
        path = error.ctx.command_path if error.ctx else "flowctl"
        return _fail(words, 2, _sentence(message), hint or f"{path} --help", error)
    except click.ClickException as error:
        return _fail(words, 2, error.format_message(), "", error)
    except (click.Abort, KeyboardInterrupt) as error:
        return _fail(words, 130, "interrupted", "", error)
    except OSError as error:
        return _fail(words, *_of_system(error), error)
    except Exception as error:  # noqa: BLE001 — a person is never shown a traceback that they did not ask for
        return _fail(words, 1, f"flowctl itself failed: {type(error).__name__}: {error}", _INTERNAL_HINT, error)


def _of_system(error: OSError) -> tuple[int, str, str]:
    import errno

    where = f": {error.filename}" if error.filename else ""
    text = f"{error.strerror or error}{where}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG):
        return 74, f"the disk is full or failed: {text}", "free some space"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return 77, f"not permitted: {text}", ""
    return 1, f"the system refused: {text}", _INTERNAL_HINT


def _sentence(message: str) -> str:
    return message[:1].lower() + message[1:].rstrip(".")


def _fail(words: list[str], code: int, message: str, hint: str, error: BaseException) -> int:
    from flowctl.cli.json_shapes import dumps, error_shape
    from flowctl.cli.terminal import Terminal

    options = words[: words.index("--")] if "--" in words else words
    terminal = Terminal(color="never", quiet=False, plain=True)
    if "--debug" in options:
        import traceback

        terminal.warn("".join(traceback.format_exception(error)).rstrip("\n"))
    terminal.refuse(message, hint)
    if "--json" in options:
        try:
            terminal.data_json(dumps(error_shape(code, message, hint)))
        except BrokenPipeError:
            _silence()
    return code


def _print_help(error: click.exceptions.NoArgsIsHelpError) -> int:
    if sys.stderr is not None:
        sys.stderr.write(f"{error.format_message()}\n")
    return 2


def _open_standard_descriptors() -> None:
    """Make sure that descriptors 0, 1 and 2 exist: a database that became number 1 would be printed into."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def _silence() -> None:
    """Point stdout nowhere, so that Python does not complain about it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
