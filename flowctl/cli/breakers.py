"""`flowctl breakers`: circuit breakers of steps, and closing one by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from flowctl.cli.group import Command, Group
from flowctl.cli.instants import iso, local, short
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.core.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from flowctl.core.breakers import Breaker

_MEMBERS = {
    "list": ("flowctl.cli.breakers:list_", "List breakers, and how each is"),
    "reset": ("flowctl.cli.breakers:reset", "Close a breaker, so that what waits for it goes on"),
}


@click.command(
    "breakers", cls=Group, members=_MEMBERS, examples=["flowctl breakers list", "flowctl breakers reset mail"]
)
def breakers() -> None:
    """See the circuit breakers of steps, and close one by hand."""


@click.command("list", cls=Command, examples=["flowctl breakers list", "flowctl breakers list --json"])
@pass_invocation
def list_(invocation: Invocation, /) -> int:
    """List the breakers that have seen a failure, and how each is."""
    now = SYSTEM_CLOCK.now()
    with invocation.reading() as store, store.reading():
        found = [(each, store.breakers.recent(each, now)) for each in store.breakers.all(invocation.namespace)]
    if invocation.json:
        from flowctl.cli.json_shapes import dumps

        invocation.terminal.data_json(dumps([_shape(breaker, recent) for breaker, recent in found]))
    elif found:
        from flowctl.cli.tables import Column, show_table

        names = ("BREAKER", "STATE", "FAILURES", "SINCE", "UNTIL")
        show_table(invocation.terminal, [Column(name) for name in names], [breaker_row(*each, now) for each in found])
    else:
        invocation.terminal.say("no step with a breaker has failed yet")
    return 0


@click.command("reset", cls=Command, examples=["flowctl breakers reset mail"])
@click.argument("name", metavar="NAME", help="A breaker.")
@pass_invocation
def reset(invocation: Invocation, /, name: str) -> int:
    """Close a breaker and forget its failures: the runs that wait for it go on."""
    from flowctl.engine.breakers import reset as close

    with invocation.writing() as store:
        breaker = close(store, invocation.namespace, name, SYSTEM_CLOCK.now())
    invocation.answer(_shape(breaker, 0), f"breaker {name} is closed")
    return 0


def breaker_row(breaker: Breaker, recent: int, now: int) -> tuple[str, ...]:
    """Return how a breaker is, as a person reads it."""
    until = local(breaker.opens_at) if breaker.holds(now) else "next attempt probes"
    return (
        breaker.name,
        breaker.state.replace("_", " "),
        f"{recent} of {breaker.failures} in {short(breaker.window_ms)}",
        local(breaker.changed_at),
        until if breaker.state == "open" else "",
    )


def _shape(breaker: Breaker, recent: int) -> dict[str, Any]:
    return {
        "breaker": breaker.name,
        "namespace": breaker.namespace,
        "state": breaker.state,
        "failures": recent,
        "opens_after": breaker.failures,
        "window_ms": breaker.window_ms,
        "cooldown_ms": breaker.cooldown_ms,
        "changed_at": iso(breaker.changed_at),
        "open_until": iso(breaker.opens_at) if breaker.state == "open" else None,
        "probe": None if breaker.probe_run is None else {"run": breaker.probe_run, "step": breaker.probe_step},
    }
