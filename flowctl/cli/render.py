"""How runs, steps, workflows and the database look to a person."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flowctl.cli.instants import local, short
from flowctl.cli.tables import Cell, Column, Row, show_table, state_cell
from flowctl.cli.terminal import Terminal
from flowctl.cli.words import labelled
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.model import HELD_AT

if TYPE_CHECKING:
    from flowctl.core.model import Queue, Run, Workflow
    from flowctl.core.signals import Signal
    from flowctl.engine.queues import QueueView

_RUN_COLUMNS = (
    Column("RUN", right=True),
    Column("STATE"),
    Column("WORKFLOW"),
    Column("CREATED"),
    Column("DURATION", right=True),
    Column("REASON", whole=False),
)
_SIGNAL_COLUMNS = (
    Column("SIGNAL"),
    Column("SENT"),
    Column("BY"),
    Column("TAKEN BY"),
    Column("TAKEN"),
    Column("VALUE", whole=False),
)
_QUEUE_COLUMNS = (
    Column("QUEUE"),
    Column("RUNNING", right=True),
    Column("QUEUED", right=True),
    Column("OLDEST", right=True),
    Column("LIMITS", whole=False),
)
_WORKFLOW_COLUMNS = (Column("WORKFLOW"), Column("FILE"), Column("PARAMETERS"), Column("DOES", whole=False))


def show_runs(terminal: Terminal, runs: Sequence[Run], reasons: Mapping[int, str | None]) -> None:
    """Print the table of runs."""
    show_table(terminal, _RUN_COLUMNS, [_run_row(run, reasons.get(run.id)) for run in runs])


def _run_row(run: Run, reason: str | None) -> Row:
    return (
        str(run.id),
        state_cell(run.state),
        run.workflow,
        local(run.created_at),
        short(run_duration(run)),
        Cell(note(run, reason), "bright_black" if run.state != "failed" else ""),
    )


def run_duration(run: Run) -> int | None:
    """Return how long a run took, or has taken until now, in milliseconds."""
    if run.started_at is None:
        return None
    if run.finished_at is None and run.state != "running":
        return None
    return (run.finished_at or SYSTEM_CLOCK.now()) - run.started_at


def note(run: Run, reason: str | None) -> str:
    """Return the reason of a run's state, and when it goes on."""
    if run.wake_at == HELD_AT:
        wakes = "held"
    else:
        waits = run.wake_at is not None and run.state in ("sleeping", "queued")
        wakes = f"until {local(run.wake_at)}" if waits else ""
    return ", ".join(text for text in (reason, wakes) if text)


def show_signals(terminal: Terminal, signals: Iterable[Signal]) -> None:
    """Print the table of the signals of a run."""
    rows = [
        (each.name, local(each.sent_at), each.sender, each.taken_by or "", local(each.taken_at), each.value)
        for each in signals
    ]
    show_table(terminal, _SIGNAL_COLUMNS, rows)


def show_workflows(terminal: Terminal, workflows: Iterable[Workflow]) -> None:
    """Print the table of registered workflows."""
    found = list(workflows)
    rows = [
        (
            workflow.name,
            f"{workflow.path}:{workflow.function}",
            parameters_text(workflow.parameters),
            first_line(workflow.doc),
        )
        for workflow in found
    ]
    show_table(terminal, _WORKFLOW_COLUMNS, rows)
    for workflow in found:
        if workflow.kept_because is not None:
            terminal.warn(f"{workflow.name} keeps its last good version: {workflow.kept_because}")


def show_queues(terminal: Terminal, views: Iterable[QueueView]) -> None:
    """Print the table of queues."""
    now = SYSTEM_CLOCK.now()
    rows = [
        (
            view.queue.name,
            str(view.running),
            str(view.queued),
            "" if view.oldest_at is None else short(now - view.oldest_at),
            limits_text(view.queue),
        )
        for view in views
    ]
    show_table(terminal, _QUEUE_COLUMNS, rows)


def limits_text(queue: Queue) -> str:
    """Return the limits of a queue in short."""
    limits = [
        "paused" if queue.paused_at is not None else "",
        f"{queue.concurrency} at once" if queue.concurrency is not None else "",
        f"{queue.rate} in {short(queue.rate_ms)}" if queue.rate is not None else "",
        f"{queue.key_limit} at once for each {queue.key}" if queue.key is not None else "",
    ]
    return ", ".join(filter(None, limits))


def first_line(text: str) -> str:
    """Return the first line of a docstring."""
    return text.strip().partition("\n")[0]


def parameters_text(schema: Mapping[str, Any]) -> str:
    """Return the parameters of a workflow in short: those that may be left out in brackets."""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return ""
    required = schema.get("required") or []
    return " ".join(name if name in required else f"[{name}]" for name in properties)


def show_workflow(terminal: Terminal, workflow: Workflow) -> None:
    """Print one registered workflow."""
    facts = {
        "workflow": workflow.name,
        "file": f"{workflow.path}:{workflow.function}",
        "does": workflow.doc.strip(),
        "parameters": json.dumps(workflow.parameters, indent=2, ensure_ascii=False),
        "options": json.dumps(workflow.options, ensure_ascii=False) if workflow.options else "",
        "python": workflow.python or "",
        "added": local(workflow.added_at),
        "code": workflow.code[:12],
        "kept": workflow.kept_because or "",
    }
    for name, value in facts.items():
        if value:
            terminal.data(f"{name:<11} " + value.replace("\n", f"\n{'':<12}"))


def show_status(terminal: Terminal, facts: Mapping[str, Any], engines: Sequence[Mapping[str, Any]]) -> None:
    """Print the state of the database."""
    terminal.data(f"{facts['path']}\n  size      {megabytes(facts['size'])} and {megabytes(facts['wal_size'])} of log")
    terminal.data(f"  version   {facts['user_version']}")
    terminal.data("  " + "  ".join(f"{count:,} {noun}" for noun, count in facts["counts"].items()))
    for state, count in facts["states"].items():
        terminal.data(f"  {labelled(state):<12} {count:,}")
    for engine in engines:
        terminal.data(f"  engine    {engine['kind']}, pid {engine['pid']}{'' if engine['alive'] else ', gone'}")


def megabytes(size: int) -> str:
    """Return a size in bytes for people."""
    return f"{size / 1_000_000:.1f} MB" if size >= 100_000 else f"{size / 1_000:.1f} kB"
