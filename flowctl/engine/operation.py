"""One step of a live run that has begun and not ended, as the engine follows it."""

from __future__ import annotations

from functools import lru_cache
from math import inf
from typing import Any, Literal, NamedTuple

from flowctl.core.breakers import BreakerRule
from flowctl.core.model import Step
from flowctl.core.policy import DEFAULT_OPTIONS, StepOptions
from flowctl.sdk.wire import Message

# The executor itself ends a command that takes too long, without ending itself; this is in case it cannot.
COMMAND_SLACK_MS = 3_000

Phase = Literal["held", "body", "backoff", "sleep", "signal", "child", "deferred"]


class Operation(NamedTuple):
    """A begun step. `deadline` is monotonic seconds; the instants are wall-clock milliseconds."""

    key: str
    name: str
    kind: str
    phase: Phase
    attempt: int
    failures: int  # attempts that count against `retries`
    options: StepOptions
    begun_at: int
    started_at: int
    deadline: float = inf
    wake_at: int | None = None
    child: int | None = None
    external_id: str | None = None
    asked: Message | None = None  # by which it is asked for again, if a breaker is to be asked before each attempt
    refusal: str | None = None  # why it waits for its breaker, or the error with which it fails at once

    @property
    def waiting(self) -> bool:
        """Tell whether nothing of it runs in the executor."""
        return self.phase != "body"

    @property
    def ends_at(self) -> int | None:
        """Return the instant at which all attempts together have taken too long."""
        limit = self.options.total_timeout_ms
        return None if limit is None else self.begun_at + limit


def of_step(step: Step, options: StepOptions, phase: Phase) -> Operation:
    """Return the operation for a recorded step, whose latest attempt may have ended before this claim."""
    ended = step.state == "interrupted" or (step.wake_at is not None and step.kind not in ("sleep", "signal"))
    return Operation(
        key=step.key,
        name=step.name,
        kind=step.kind,
        phase=phase,
        attempt=step.attempt,
        failures=step.attempt - step.first_attempt - step.crashes + ended,
        options=options,
        begun_at=step.begun_at,
        started_at=step.started_at,
        wake_at=step.wake_at,
        external_id=step.external_id,
    )


def runs_unasked(kind: str, options: StepOptions) -> bool:
    """Tell whether the first body of a step ran before the engine heard of it: how it ended comes in the same frame."""
    return kind == "value" or options.pure


def options_of(fields: dict[str, Any] | None) -> StepOptions:
    """Return the options that a `step` message carries."""
    if not fields:
        return DEFAULT_OPTIONS
    if "breaker" in fields:
        fields = {**fields, "breaker": BreakerRule(**fields["breaker"])}
    return _options(tuple(sorted(fields.items())))


@lru_cache(maxsize=1024)
def _options(items: tuple[tuple[str, Any], ...]) -> StepOptions:
    return StepOptions(**dict(items))


def body_deadline(operation: Operation, now: int, monotonic: float) -> float:
    """Return when the body that starts now has to be killed, in monotonic seconds."""
    limits = []
    if operation.options.timeout_ms is not None:
        limits.append(operation.options.timeout_ms + (COMMAND_SLACK_MS if operation.kind == "shell" else 0))
    if operation.ends_at is not None:
        limits.append(max(0, operation.ends_at - now))
    return monotonic + min(limits) / 1000 if limits else inf
