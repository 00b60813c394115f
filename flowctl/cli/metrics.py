"""`flowctl metrics` and `flowctl health`: what other programs watch."""

from __future__ import annotations

import os

import click

from flowctl.cli.group import Command
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import FlowctlError, NotFound, UsageError

_FOR_EVERYBODY = 0o644  # what collects the file runs as another user; it holds counts and names, no inputs or outputs


@click.command(
    "metrics",
    cls=Command,
    examples=["flowctl metrics", "flowctl metrics --textfile /var/lib/node_exporter/flowctl.prom"],
)
@click.option("--textfile", metavar="PATH", help="Write them to this file, for node_exporter. Others may read it.")
@pass_invocation
def metrics(invocation: Invocation, /, textfile: str | None) -> int:
    """Print counts of runs, steps, queues and slots in the text format of Prometheus.

    They are computed from the database at each call. With --textfile the file is replaced in one step; its mode is
    0644, because the collector is another user: it names workflows, queues and schedules.
    """
    from flowctl.engine.metrics import exposition

    if invocation.json:
        raise UsageError("metrics have one format, and it is not JSON", "flowctl ls --json, flowctl db status --json")
    with invocation.reading() as store:
        text = exposition(store, SYSTEM_CLOCK.now())
    if textfile is None:
        invocation.terminal.drawn(text)
    else:
        _replace(os.path.abspath(os.path.expanduser(textfile)), text)
    return 0


def _replace(path: str, text: str) -> None:
    """Give a file its new text in one step. Raises NotFound when its folder is not there."""
    from flowctl.store.files import disk_error

    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise NotFound(f"there is no folder {folder}", "Create it, or choose another.")
    draft = f"{path}.{os.getpid()}"
    try:
        fd = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        try:
            with open(fd, "w", encoding="utf-8") as file:
                os.fchmod(fd, _FOR_EVERYBODY)
                file.write(text)
            os.replace(draft, path)
        except BaseException:
            os.unlink(draft)
            raise
    except OSError as error:
        raise disk_error(error, f"write {path}") from None


@click.command("health", cls=Command, examples=["flowctl health", "flowctl health --json"])
@pass_invocation
def health(invocation: Invocation, /) -> int:
    """Tell whether scheduled work gets done.

    The database can be read, a daemon lives, the disk has room, no slot is a minute late, and no run has been ready for
    a minute while nothing runs. Exit code 0 when all is well, 1 when something is not.
    """
    from flowctl.engine.health import Vital, vitals

    try:
        with invocation.reading() as store:
            found = vitals(store, SYSTEM_CLOCK.now())
    except FlowctlError as error:
        found = [Vital("database", False, error.message)]
    well = all(vital.ok for vital in found)
    lines = [f"{vital.check}: {vital.message}" for vital in found if well or not vital.ok]
    shape = {"healthy": well, "checks": [vital._asdict() for vital in found]}
    invocation.answer(shape, "\n".join(lines))
    return 0 if well else 1
