"""What a shell completes from the database: workflows, schedules and run numbers. It never fails, and never writes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from flowctl.cli.invocation import Invocation
    from flowctl.store import Store

RECENT = 20  # runs that are offered


def complete_target(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Offer registered workflows; without one, the shell's own files."""
    from click.shell_completion import CompletionItem

    def names(invocation: Invocation, store: Store) -> list[CompletionItem]:
        known = store.workflows.list(invocation.namespace)
        return [CompletionItem(each.name, help=each.doc.partition("\n")[0]) for each in known]

    found = [item for item in _ask(ctx, names) if item.value.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="file")]


def complete_run(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Offer the newest runs, @last and @failed."""
    from click.shell_completion import CompletionItem

    from flowctl.core.listing import RunFilter

    def numbers(invocation: Invocation, store: Store) -> list[CompletionItem]:
        runs = store.runs.find(RunFilter(namespace=invocation.namespace, limit=RECENT))
        return [CompletionItem(str(run.id), help=f"{run.workflow}, {run.state}") for run in runs]

    items = [*_ask(ctx, numbers), CompletionItem("@last"), CompletionItem("@failed")]
    return [item for item in items if item.value.startswith(incomplete)]


def complete_schedule(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Offer schedules."""
    from click.shell_completion import CompletionItem

    def names(invocation: Invocation, store: Store) -> list[CompletionItem]:
        known = store.schedules.all(invocation.namespace)
        return [CompletionItem(each.name, help=each.description) for each in known]

    return [item for item in _ask(ctx, names) if item.value.startswith(incomplete)]


def _ask(ctx: click.Context, question: Callable[[Invocation, Store], list[CompletionItem]]) -> list[CompletionItem]:
    from flowctl.cli.group import GLOBALS
    from flowctl.cli.invocation import resolve

    try:
        invocation = resolve(ctx.meta.get(GLOBALS, {}), os.environ)
        if not invocation.has_database():
            return []
        with invocation.reading() as store:
            return question(invocation, store)
    except Exception:  # noqa: BLE001 — a message in the middle of a command line helps nobody
        return []
