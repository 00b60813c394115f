"""The nouns of flowctl as records. Instants are UTC milliseconds; payloads are JSON text."""

# No `from __future__ import annotations` here: typing would compile each of some 250 texts at every start.

import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Self

from flowctl.core.digests import sha256

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
HELD_AT = 32_503_680_000_000  # the year 3000: a run that wakes then waits for conditions, not for that instant
FINAL_STATES: frozenset[str] = frozenset({"succeeded", "failed", "cancelled"})


class Snapshot(NamedTuple):
    """The source a run started with: path of the workflow file ('' for a shell command) and every file's text."""

    code: str
    path: str
    files: dict[str, str]  # absolute path: source text


def code_of(path: str, files: dict[str, str]) -> str:
    """Return the hash that names this code: SHA-256 over the workflow file's path and every file's path and text."""
    texts = [[name, sha256(text.encode())] for name, text in sorted(files.items())]
    return sha256(json.dumps([path, texts]).encode())


class NewRun(NamedTuple):
    """What it takes to create a run."""

    workflow: str
    path: str
    function: str
    code: str
    directory: str
    input: str
    input_hash: bytes
    namespace: str = "default"
    options: Mapping[str, Any] = {}  # timeout_ms, attempts, isolation, on_failure
    python: str | None = None
    env_file: str | None = None
    queue: str = "default"
    priority: int = 0
    key: str | None = None
    tags: Mapping[str, str] = {}
    wake_at: int | None = None
    parent_id: int | None = None
    parent_step: str | None = None
    root_id: int | None = None
    rerun_of: int | None = None
    schedule: str | None = None
    due_at: int | None = None
    environment: str | None = None  # hash of captured variables
    followed_by: int | None = None
    after_id: int | None = None  # not before that run is final: then it starts out waiting
    forked_from: int | None = None
    forked_step: str | None = None  # None: from the beginning
    replay: Replay = "pinned"
    handles: int | None = None  # the failed run whose on_failure workflow this is

    def with_options(self, options: Mapping[str, Any]) -> Self:
        """Return it with the options of a workflow, of which queue, priority and tags have columns of their own."""
        rest = dict(options)
        return self._replace(
            queue=rest.pop("queue", "default"),
            priority=rest.pop("priority", 0),
            tags=rest.pop("tags", {}),
            options=rest,
        )


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
    schedule: str | None
    due_at: int | None
    requires: str | None  # JSON array of labels
    environment: str | None
    followed_by: int | None
    after_id: int | None
    forked_from: int | None
    forked_step: str | None
    dropped_at: int | None
    handles: int | None
    verdict: str | None  # the error that it fails with once it has undone what it has done


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
    undoes: int | None = None


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
    shared_id: int | None = None  # the row that holds its payloads: of a run that this one was forked from
    said_by: str | None = None  # the person who said its outcome
    progress: str | None = None  # JSON object: done, total, text
    external_id: str | None = None
    undoes: int | None = None  # the place from which a retry starts over, once this step has undone what was done since


class Said(NamedTuple):
    """The outcome of a step as a person says it: one of output and error."""

    by: str
    output: str | None = None
    error: str | None = None


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


class NewEngine(NamedTuple):
    """What it takes to register an engine."""

    token: str
    kind: Literal["foreground", "daemon"]
    pid: int
    boot_id: str
    labels: tuple[str, ...] = ()  # what runs may require of it
    queues: tuple[str, ...] | None = None  # the only ones it serves


class EngineRow(NamedTuple):
    """One row of `engines`."""

    id: int
    token: str
    kind: Literal["foreground", "daemon"]
    pid: int
    boot_id: str
    started_at: int
    stopped_at: int | None
    labels: list[str]
    queues: list[str] | None  # the only ones it serves


class NewWorkflow(NamedTuple):
    """What it takes to register a workflow."""

    name: str
    path: str
    function: str
    parameters: dict[str, Any]
    options: dict[str, Any]
    doc: str
    code: str
    directory: str
    namespace: str = "default"
    python: str | None = None
    environment: str | None = None  # hash of captured variables


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
    directory: str
    environment: str | None
    kept_because: str | None = None  # although its file holds another version now


class Queue(NamedTuple):
    """One row of `queues`: the limits of a queue."""

    namespace: str
    name: str
    concurrency: int | None = None
    rate: int | None = None
    rate_ms: int | None = None
    key: str | None = None  # workflow, schedule, tags.NAME or input.NAME
    key_limit: int | None = None
    paused_at: int | None = None


class NewSchedule(NamedTuple):
    """What it takes to make a schedule, or to change one into."""

    name: str
    kind: Literal["cron", "every", "once", "change"]
    expression: str
    input: str
    directory: str
    workflow: str | None = None  # registered name; None: a shell command
    namespace: str = "default"
    zone: str = ""
    start_at: int | None = None
    end_at: int | None = None
    jitter_ms: int = 0
    catch_up: Literal["latest", "skip", "all"] = "latest"
    catch_up_cap: int = 100
    window_ms: int | None = None
    overlap: Literal["skip", "queue", "allow", "replace"] = "skip"
    pause_after: int | None = None
    options: dict[str, Any] = {}  # noqa: RUF012 - never changed; queue, priority, tags, timeout_ms, attempts, requires
    python: str | None = None
    env_file: str | None = None
    environment: str | None = None
    description: str = ""
    source: Literal["person", "code", "crontab"] = "person"
    debounce_ms: int = 2_000  # of a change


class Schedule(NamedTuple):
    """One row of `schedules`."""

    id: int
    namespace: str
    name: str
    kind: Literal["cron", "every", "once", "change"]
    expression: str
    zone: str
    start_at: int | None
    end_at: int | None
    jitter_ms: int
    catch_up: Literal["latest", "skip", "all"]
    catch_up_cap: int
    window_ms: int | None
    overlap: Literal["skip", "queue", "allow", "replace"]
    pause_after: int | None
    workflow: str | None
    input: str
    options: dict[str, Any]
    directory: str
    python: str | None
    env_file: str | None
    environment: str | None
    description: str
    source: Literal["person", "code", "crontab"]
    next_at: int | None
    planned_to: int
    paused_at: int | None
    pause_reason: str | None
    created_at: int
    changed_at: int
    debounce_ms: int


SlotOutcome = Literal["fired", "skipped", "coalesced", "missed"]


class Slot(NamedTuple):
    """One row of `slots`: what became of one due instant of a schedule."""

    schedule_id: int
    due_at: int
    outcome: SlotOutcome
    reason: str | None
    run_id: int | None
    decided_at: int


class SlotGroup(NamedTuple):
    """Slots of one schedule of which the same became."""

    due: list[int]
    outcome: SlotOutcome
    reason: str | None = None
    run_id: int | None = None


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
    """One row of `events`: a change of a run's state, or what happened to another subject."""

    id: int
    run_id: int | None
    at: int
    state: RunState | None
    epoch: int | None
    attempt: int | None
    reason: str | None
    subject: str | None = None
    actor: str | None = None  # who did it: "ann: flowctl cancel", "daemon (pid 12)"
