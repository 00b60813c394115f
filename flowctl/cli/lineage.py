"""`flowctl lineage`: where a run comes from, what came of it, and which output became which input."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from flowctl.cli.completing import complete_run
from flowctl.cli.group import Command
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.cli.references import find_run
from flowctl.cli.tables import Column, show_table
from flowctl.cli.terminal import Terminal, can_draw
from flowctl.cli.words import labelled
from flowctl.core.jsonpath import path_text
from flowctl.core.text import safe_line

if TYPE_CHECKING:
    from flowctl.engine.lineage import Branch, Feed

_COLUMNS = (Column("STEP"), Column("INPUT"), Column("FROM"), Column("OUTPUT"))
_LINES = {True: ("├─ ", "└─ ", "│  "), False: ("|- ", "`- ", "|  ")}


@click.command("lineage", cls=Command, examples=["flowctl lineage 42", "flowctl lineage @last --json"])
@click.argument("run", metavar="RUN", shell_complete=complete_run, help="A number, @last, @failed, or NAME@last.")
@pass_invocation
def lineage(invocation: Invocation, /, run: str) -> int:
    """Show the tree of forks, reruns, retries, children and failure handlers of a run, and what fed its steps.

    Which output became which input is read from the recorded values: equal ones are taken for the same.
    """
    from flowctl.engine.lineage import feeds_of, tree_of

    with invocation.reading() as store, store.reading():
        found = find_run(store, run, invocation.namespace)
        tree, feeds = tree_of(store, found), feeds_of(store, found)
    if invocation.json:
        from flowctl.cli.json_shapes import dumps

        shape = {"run": found.id, "tree": branch_shape(tree), "feeds": [feed_shape(feed) for feed in feeds]}
        invocation.terminal.data_json(dumps(shape))
        return 0
    for line in _tree_lines(tree, found.id):
        invocation.terminal.data(line)
    _show_feeds(invocation.terminal, found.id, feeds)
    return 0


def _tree_lines(branch: Branch, shown: int, before: str = "", inset: str = "") -> Iterator[str]:
    yield f"{before}{_headline(branch)}{'  (this one)' if branch.run.id == shown else ''}"
    fork, last, down = _LINES[can_draw(sys.stdout)]
    for below in branch.branches:
        is_last = below is branch.branches[-1]
        yield from _tree_lines(below, shown, inset + (last if is_last else fork), inset + ("   " if is_last else down))
    if branch.cut:
        yield f"{inset}{last}and more"


def _headline(branch: Branch) -> str:
    run, step = branch.run, branch.step
    relations = {
        "": "",
        "fork": f"fork before {step}" if step is not None else "fork from the beginning",
        "rerun": "rerun",
        "child": f"child of step {step}",
        "handler": "handles its failure",
    }
    attempt = f"attempt {run.attempt}" if run.attempt > 1 else ""
    parts = [f"run {run.id}", run.workflow, relations[branch.relation], labelled(run.state), attempt]
    return "  ".join(safe_line(part) for part in parts if part)


def _show_feeds(terminal: Terminal, number: int, feeds: Sequence[Feed]) -> None:
    if feeds:
        terminal.data(f"\nwhat fed the steps of run {number}")
        rows = [(feed.step, path_text(feed.path), feed.source, path_text(feed.source_path)) for feed in feeds]
        show_table(terminal, _COLUMNS, rows)


def branch_shape(branch: Branch) -> dict[str, Any]:
    """Return the shape of a run of the tree, with what came of it."""
    run = branch.run
    return {
        "run": run.id,
        "workflow": run.workflow,
        "state": run.state,
        "attempt": run.attempt,
        "relation": branch.relation or None,
        "step": branch.step,
        "runs": [branch_shape(below) for below in branch.branches],
    }


def feed_shape(feed: Feed) -> dict[str, Any]:
    """Return the shape of a value that was made before it became part of an input."""
    return {
        "step": feed.step,
        "path": path_text(feed.path),
        "from": feed.source,
        "from_path": path_text(feed.source_path),
    }
