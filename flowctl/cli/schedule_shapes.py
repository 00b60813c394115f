"""Every --json of schedules and slots: fields are added, and never change or go."""

from __future__ import annotations

from typing import Any

from flowctl.cli.instants import iso
from flowctl.cli.json_shapes import Raw
from flowctl.core.model import Schedule, Slot


def schedule_shape(schedule: Schedule) -> dict[str, Any]:
    """Return the shape of a schedule."""
    return {
        "schedule": schedule.name,
        "namespace": schedule.namespace,
        "kind": schedule.kind,
        "expression": schedule.expression,
        "zone": schedule.zone or None,
        "start_at": iso(schedule.start_at),
        "end_at": iso(schedule.end_at),
        "debounce_ms": schedule.debounce_ms if schedule.kind == "change" else None,
        "jitter_ms": schedule.jitter_ms,
        "catch_up": schedule.catch_up,
        "catch_up_cap": schedule.catch_up_cap,
        "window_ms": schedule.window_ms,
        "overlap": schedule.overlap,
        "pause_after": schedule.pause_after,
        "workflow": schedule.workflow,
        "input": Raw(schedule.input),
        "options": schedule.options,
        "directory": schedule.directory,
        "python": schedule.python,
        "env_file": schedule.env_file,
        "description": schedule.description,
        "source": schedule.source,
        "next_at": None if schedule.paused_at is not None else iso(schedule.next_at),
        "paused_at": iso(schedule.paused_at),
        "pause_reason": schedule.pause_reason,
        "created_at": iso(schedule.created_at),
        "changed_at": iso(schedule.changed_at),
    }


def slot_shape(slot: Slot) -> dict[str, Any]:
    """Return the shape of what became of a slot."""
    return {"due_at": iso(slot.due_at), "outcome": slot.outcome, "reason": slot.reason, "run": slot.run_id}


def due_shape(schedule: str | None, due_at: int, local: str) -> dict[str, Any]:
    """Return the shape of a slot that is to come; `schedule` is None for an expression that is only tried."""
    return {"schedule": schedule, "due_at": iso(due_at), "local": local}


def crontab_shape(line: int | None, text: str, outcome: str, reason: str, schedule: str | None) -> dict[str, Any]:
    """Return the shape of a line of a crontab; `line` is None for a schedule that an export leaves out."""
    return {"line": line, "text": text, "outcome": outcome, "reason": reason or None, "schedule": schedule}
