"""Which runs a command means: the filters of `ls`, and of every command that takes several runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from flowctl.cli.instants import parse_since
from flowctl.cli.invocation import Invocation
from flowctl.cli.references import find_runs
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import NotFound, UsageError
from flowctl.core.listing import RunFilter
from flowctl.core.model import RUN_STATES, Run

if TYPE_CHECKING:
    from flowctl.store import Store

F = TypeVar("F", bound=Callable[..., Any])
LIMIT = 100_000  # of one command that changes runs


def parse_tags(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return the tags of `k=v` words. Raises UsageError."""
    tags: dict[str, str] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not name or not sign or not pair.isprintable():
            raise UsageError(f"{pair!r} is not a tag", "write --tag name=value")
        tags[name] = value
    return tags


def filter_options(function: F) -> F:
    """Give a command the options that filter runs."""
    options = (
        click.option(
            "--state",
            "states",
            multiple=True,
            type=click.Choice(RUN_STATES),
            help="Only in this state; may be repeated.",
        ),
        click.option("--workflow", metavar="NAME", help="Only of this workflow."),
        click.option("--schedule", metavar="NAME", help="Only made by this schedule."),
        click.option("--tag", "tags", multiple=True, metavar="K=V", help="Only with this tag; may be repeated."),
        click.option("--since", metavar="TIME", help="Only created since: 2h, 09:30, 2026-01-31."),
        click.option("--dead", is_flag=True, help="Only failures that were not retried, rerun, forked or dropped."),
    )
    for option in reversed(options):
        function = option(function)
    return function


class Filters(NamedTuple):
    """What the filter options were given."""

    states: tuple[Any, ...] = ()
    workflow: str | None = None
    schedule: str | None = None
    tags: tuple[str, ...] = ()
    since: str | None = None
    dead: bool = False

    def __bool__(self) -> bool:
        return bool(self.states or self.workflow or self.schedule or self.tags or self.since or self.dead)

    def resolve(self, namespace: str, **more: Any) -> RunFilter:
        """Return the filter record for the store. Raises UsageError."""
        since = parse_since(self.since, SYSTEM_CLOCK.now()) if self.since is not None else None
        _check_text(self.workflow, "--workflow")
        _check_text(self.schedule, "--schedule")
        return RunFilter(
            namespace=namespace,
            states=self.states,
            workflow=self.workflow,
            schedule=self.schedule,
            tags=parse_tags(self.tags),
            since=since,
            dead=self.dead,
            **more,
        )


class Chosen(NamedTuple):
    """The runs that a command means. `alone`: one was named, so that its answer is one object and not a list."""

    runs: list[Run]
    alone: bool = False


def selected_runs(invocation: Invocation, store: Store, references: tuple[str, ...], filters: Filters) -> Chosen:
    """Return the runs that a command means: those named, or those that the filters select. Raises FlowctlError."""
    if references and filters:
        raise UsageError("both runs and filters are given", "name runs, or select them by --state, --workflow, …")
    if references:
        return Chosen(find_runs(store, references, invocation.namespace), alone=len(references) == 1)
    if not filters:
        raise UsageError(
            "no run is named", "give a number, @last, @failed, NAME@last, or select with --workflow, --state, …"
        )
    found = store.runs.find(filters.resolve(invocation.namespace, limit=LIMIT))
    if not found:
        raise NotFound("no run is selected by these filters", "flowctl ls")
    return Chosen(found)


def _check_text(text: str | None, option: str) -> None:
    if text is not None and not text.isprintable():
        raise UsageError(f"{option}: {text!r} is not a name")
