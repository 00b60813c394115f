"""What lists ask for, and what they show of a run and its steps. None in a filter does not restrict."""

# No `from __future__ import annotations` here: see model.py.

from collections.abc import Mapping
from typing import Literal, NamedTuple

from flowctl.core.model import Request, RunState, StepKind, StepState


class RunFilter(NamedTuple):
    """Which runs a list or a bulk command means. Empty fields do not restrict."""

    namespace: str | None = "default"
    states: tuple[RunState, ...] = ()
    workflow: str | None = None
    schedule: str | None = None
    queue: str | None = None
    tags: Mapping[str, str] = {}
    since: int | None = None  # created at or after
    search: str | None = None  # in workflow, input, output, error
    dead: bool = False  # failed, and nobody has dealt with it yet
    before: int | None = None  # id below, for the next page
    limit: int = 50


class EventFilter(NamedTuple):
    """Which lines of the audit log are meant. None does not restrict."""

    namespace: str  # of the runs; other subjects have none
    run: int | None = None  # its changes of state, and what was asked of it
    subject: str | None = None
    since: int | None = None
    after: int = 0  # id above
    limit: int = 100  # the newest of them


class RunLine(NamedTuple):
    """What a list shows of a run: its row without payloads."""

    id: int
    workflow: str
    state: RunState
    reason: str | None
    request: Request | None
    engine_id: int | None
    queue: str
    tags: dict[str, str]
    schedule: str | None
    due_at: int | None
    parent_id: int | None
    rerun_of: int | None
    forked_from: int | None
    wake_at: int | None
    created_at: int
    started_at: int | None
    finished_at: int | None


class StepLine(NamedTuple):
    """What a list shows of a step: its row without payloads."""

    seq: int
    key: str
    name: str
    kind: StepKind
    state: StepState
    attempt: int
    wake_at: int | None
    begun_at: int
    started_at: int
    finished_at: int | None
    shared: bool  # with the run that its run was forked from
    said_by: str | None
    progress: str | None


class AttemptLine(NamedTuple):
    """What a list shows of an attempt that did not succeed."""

    key: str
    attempt: int
    state: Literal["failed", "cancelled", "interrupted"]
    started_at: int
    finished_at: int
