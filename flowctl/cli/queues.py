"""`flowctl queues`: lanes with limits of their own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from flowctl.cli.group import Command, Group
from flowctl.cli.instants import parse_duration
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import UsageError
from flowctl.core.text import quoted

if TYPE_CHECKING:
    from flowctl.engine.queues import QueueView

_MODULE = "flowctl.cli.queues"
_MEMBERS = {
    "list": (f"{_MODULE}:list_", "List the queues: their limits, and what is in them"),
    "set": (f"{_MODULE}:set_", "Change limits of a queue, or pause it"),
}
_ATTRIBUTE = re.compile(r"workflow|schedule|(tags|input)\.[\w-]{1,100}")
_NONE = "none"
_MOST = 2**31 - 1


@click.command(
    "queues",
    cls=Group,
    members=_MEMBERS,
    examples=["flowctl queues list", "flowctl queues set mail --concurrency 2 --rate 10/60s"],
)
def queues() -> None:
    """List queues, and set their limits. A run names its queue with --queue; a queue without limits needs nothing."""


@click.command("list", cls=Command, examples=["flowctl queues list", "flowctl queues list --json"])
@pass_invocation
def list_(invocation: Invocation, /) -> int:
    """List every queue that has limits, or runs that are not final. QUEUED are those that could begin."""
    from flowctl.engine.queues import list_queues

    found: list[QueueView] = []
    if invocation.has_database():
        with invocation.reading() as store, store.reading():
            found = list_queues(store, invocation.namespace, SYSTEM_CLOCK.now())
    if invocation.json:
        from flowctl.cli.json_shapes import dumps, queue_shape

        invocation.terminal.data_json(dumps([queue_shape(view) for view in found]))
    elif found:
        _show(invocation, found)
    else:
        invocation.terminal.say("no queue has limits or runs: flowctl queues set NAME --concurrency N")
    return 0


@click.command(
    "set",
    cls=Command,
    examples=[
        "flowctl queues set mail --concurrency 2",
        "flowctl queues set api --rate 100/1h --key-limit input.host=1",
        "flowctl queues set mail --pause",
    ],
)
@click.argument("name", metavar="NAME", help="The queue.")
@click.option("--concurrency", metavar="N|none", help="So many runs at once.")
@click.option("--rate", metavar="N/PERIOD|none", help="So many runs begin within any such period: 10/60s, 100/1h.")
@click.option(
    "--key-limit",
    metavar="ATTRIBUTE=N|none",
    help="So many runs at once with an equal attribute: workflow, schedule, tags.NAME or input.NAME.",
)
@click.option("--pause", is_flag=True, help="Begin no run of it until it is resumed.")
@click.option("--resume", is_flag=True, help="Begin runs of it again.")
@pass_invocation
def set_(invocation: Invocation, /, name: str, pause: bool, resume: bool, **given: str | None) -> int:
    """Change limits of a queue, or pause it. Only what is given changes; runs that have begun go on.

    A run that sleeps or waits for another frees its place, and takes one again when it goes on. With --rate each time
    that an engine takes a run up counts.
    """
    from flowctl.engine.queues import change_queue

    if not (name.isprintable() and name.strip() and len(name) <= 1000):
        raise UsageError(f"{quoted(name)} is not the name of a queue")
    if name.strip().lower() == _NONE:
        raise UsageError(f"no queue is called {_NONE}: flowctl schedules update takes a queue away with that word")
    now = SYSTEM_CLOCK.now()
    changes = _changes(given["concurrency"], given["rate"], given["key_limit"])
    if pause and resume:
        raise UsageError("--pause and --resume exclude each other")
    if pause or resume:
        changes["paused_at"] = now if pause else None
    if not changes:
        raise UsageError("nothing is to change", f"flowctl queues set {name} --concurrency N; see --help")
    with invocation.writing(create=True) as store:
        view = change_queue(store, invocation.namespace, name, changes, now)
    if invocation.json:
        from flowctl.cli.json_shapes import dumps, queue_shape

        invocation.terminal.data_json(dumps(queue_shape(view)))
    else:
        _show(invocation, [view])
    return 0


def _changes(concurrency: str | None, rate: str | None, key_limit: str | None) -> dict[str, Any]:
    """Return the fields of Queue that the options change. Raises UsageError."""
    changes: dict[str, Any] = {}
    if concurrency is not None:
        changes["concurrency"] = None if concurrency == _NONE else _number(concurrency, "--concurrency")
    if rate is not None:
        changes |= {"rate": None, "rate_ms": None} if rate == _NONE else _rate(rate)
    if key_limit is not None:
        changes |= {"key": None, "key_limit": None} if key_limit == _NONE else _key_limit(key_limit)
    return changes


def _rate(text: str) -> dict[str, Any]:
    count, slash, period = text.partition("/")
    if not slash:
        raise UsageError(f"--rate: {quoted(text)} is not N/PERIOD", "such as 10/60s or 100/1h, or none")
    period_ms = parse_duration(period, "--rate")
    if period_ms < 1:
        raise UsageError("--rate: the period is too short", "such as 10/60s or 100/1h")
    return {"rate": _number(count, "--rate"), "rate_ms": period_ms}


def _key_limit(text: str) -> dict[str, Any]:
    key, equals, count = text.partition("=")
    if not equals or not _ATTRIBUTE.fullmatch(key):
        hint = "ATTRIBUTE is workflow, schedule, tags.NAME or input.NAME: input.host=1"
        raise UsageError(f"--key-limit: {quoted(text)} is not ATTRIBUTE=N", hint)
    return {"key": key, "key_limit": _number(count, "--key-limit")}


def _number(text: str, option: str) -> int:
    if not re.fullmatch(r"\d{1,10}", text, re.ASCII) or not 1 <= int(text) <= _MOST:
        raise UsageError(f"{option}: {quoted(text)} is not a number of runs", f"give a number from 1, or {_NONE}")
    return int(text)


def _show(invocation: Invocation, found: list[QueueView]) -> None:
    from flowctl.cli.render import show_queues

    show_queues(invocation.terminal, found)
