"""`flowctl events`: the audit log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from flowctl.cli.completing import complete_run
from flowctl.cli.group import Command
from flowctl.cli.instants import iso, local, parse_since
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.cli.references import find_run
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import UsageError
from flowctl.core.listing import EventFilter
from flowctl.core.model import Event

if TYPE_CHECKING:
    from flowctl.store import Store

POLL_S = 0.2
_MORE = 1_000  # lines at once, while following


@click.command(
    "events",
    cls=Command,
    examples=[
        "flowctl events 42",
        "flowctl events --since 1d --json",
        'flowctl events --subject "schedule nightly"',
        "flowctl events -f",
    ],
)
@click.argument("run", metavar="RUN", required=False, shell_complete=complete_run, help="Only about this run.")
@click.option("--subject", metavar="TEXT", help='Only about this: "schedule nightly", "queue mail", "workflow digest".')
@click.option("--since", metavar="TIME", help="Only since: 2h, 09:30, 2026-01-31.")
@click.option("--follow", "-f", is_flag=True, help="Go on printing, until ctrl-C.")
@click.option(
    "--limit", type=click.IntRange(1, 1_000_000), default=100, show_default=True, help="At most so many, the newest."
)
@pass_invocation
def events(invocation: Invocation, /, run: str | None, subject: str | None, follow: bool, **given: Any) -> int:
    """Print the audit log, the oldest first: when, what, and who did it.

    It has every change of a run's state, and every command that changed something. With --json -f, one object a line.
    """
    if run is not None and subject is not None:
        raise UsageError("a run and --subject exclude each other")
    if subject is not None and not subject.isprintable():
        raise UsageError(f"--subject: {subject!r} is not a subject")
    since = None if given["since"] is None else parse_since(given["since"], SYSTEM_CLOCK.now())
    with invocation.reading() as store:
        number = None if run is None else find_run(store, run, invocation.namespace).id
        wanted = EventFilter(invocation.namespace, number, subject, since, limit=given["limit"])
        found = store.events.find(wanted)
        if follow:
            for event in _following(store, wanted, found):
                _print_line(invocation, event)
        else:
            _print(invocation, found, given["limit"])
    return 0


def _following(store: Store, wanted: EventFilter, found: list[Event]) -> Iterator[Event]:
    last = 0
    while True:
        yield from found
        last = found[-1].id if found else last
        time.sleep(POLL_S)
        found = store.events.find(wanted._replace(after=last, limit=_MORE))


def _print(invocation: Invocation, found: list[Event], limit: int) -> None:
    if invocation.json:
        from flowctl.cli.json_shapes import dumps

        invocation.terminal.data_json(dumps([_shape(event) for event in found]))
        return
    if not found:
        invocation.terminal.say("no events")
        return
    from flowctl.cli.tables import Column, show_table

    columns = [Column("WHEN"), Column("SUBJECT"), Column("WHAT"), Column("WHO")]
    rows = [(local(event.at), subject_of(event), what_of(event), event.actor or "") for event in found]
    show_table(invocation.terminal, columns, rows)
    if len(found) == limit:
        invocation.terminal.say(f"the newest {limit}; more with --limit")


def _print_line(invocation: Invocation, event: Event) -> None:
    if invocation.json:
        from flowctl.cli.json_shapes import dumps

        invocation.terminal.json_line(dumps(_shape(event)))
        return
    from flowctl.core.text import safe_line

    fields = (local(event.at), subject_of(event), what_of(event), event.actor or "")
    invocation.terminal.data("  ".join(safe_line(field) for field in fields if field))


def _shape(event: Event) -> dict[str, Any]:
    return {
        "event": event.id,
        "at": iso(event.at),
        "run": event.run_id,
        "subject": subject_of(event),
        "state": event.state,
        "attempt": event.attempt,
        "epoch": event.epoch,
        "reason": event.reason,
        "actor": event.actor,
    }


def subject_of(event: Event) -> str:
    """Return what an event is about."""
    return f"run {event.run_id}" if event.subject is None else event.subject


def what_of(event: Event) -> str:
    """Return what happened."""
    return ": ".join(part for part in (event.state, event.reason) if part)
