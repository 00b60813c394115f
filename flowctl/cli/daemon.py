"""`flowctl daemon`: the process that schedules and works while nobody watches."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from flowctl.cli import background
from flowctl.cli.background import Work
from flowctl.cli.group import Command, Group
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import Conflict, NotFound, UsageError

if TYPE_CHECKING:
    from flowctl.engine.service import Service

F = TypeVar("F", bound=Callable[..., Any])
NOT_RUNNING = 3
_LINGERING = {
    True: "it goes on when you log out, and begins with the machine: lingering is on",
    False: "it ends when you log out; to keep it running: loginctl enable-linger",
    None: "it may end when you log out, nobody here can tell; to keep it running: loginctl enable-linger",
}

_MODULE = "flowctl.cli.daemon"
_MEMBERS = {
    "start": (f"{_MODULE}:start", "Start the daemon in the background"),
    "stop": (f"{_MODULE}:stop", "Stop the daemon; its runs go on when it starts again"),
    "restart": (f"{_MODULE}:restart", "Stop the daemon, then start it"),
    "status": (f"{_MODULE}:status", "Show how the daemon is"),
    "logs": (f"{_MODULE}:logs", "Print what the daemon has logged"),
    "run": (f"{_MODULE}:run", "Be the daemon, in the foreground"),
    "install": (f"{_MODULE}:install", "Have it started at each login"),
    "uninstall": (f"{_MODULE}:uninstall", "Undo install"),
}


@click.command(
    "daemon",
    cls=Group,
    members=_MEMBERS,
    examples=["flowctl daemon start", "flowctl daemon status", "flowctl daemon install"],
)
def daemon() -> None:
    """Run schedules and queued runs while nobody watches. There is one daemon for each database."""


def _work_options(function: F) -> F:
    options = (
        click.option(
            "--queue", "queues", metavar="NAME", multiple=True, help="Serve only this queue; may be repeated."
        ),
        click.option("--label", "labels", metavar="LABEL", multiple=True, help="What runs may require: gpu, ram=32."),
        click.option("--concurrency", type=click.IntRange(1, 1000), default=8, help="Runs at once.", show_default=True),
    )
    for option in reversed(options):
        function = option(function)
    return function


def _checked(queues: tuple[str, ...], labels: tuple[str, ...], concurrency: int, scheduler: bool = True) -> Work:
    from flowctl.sdk.options import NO_LABEL

    for option, names in (("--queue", queues), ("--label", labels)):
        for name in names:
            if not name.strip() or not name.isprintable() or len(name) > 200:
                raise UsageError(f"{option}: {name[:60]!r} is not a name")
    if NO_LABEL in labels:
        raise UsageError(f"--label: '{NO_LABEL}' is not a label: it stands for having none", "leave it out")
    return Work(scheduler, queues, labels, concurrency)


@click.command("start", cls=Command, examples=["flowctl daemon start", "flowctl daemon start --label gpu"])
@_work_options
@pass_invocation
def start(invocation: Invocation, /, **work: Any) -> int:
    """Start the daemon in the background, and return when it is ready or has said why not.

    It outlives the terminal. Exit code 3 when one runs already.
    """
    pid = background.start(invocation, _checked(**work).words)
    invocation.answer({"pid": pid, "state": "running"}, f"the daemon is running (pid {pid})")
    return 0


@click.command("stop", cls=Command, examples=["flowctl daemon stop", "flowctl daemon stop --now"])
@click.option("--now", is_flag=True, help="Do not wait for steps that run: they start again later.")
@pass_invocation
def stop(invocation: Invocation, /, now: bool) -> int:
    """Stop the daemon. Steps that run get 10 s to finish; what is left goes on when it starts again.

    Exit code 3 when none runs.
    """
    stopped = background.stop(invocation, at_once=now)
    if stopped is None:
        invocation.answer({"pid": None, "state": "not running"}, "no daemon runs")
        return NOT_RUNNING
    invocation.answer({"pid": stopped.pid, "state": "stopped"}, f"the daemon (pid {stopped.pid}) has stopped")
    return 0


@click.command("restart", cls=Command, examples=["flowctl daemon restart"])
@pass_invocation
def restart(invocation: Invocation, /) -> int:
    """Stop the daemon if one runs, then start it with the options that it had. For others: stop it, then start it."""
    stopped = background.stop(invocation, at_once=False)
    pid = background.start(invocation, stopped.words if stopped is not None else ())
    invocation.answer({"pid": pid, "state": "running"}, f"the daemon is running (pid {pid})")
    return 0


@click.command("status", cls=Command, examples=["flowctl daemon status", "flowctl daemon status --json"])
@pass_invocation
def status(invocation: Invocation, /) -> int:
    """Show how the daemon is. Exit code 3 when none runs."""
    from flowctl.engine.status import daemon_status

    facts = daemon_status(invocation.db, SYSTEM_CLOCK.now())
    if invocation.json:
        from flowctl.cli.json_shapes import daemon_shape, dumps

        invocation.terminal.data_json(dumps(daemon_shape(facts)))
    else:
        from flowctl.cli.render_daemon import show_daemon

        show_daemon(invocation.terminal, facts)
    return 0 if facts.pid is not None else NOT_RUNNING


@click.command("logs", cls=Command, examples=["flowctl daemon logs", "flowctl daemon logs -f -n 20"])
@click.option("--follow", "-f", is_flag=True, help="Go on as it grows, until ctrl-C.")
@click.option(
    "-n", "count", type=click.IntRange(0), default=100, help="So many lines of what is there.", show_default=True
)
@pass_invocation
def logs(invocation: Invocation, /, follow: bool, count: int) -> int:
    """Print what the daemon has logged. With --json, one object a line."""
    from flowctl.engine.journal import journal_path
    from flowctl.engine.service import UNIT, installed

    path = journal_path(os.path.realpath(invocation.db))
    if not path.exists():
        by_systemd = f"systemd keeps what it starts: journalctl --user -u {UNIT.removesuffix('.service')}"
        hint = by_systemd if installed(os.environ) else "flowctl daemon start writes one"
        raise NotFound(f"there is no log {path}", hint)
    _print_log(invocation, path, count, follow)
    return 0


def _print_log(invocation: Invocation, path: Path, count: int, follow: bool) -> None:
    import time

    stream = path.open(encoding="utf-8", errors="replace")
    lines = stream.readlines()
    for line in lines[max(0, len(lines) - count) :]:
        _print_line(invocation, line)
    while follow:
        line = stream.readline()
        if line:
            _print_line(invocation, line)
        elif path.exists() and os.fstat(stream.fileno()).st_ino != path.stat().st_ino:
            stream.close()
            stream = path.open(encoding="utf-8", errors="replace")
        else:
            time.sleep(0.1)
    stream.close()


def _print_line(invocation: Invocation, line: str) -> None:
    if invocation.json:
        from flowctl.cli.json_shapes import dumps

        at, _, text = line.rstrip("\n").partition(" ")
        invocation.terminal.json_line(dumps({"at": at, "text": text}))
    else:
        invocation.terminal.data(line.rstrip("\n"))


@click.command(
    "run",
    cls=Command,
    examples=["flowctl daemon run", "flowctl daemon run --no-scheduler --queue mail --label gpu"],
)
@_work_options
@click.option("--no-scheduler", is_flag=True, help="Only work on runs, beside the daemon; any number of these may run.")
@click.option("--ready-fd", type=int, hidden=True, help="Where flowctl daemon start hears of it.")
@click.option("--log", type=click.Path(path_type=Path), hidden=True, help="What standard error is.")
@pass_invocation
def run(invocation: Invocation, /, no_scheduler: bool, ready_fd: int | None, log: Path | None, **work: Any) -> int:
    """Be the daemon, in the foreground, as service managers want it; it logs to standard error.

    SIGTERM lets steps that run finish, for 10 s; a second one stops at once. SIGHUP reads the configuration again.
    """
    asked = _checked(**work, scheduler=not no_scheduler)
    return background.serve(invocation, asked, ready_fd, log)


@click.command("install", cls=Command, examples=["flowctl daemon install", "flowctl daemon install --print"])
@click.option("--print", "only_print", is_flag=True, help="Only print the file; change nothing.")
@pass_invocation
def install(invocation: Invocation, /, only_print: bool) -> int:
    """Write a systemd user unit (on macOS a launchd agent) and switch it on: the daemon runs from each login on."""
    from flowctl.engine.service import install as install_service
    from flowctl.engine.service import lingers

    made = _service(invocation)
    if only_print:
        invocation.answer({"path": str(made.path), "text": made.text}, made.text.rstrip("\n"))
        return 0
    _require_stopped(invocation, made)
    install_service(made)
    lingering = lingers(os.environ)
    invocation.answer({"path": str(made.path), "lingering": lingering}, f"installed: {made.path}")
    invocation.terminal.say(_LINGERING[lingering])
    return 0


def _require_stopped(invocation: Invocation, made: Service) -> None:
    """Refuse to install a service beside a daemon that is none: one of them could never start. Raises Conflict."""
    from flowctl.engine.daemon_lock import running_daemon

    facts = running_daemon(invocation.db)
    if facts is not None and not made.path.exists():
        raise Conflict(f"a daemon runs that is no service (pid {facts.pid})", "flowctl daemon stop, then install")


@click.command("uninstall", cls=Command, examples=["flowctl daemon uninstall"])
@pass_invocation
def uninstall(invocation: Invocation, /) -> int:
    """Switch the service off and remove its file, even when the service manager cannot be told."""
    from flowctl.engine.service import uninstall as uninstall_service

    made = _service(invocation)
    uninstall_service(made)
    invocation.answer({"path": str(made.path), "state": "removed"}, f"removed {made.path}")
    return 0


def _service(invocation: Invocation) -> Service:
    from flowctl.engine.interpreter import own_program
    from flowctl.engine.service import service

    return service(own_program(), invocation.db, os.environ)
