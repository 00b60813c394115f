"""What an engine tells whoever watches it, after the commit that made it true."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from flowctl.core.progress import Progress


class RunChanged(NamedTuple):
    """A run entered a state."""

    run_id: int
    workflow: str
    state: str
    reason: str | None
    parent_id: int | None


class StepChanged(NamedTuple):
    """A step, or one of its attempts, entered a state. `error` is the JSON text of a failed attempt."""

    run_id: int
    key: str
    name: str
    kind: str
    state: str
    attempt: int
    started_at: int
    finished_at: int | None
    error: str | None = None
    wake_at: int | None = None


class StepProgressed(NamedTuple):
    """A body has told how far it is."""

    run_id: int
    key: str
    progress: Progress


class LogCaptured(NamedTuple):
    """User code printed or logged something."""

    run_id: int
    step: str | None
    attempt: int | None
    stream: Literal["stdout", "stderr", "log"]
    level: str | None
    text: str
    at: int


Change = RunChanged | StepChanged | StepProgressed | LogCaptured
Observer = Callable[[Change], None]


def ignore(change: Change) -> None:
    """Observe nothing."""


def place_of(change: Change) -> str:
    """Return the failpoint after the commit of a change: run-running, step-running, step-succeeded, run-sleeping, …"""
    if isinstance(change, LogCaptured):
        return "log"
    if isinstance(change, StepProgressed):
        return "progress"
    return f"{'step' if isinstance(change, StepChanged) else 'run'}-{change.state}"
