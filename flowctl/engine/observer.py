"""What an engine tells whoever watches it, after the commit that made it true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class RunChanged:
    """A run entered a state."""

    run_id: int
    workflow: str
    state: str
    reason: str | None
    parent_id: int | None


@dataclass(frozen=True, slots=True)
class StepChanged:
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


@dataclass(frozen=True, slots=True)
class LogCaptured:
    """User code printed or logged something."""

    run_id: int
    step: str | None
    attempt: int | None
    stream: Literal["stdout", "stderr", "log"]
    level: str | None
    text: str
    at: int


Change = RunChanged | StepChanged | LogCaptured
Observer = Callable[[Change], None]


def ignore(change: Change) -> None:
    """Observe nothing."""
