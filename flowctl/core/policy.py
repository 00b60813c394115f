"""Decisions about attempts: whether there is another one, and when."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from flowctl.core.breakers import BreakerRule
from flowctl.core.text import shorten

CRASH_LIMIT = 10  # engine deaths in a row, without a new checkpoint, after which a run is parked


class StepOptions(NamedTuple):
    """The options of a step as they travel on the wire. Defaults are those of `flowctl.step`."""

    retries: int = 0
    backoff_ms: int = 1_000
    max_backoff_ms: int = 300_000
    jitter: float = 0.1
    timeout_ms: int | None = None
    total_timeout_ms: int | None = None
    on_crash: str = "rerun"
    pure: bool = False
    breaker: BreakerRule | None = None


DEFAULT_OPTIONS = StepOptions()


def backoff(options: StepOptions, failures: int, fraction: float) -> int:
    """Return the milliseconds to wait after the given number of failures (1, 2, …).

    The delay doubles with each failure, then moves by up to `jitter` of itself in either direction, as `fraction`
    (0 to 1) says, and is never longer than `max_backoff_ms`. The exponent is bounded, so a long history cannot
    overflow into no delay.
    """
    delay = min(options.backoff_ms << min(failures - 1, 40), options.max_backoff_ms)
    shortest = delay * (1 - options.jitter)
    longest = min(delay * (1 + options.jitter), options.max_backoff_ms)
    return max(0, round(shortest + fraction * (longest - shortest)))


def next_delay(options: StepOptions, failures: int, fraction: float, retry_after_ms: int | None) -> int | None:
    """Return the delay before the next attempt after so many failures, or None when there is none left.

    A delay that the step asked for (`RetryAfter`) is kept, up to `max_backoff_ms`.
    """
    if failures > options.retries:
        return None
    if retry_after_ms is not None:
        return min(max(0, retry_after_ms), options.max_backoff_ms)
    return backoff(options, failures, fraction)


RUN_BACKOFF = StepOptions()  # between the attempts of a run: 1 s doubling to 5 min


def error_text(kind: str, message: str) -> str:
    """Return the JSON text of an error that flowctl itself found, which has no traceback."""
    return json.dumps({"type": kind, "message": message, "traceback": ""}, ensure_ascii=False)


def summary(error: str) -> str:
    """Return `Type: message` of an error's JSON text, on one line and at most 200 characters."""
    record: dict[str, Any] = json.loads(error)
    message = " ".join(str(record.get("message", "")).split())
    text = f"{record.get('type', 'Error')}: {message}" if message else str(record.get("type", "Error"))
    return shorten(text, 200)


ERROR_CLASSES = {
    "RunTimedOut": "timeout",
    "StepTimedOut": "timeout",
    "SignalTimeout": "timeout",
    "CrashLoop": "crashed",
    "ExecutorDied": "crashed",
    "GiveUp": "gave up",
    "ChildCancelled": "cancelled",
    "InputError": "rejected input",
    "SignalMisfit": "rejected input",
    "WorkflowMissing": "code missing",
}
_FAILED_STEP = re.compile(r"step .+? failed: ([\w.]+)(?:: )?", re.DOTALL)


def error_type(error: str) -> str:
    """Return the type in an error's JSON text: of a step's failure that a workflow let through, that of the step."""
    try:
        record: dict[str, Any] = dict(json.loads(error))
    except (TypeError, ValueError):  # a damaged row is shown, not hidden behind an error
        return "Error"
    kind, message = _bare(str(record.get("type", ""))), str(record.get("message", ""))
    while kind == "StepFailed" and (inner := _FAILED_STEP.match(message)):
        kind, message = _bare(inner[1]), message[inner.end() :]
    return kind


def error_class(error: str) -> str:
    """Return what kind of failure an error's JSON text tells of; whatever flowctl does not know is a user error."""
    return ERROR_CLASSES.get(error_type(error), "user error")


def _bare(kind: str) -> str:
    """Return the name of an exception without the module, if that is flowctl's."""
    return kind.rpartition(".")[2] if kind.startswith("flowctl.") else kind


_UNKNOWN = 'nobody knows whether step "'
_FINISHED = '" finished: '


def unknown_outcome(key: str, what: str) -> str:
    """Return why a run is blocked by a step that may or may not have finished."""
    return f'{_UNKNOWN}{key}{_FINISHED}{what}, and on_crash="block" forbids a second try'


def step_in_doubt(reason: str | None) -> str | None:
    """Return the key of the step whose outcome nobody knows, when that is why a run is blocked."""
    if reason is None or not reason.startswith(_UNKNOWN):
        return None
    key, found, _ = reason.removeprefix(_UNKNOWN).rpartition(_FINISHED)
    return key if found else None
