"""`flowctl db`: the database file."""

from __future__ import annotations

import os

import click

from flowctl.cli.group import Command, Group
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.core.clock import SYSTEM_CLOCK

_MODULE = "flowctl.cli.db"
_MEMBERS = {
    "path": (f"{_MODULE}:path", "Print where the database is"),
    "status": (f"{_MODULE}:status", "Show size, version, and what is in it"),
    "check": (f"{_MODULE}:check", "Look for damage"),
    "backup": (f"{_MODULE}:backup", "Copy it to a new file, while it is in use"),
    "migrate": (f"{_MODULE}:migrate", "Bring an older file up to date"),
    "restore": ("flowctl.cli.restoring:restore", "Put a backup in its place"),
    "export": ("flowctl.cli.restoring:export", "Print runs with their steps as JSON lines"),
    "prune": ("flowctl.cli.prune:prune", "Delete runs that were kept long enough"),
    "reindex": (f"{_MODULE}:reindex", "Make the full-text index anew"),
    "retention": ("flowctl.cli.prune:retention", "Show or set how long runs are kept"),
}
DAMAGED = 65


@click.command("db", cls=Group, members=_MEMBERS, examples=["flowctl db status", "flowctl db backup before-upgrade.db"])
def db() -> None:
    """Look after the database file."""


@click.command("path", cls=Command, examples=["flowctl db path", "flowctl db path --json"])
@pass_invocation
def path(invocation: Invocation, /) -> int:
    """Print where the database is, whether it exists yet or not."""
    invocation.answer({"path": invocation.db, "exists": os.path.lexists(invocation.db)}, invocation.db)
    return 0


@click.command("status", cls=Command, examples=["flowctl db status", "flowctl db status --json"])
@pass_invocation
def status(invocation: Invocation, /) -> int:
    """Show size, version, how many runs are in which state, and the engines at work."""
    from flowctl.engine.claim import engine_alive

    with invocation.reading() as store:
        facts = store.status()
        engines = [
            {"pid": engine.pid, "kind": engine.kind, "alive": engine_alive(store.path, engine)}
            for engine in store.engines.running()
        ]
    if invocation.json:
        invocation.answer(facts | {"engines": engines}, "")
    else:
        from flowctl.cli.render import show_status

        show_status(invocation.terminal, facts, engines)
    return 0


@click.command("check", cls=Command, examples=["flowctl db check", "flowctl db check --full --json"])
@click.option("--full", is_flag=True, help="Read every page and index as well.")
@pass_invocation
def check(invocation: Invocation, /, full: bool) -> int:
    """Look for damage: pages, schema, checksums of what was recorded, and rules that hold between rows.

    Exit code 65 when something is wrong.
    """
    with invocation.reading() as store:
        findings = store.check(full, SYSTEM_CLOCK.now())
    problems = [{"check": each.check, "subject": each.subject, "message": each.message} for each in findings]
    lines = [f"{each.subject}: {each.message} ({each.check})" for each in findings]
    text = "\n".join(lines) if lines else f"{invocation.db}: no damage found"
    invocation.answer({"path": invocation.db, "ok": not problems, "problems": problems}, text)
    return DAMAGED if problems else 0


@click.command("backup", cls=Command, examples=["flowctl db backup", "flowctl db backup ~/flowctl-copy.db"])
@click.argument("file", metavar="FILE", required=False, help="The copy.  [default: beside the database, with the time]")
@pass_invocation
def backup(invocation: Invocation, /, file: str | None) -> int:
    """Copy the database to a new file, complete and private, while it is in use. A file is never overwritten."""
    from flowctl.cli.instants import iso

    stamp = (iso(SYSTEM_CLOCK.now()) or "").replace(":", "").replace("-", "")
    target = os.path.abspath(os.path.expanduser(file)) if file is not None else f"{invocation.db}.backup-{stamp}"
    with invocation.writing() as store:
        store.backup(target)
    invocation.answer({"path": target}, target)
    return 0


@click.command("migrate", cls=Command, examples=["flowctl db migrate", "flowctl --db old.db db migrate"])
@pass_invocation
def migrate(invocation: Invocation, /) -> int:
    """Bring a file of an older flowctl up to date. A backup beside it is made first."""
    with invocation.writing() as store:
        version = store.status()["user_version"]
    invocation.answer({"path": invocation.db, "version": version}, f"{invocation.db} is up to date, version {version}")
    return 0


@click.command("reindex", cls=Command, examples=["flowctl db reindex"])
@pass_invocation
def reindex(invocation: Invocation, /) -> int:
    """Make the full-text index of flowctl grep anew, a little at a time: others go on meanwhile.

    With `search = false` in config.toml it is emptied, and the daemon leaves it so.
    """
    from flowctl.core.config import load_config
    from flowctl.engine.indexing import clear, rebuild

    wanted = load_config(os.environ).search
    with invocation.writing() as store:
        if not wanted:
            clear(store, SYSTEM_CLOCK.now())
        else:
            for _ in rebuild(store, SYSTEM_CLOCK.now()):
                pass
        rows = store.search.count()
    text = f"{rows:,} rows are in the index" if wanted else "the index is empty: search is switched off in config.toml"
    invocation.answer({"path": invocation.db, "rows": rows}, text)
    return 0
