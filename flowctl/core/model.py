"""The nouns of flowctl as records. Instants are UTC milliseconds; payloads are JSON text."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

RunState = Literal["queued", "running", "sleeping", "waiting", "paused", "blocked", "succeeded", "failed", "cancelled"]
StepState = Literal["running", "succeeded", "failed", "cancelled", "interrupted"]
StepKind = Literal["step", "shell", "sleep", "signal", "child", "value"]
Replay = Literal["pinned", "newest", "accept"]
Request = Literal["cancel", "pause"]

RUN_STATES: tuple[RunState, ...] = (
    "queued",
    "running",
    "sleeping",
    "waiting",
    "paused",
    "blocked",
    "succeeded",
    "failed",
    "cancelled",
)
FINAL_STATES: frozenset[str] = frozenset({"succeeded", "failed", "cancelled"})


class Snapshot(NamedTuple):
    """The source a run started with: path of the workflow file ('' for a shell command) and every file's text."""

    code: str
    path: str
    files: dict[str, str]  # absolute path: source text


def code_of(path: str, files: dict[str, str]) -> str:
    """Return the hash that names this code: SHA-256 over the workflow file's path and every file's path and text."""
    from hashlib import sha256  # loads OpenSSL, which most commands never need

    texts = [[name, sha256(text.encode()).hexdigest()] for name, text in sorted(files.items())]
    return sha256(json.dumps([path, texts]).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class NewRun:
    """What it takes to create a run."""

    workflow: str
    path: str
    function: str
    code: str
    directory: str
    input: str
    input_hash: bytes
    namespace: str = "default"
    options: dict[str, Any] = field(default_factory=dict)  # timeout_ms, attempts, isolation, on_failure
    python: str | None = None
    env_file: str | None = None
    queue: str = "default"
    priority: int = 0
    key: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    wake_at: int | None = None
    parent_id: int | None = None
    parent_step: str | None = None
    root_id: int | None = None
    rerun_of: int | None = None


class Run(NamedTuple):
    """One row of `runs`."""

    id: int
    namespace: str
    workflow: str
    path: str
    function: str
    code: str
    replay: Replay
    options: dict[str, Any]
    python: str | None
    directory: str
    env_file: str | None
    queue: str
    priority: int
    key: str | None
    tags: dict[str, str]
    input: str
    input_hash: bytes
    output: str | None
    error: str | None
    failed_steps: list[str]
    state: RunState
    reason: str | None
    request: Request | None
    attempt: int
    crashes: int
    epoch: int
    engine_id: int | None
    root_id: int | None
    parent_id: int | None
    parent_step: str | None
    rerun_of: int | None
    wake_at: int | None
    created_at: int
    started_at: int | None
    finished_at: int | None
    changed_at: int


class NewStep(NamedTuple):
    """What an executor says of a step that is about to begin."""

    seq: int
    key: str
    name: str
    kind: StepKind
    input: str
    input_hash: bytes
    source_hash: bytes | None = None
    wake_at: int | None = None
    on_crash: str = "rerun"


class Step(NamedTuple):
    """One row of `steps`."""

    id: int
    run_id: int
    seq: int
    key: str
    name: str
    kind: StepKind
    state: StepState
    attempt: int
    first_attempt: int
    crashes: int
    input: str
    input_hash: bytes
    source_hash: bytes | None
    output: str | None
    error: str | None
    wake_at: int | None
    begun_at: int
    started_at: int
    finished_at: int | None
    on_crash: str = "rerun"


class Attempt(NamedTuple):
    """One row of `attempts`: an attempt that did not succeed."""

    key: str
    attempt: int
    state: Literal["failed", "cancelled", "interrupted"]
    error: str | None
    started_at: int
    finished_at: int


class Claim(NamedTuple):
    """An engine's exclusive right to a run. Every write on the run's behalf carries it."""

    run_id: int
    epoch: int


class EngineRow(NamedTuple):
    """One row of `engines`."""

    id: int
    token: str
    kind: Literal["foreground", "daemon"]
    pid: int
    boot_id: str
    started_at: int
    stopped_at: int | None


class NewWorkflow(NamedTuple):
    """What it takes to register a workflow."""

    name: str
    path: str
    function: str
    parameters: dict[str, Any]
    options: dict[str, Any]
    doc: str
    code: str
    namespace: str = "default"
    python: str | None = None


class Workflow(NamedTuple):
    """One row of `workflows`: a registered name."""

    id: int
    namespace: str
    name: str
    path: str
    function: str
    parameters: dict[str, Any]
    options: dict[str, Any]
    doc: str
    python: str | None
    code: str
    added_at: int


class LogLine(NamedTuple):
    """One row of `logs`: a captured chunk of text, maybe several lines."""

    id: int
    run_id: int
    step: str | None
    attempt: int | None
    at: int
    stream: Literal["stdout", "stderr", "log"]
    level: str | None
    text: str


class Event(NamedTuple):
    """One row of `events`."""

    id: int
    run_id: int
    at: int
    state: RunState
    epoch: int
    attempt: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs a list or a bulk command means. Empty fields do not restrict."""

    namespace: str | None = "default"
    states: tuple[RunState, ...] = ()
    workflow: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    since: int | None = None  # created at or after
    search: str | None = None  # in workflow, input, output, error
    dead: bool = False  # failed
    before: int | None = None  # id below, for the next page
    limit: int = 50
