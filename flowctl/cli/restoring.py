"""`flowctl db restore` and `flowctl db export`: a file from its backup, and its runs for other programs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from flowctl.cli.control import confirm
from flowctl.cli.group import Command
from flowctl.cli.invocation import Invocation, actor, pass_invocation
from flowctl.cli.selecting import Filters, filter_options
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import Conflict

_PAGE = 50


@click.command(
    "restore", cls=Command, examples=["flowctl db restore before-upgrade.db", "flowctl db restore copy.db --yes"]
)
@click.argument("file", metavar="FILE", help="A backup, as flowctl db backup makes it.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@pass_invocation
def restore(invocation: Invocation, /, file: str, yes: bool) -> int:
    """Put a backup in the place of the database, when no daemon and no run works with it.

    The backup is checked first. The present file is kept beside it as .before-restore. Whatever was claimed before is
    not valid any more; runs that the backup has as running begin again.
    """
    from flowctl.store.restore import restore as restore_file

    _refuse_live_engines(invocation.db)
    if invocation.has_database():
        confirm(f"replace {invocation.db} by {file}", yes)
    refuse = partial(_refuse_live_engines, invocation.db)
    done = restore_file(invocation.db, file, refuse, SYSTEM_CLOCK.now(), actor())
    if invocation.json:
        from flowctl.cli.json_shapes import dumps

        invocation.terminal.data_json(dumps(done._asdict()))
    else:
        kept = "" if done.kept_as is None else f"; the file before it is {done.kept_as}"
        invocation.terminal.say(f"restored {done.runs:,} runs to {done.path}{kept}")
    return 0


def _refuse_live_engines(path: str) -> None:
    """Refuse while any engine holds its lock, whatever the file says: it may be damaged."""
    from flowctl.engine.doctor import is_locked
    from flowctl.store.files import canonical

    locks = Path(f"{canonical(path)}-engines").glob("*.lock")
    if any(is_locked(str(lock)) for lock in locks):
        raise Conflict(f"an engine works with {path}", "Stop it first: flowctl daemon stop, and end flowctl run.")


@click.command(
    "export", cls=Command, examples=["flowctl db export > runs.jsonl", "flowctl db export --workflow digest --since 7d"]
)
@filter_options
@pass_invocation
def export(invocation: Invocation, /, **given: Any) -> int:
    """Print runs with their steps as JSON lines, one run a line, the newest first, as flowctl show --json prints them.

    Without a filter all runs of the namespace are printed.
    """
    from flowctl.cli.show import run_json

    filters, before = Filters(**given), None
    with invocation.reading() as store:
        while page := store.runs.find(filters.resolve(invocation.namespace, before=before, limit=_PAGE)):
            for run in page:
                with store.reading():
                    line = run_json(store, store.runs.get(run.id))
                invocation.terminal.json_line(line)
            before = page[-1].id
    return 0
