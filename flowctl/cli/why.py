"""`flowctl why`: one sentence about a run or a schedule, and the facts that it rests on."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from flowctl.cli.completing import complete_run
from flowctl.cli.group import Command
from flowctl.cli.instants import iso, parse_instant
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.cli.references import find_run
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import NotFound, UsageError

if TYPE_CHECKING:
    from flowctl.engine.why import Answer
    from flowctl.store import Store

_DAY_MS = timedelta(days=1) // timedelta(milliseconds=1)
_TIME_OF_DAY = re.compile(r"[\d:]{4,8}", re.ASCII)


@click.command(
    "why", cls=Command, examples=["flowctl why 42", "flowctl why @last --json", "flowctl why nightly --at 03:00"]
)
@click.argument(
    "subject", metavar="RUN|SCHEDULE", shell_complete=complete_run, help="A run, or the name of a schedule."
)
@click.option("--at", metavar="TIME", help="The slot of a schedule that was due then: 03:00, 2026-01-31T03:00.")
@pass_invocation
def why(invocation: Invocation, /, subject: str, at: str | None) -> int:
    """Say in one sentence why a run is in its state, or why a schedule did or did not make a run, and what helps."""
    now = SYSTEM_CLOCK.now()
    with invocation.reading() as store, store.reading():
        answer = _answer(store, invocation.namespace, subject, at, now)
    if invocation.json:
        from flowctl.cli.json_shapes import dumps

        evidence = _with_times(answer.evidence) | {"commands": list(answer.commands)}
        shape = {"subject": answer.subject, "sentence": answer.sentence, "evidence": evidence}
        invocation.terminal.data_json(dumps(shape))
        return 0
    invocation.terminal.prose(answer.sentence)
    for command in answer.commands:
        invocation.terminal.say(f"  {command}")
    return 0


def _answer(store: Store, namespace: str, subject: str, at: str | None, now: int) -> Answer:
    from flowctl.engine.why import why_run

    if subject.isdecimal() or "@" in subject:
        if at is not None:
            raise UsageError("--at asks for a slot, and a run has none", f"flowctl why {subject}")
        return why_run(store, find_run(store, subject, namespace), now)
    schedule = store.schedules.find(namespace, subject) if subject.isprintable() else None
    if schedule is None:
        shown = subject if subject.isprintable() else repr(subject)
        raise NotFound(f"there is no schedule {shown[:100]}", "give a run's number, @last, NAME@last, or a schedule")
    from flowctl.engine.why_schedule import why_schedule

    return why_schedule(store, schedule, now, None if at is None else _moment(at, now, schedule.zone))


def _moment(text: str, now: int, zone: str) -> int:
    """Return the instant that is meant by the clock of a zone; a time of day is its latest occurrence."""
    instant = parse_instant(text, "--at", now, zone)
    return instant - _DAY_MS if _TIME_OF_DAY.fullmatch(text) and instant > now else instant


def _with_times(value: Any) -> Any:
    """Return facts with their instants as ISO-8601 text."""
    if isinstance(value, list):
        return [_with_times(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {name: iso(each) if name.endswith("_at") else _with_times(each) for name, each in value.items()}
