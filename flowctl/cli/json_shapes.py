"""Every --json: the shapes that other programs read. Fields are added to them, and never change or go.

Payloads are JSON text already: they are put into the result as they are recorded, neither parsed nor shortened.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flowctl.cli.instants import iso
from flowctl.core.model import HELD_AT
from flowctl.core.policy import error_class

if TYPE_CHECKING:
    from flowctl.core.lint import Finding
    from flowctl.core.model import Attempt, LogLine, Run, Step, Workflow
    from flowctl.core.signals import Signal
    from flowctl.engine.queues import QueueView
    from flowctl.engine.status import DaemonStatus

_HOLE = "\udead"  # a lone surrogate: no text of a database or a terminal can hold it


@dataclass(frozen=True, slots=True)
class Raw:
    """JSON text that stands for its value."""

    text: str


def dumps(value: Any) -> str:
    """Return JSON text of plain values and Raw ones. The encoder leaves holes for these, in order."""
    texts: list[str] = []

    def leave_hole(raw: Raw) -> str:
        texts.append(raw.text)
        return _HOLE

    pieces = json.JSONEncoder(ensure_ascii=False, default=leave_hole).encode(value).split(f'"{_HOLE}"')
    if not texts:
        return pieces[0]
    return "".join([part for pair in zip(pieces, [*texts, ""], strict=True) for part in pair])


def error_shape(code: int, message: str, hint: str) -> dict[str, Any]:
    """Return the shape of an error of flowctl itself."""
    return {"error": {"code": code, "message": message, "hint": hint}}


def run_shape(run: Run, reason: str | None) -> dict[str, Any]:
    """Return the shape of a run without its steps, as `ls` prints it."""
    return {
        "run": run.id,
        "namespace": run.namespace,
        "workflow": run.workflow,
        "state": run.state,
        "reason": reason,
        "input": Raw(run.input),
        "output": _payload(run.output),
        "error": _payload(run.error),
        "error_class": None if run.error is None else error_class(run.error),
        "queue": run.queue,
        "priority": run.priority,
        "key": run.key,
        "tags": run.tags,
        "attempt": run.attempt,
        "code": run.code,
        "created_at": iso(run.created_at),
        "started_at": iso(run.started_at),
        "finished_at": iso(run.finished_at),
        "duration_ms": _duration(run.started_at, run.finished_at),
        "wake_at": iso(run.wake_at) if run.wake_at != HELD_AT else None,
        "parent": None if run.parent_id is None else {"run": run.parent_id, "step": run.parent_step},
        "forked_from": None if run.forked_from is None else {"run": run.forked_from, "step": run.forked_step},
        "schedule": run.schedule,
        "due_at": iso(run.due_at),
        "dropped_at": iso(run.dropped_at),
        "handles": run.handles,
    }


def full_run_shape(
    run: Run, reason: str | None, steps: Iterable[Step], attempts: Iterable[Attempt], handlers: Iterable[Run]
) -> dict[str, Any]:
    """Return the shape of a run with its steps and the runs that handle its failures, as `show` and `run` print it."""
    failed = attempts_by_key(attempts)
    return run_shape(run, reason) | {
        "steps": [step_shape(step, failed.get(step.key, ())) for step in steps],
        "handled_by": [handler.id for handler in handlers],
    }


def step_shape(step: Step, attempts: Iterable[Attempt]) -> dict[str, Any]:
    """Return the shape of a step with all its attempts, the one that succeeded or is under way included."""
    return {
        "key": step.key,
        "name": step.name,
        "kind": step.kind,
        "state": step.state,
        "input": Raw(step.input),
        "output": _payload(step.output),
        "error": _payload(step.error),
        "started_at": iso(step.begun_at),
        "finished_at": iso(step.finished_at),
        "duration_ms": _duration(step.begun_at, step.finished_at),
        "shared": step.shared_id is not None,
        "said_by": step.said_by,
        "attempts": attempt_shapes(step, attempts),
        "progress": _payload(step.progress),
        "external_id": step.external_id,
    }


def attempt_shapes(step: Step, attempts: Iterable[Attempt]) -> list[dict[str, Any]]:
    """Return the shapes of all attempts of a step. The latest is in the step's own row unless it did not succeed."""
    shapes = [_attempt(each.attempt, each.state, each.error, each.started_at, each.finished_at) for each in attempts]
    if not shapes or shapes[-1]["attempt"] != step.attempt:
        shapes.append(_attempt(step.attempt, step.state, step.error, step.started_at, step.finished_at))
    return shapes


def attempts_by_key(attempts: Iterable[Attempt]) -> Mapping[str, list[Attempt]]:
    """Return the attempts of each step in order."""
    found: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        found.setdefault(attempt.key, []).append(attempt)
    return found


def log_shape(line: LogLine) -> dict[str, Any]:
    """Return the shape of a captured chunk of output."""
    return {
        "at": iso(line.at),
        "step": line.step,
        "attempt": line.attempt,
        "stream": line.stream,
        "level": line.level,
        "text": line.text,
    }


def signal_shape(signal: Signal) -> dict[str, Any]:
    """Return the shape of a signal."""
    return {
        "signal": signal.id,
        "run": signal.run_id,
        "name": signal.name,
        "value": Raw(signal.value),
        "sender": signal.sender,
        "sent_at": iso(signal.sent_at),
        "taken_by": signal.taken_by,
        "taken_at": iso(signal.taken_at),
    }


def workflow_shape(workflow: Workflow) -> dict[str, Any]:
    """Return the shape of a registered workflow."""
    return {
        "workflow": workflow.name,
        "namespace": workflow.namespace,
        "path": workflow.path,
        "function": workflow.function,
        "doc": workflow.doc,
        "parameters": workflow.parameters,
        "options": workflow.options,
        "python": workflow.python,
        "code": workflow.code,
        "kept_because": workflow.kept_because,
        "added_at": iso(workflow.added_at),
    }


def queue_shape(view: QueueView) -> dict[str, Any]:
    """Return the shape of a queue, its limits and what is in it."""
    queue = view.queue
    return {
        "queue": queue.name,
        "concurrency": queue.concurrency,
        "rate": queue.rate,
        "period_ms": queue.rate_ms,
        "key": queue.key,
        "key_limit": queue.key_limit,
        "paused": queue.paused_at is not None,
        "running": view.running,
        "queued": view.queued,
        "oldest_at": iso(view.oldest_at),
    }


def finding_shape(finding: Finding) -> dict[str, Any]:
    """Return the shape of what the lint of a workflow file found."""
    return {
        "file": finding.path,
        "line": finding.line,
        "column": finding.column,
        "workflow": finding.workflow,
        "call": finding.call,
        "fix": finding.fix,
    }


def _attempt(number: int, state: str, error: str | None, started_at: int, finished_at: int | None) -> dict[str, Any]:
    return {
        "attempt": number,
        "state": state,
        "error": _payload(error),
        "started_at": iso(started_at),
        "finished_at": iso(finished_at),
    }


def _payload(text: str | None) -> Raw | None:
    return None if text is None else Raw(text)


def _duration(started_at: int | None, finished_at: int | None) -> int | None:
    return None if started_at is None or finished_at is None else finished_at - started_at


def daemon_shape(facts: DaemonStatus) -> dict[str, Any]:
    """Return the shape of how the daemon is."""
    shape = facts._asdict() | {"engines": [engine._asdict() for engine in facts.engines]}
    shape["last_fire_at"] = iso(facts.last_fire_at)
    return {"state": "not running" if facts.pid is None else "running"} | shape
