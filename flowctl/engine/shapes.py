"""What each message of an executor looks like: what does not is no message, and ends its sender.

User code shares a process with the SDK and can write into its channel, so the engine believes no field before this.
Whether a message makes sense where it comes is for the handlers to say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from flowctl.sdk.conditions import conditions
from flowctl.sdk.wire import Message, WireError

MOST = 1 << 53  # no instant, duration or count is larger, and floats can hold it

Check = Callable[[Any], bool]
_HEX = re.compile("(?:[0-9a-f]{2})*")


def require_shape(message: Message) -> None:
    """Raise WireError unless this is a message that executors send, with fields of the right types."""
    shape = _SHAPES.get(message.kind) if type(message.kind) is str else None
    if shape is None or not _has(shape, message.fields):
        raise WireError("not a message of an executor")


def _has(shape: Mapping[str, Check], value: Any) -> bool:
    return type(value) is dict and all(check(value.get(name)) for name, check in shape.items())


def _text(value: Any) -> bool:
    return type(value) is str and (value.isascii() or _is_unicode(value))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def _some_text(value: Any) -> bool:
    return _text(value) and value != ""


def _number(value: Any) -> bool:
    return type(value) is int and -MOST <= value <= MOST


def _amount(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MOST


def _fraction(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1


def _extent(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= MOST


def _yes_or_no(value: Any) -> bool:
    return type(value) is bool


def _hash(value: Any) -> bool:
    return type(value) is str and _HEX.fullmatch(value) is not None


def _texts(value: Any) -> bool:
    return type(value) is list and all(map(_text, value))


def _error(value: Any) -> bool:
    """Tell whether a text is the JSON of an error."""
    try:
        return _text(value) and type(json.loads(value)["type"]) is str
    except (ValueError, TypeError, KeyError, RecursionError):
        return False


def _conditions(value: Any) -> bool:
    try:
        return type(value) is list and list(conditions(value)) == value
    except ValueError:
        return False


def _tags(value: Any) -> bool:
    return type(value) is dict and all(_text(name) and _text(tag) for name, tag in value.items())


def _one_of(*known: str) -> Check:
    return lambda value: value in known


def _maybe(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _record(**shape: Check) -> Check:
    return lambda value: _has(shape, value)


def _options(**shape: Check) -> Check:
    """Return the check of a record in which any field may be left out, and none may be added."""
    return lambda value: type(value) is dict and all(name in shape and shape[name](value[name]) for name in value)


def _list_of(check: Check) -> Check:
    return lambda value: type(value) is list and all(map(check, value))


_WORKFLOW_OPTIONS = _options(
    timeout_ms=_amount,
    attempts=_amount,
    queue=_text,
    priority=_number,
    tags=_tags,
    on_failure=_record(path=_text, function=_text, workflow=_text, parameter=_text),
    isolation=_text,
    requires=_texts,
    when=_conditions,
)
_SCHEDULE = _options(
    kind=_one_of("cron", "every", "once"),
    expression=_some_text,
    zone=_text,
    jitter_ms=_amount,
    catch_up=_one_of("latest", "skip", "all"),
    catch_up_cap=_amount,
    window_ms=_amount,
    overlap=_one_of("skip", "queue", "allow", "replace"),
    pause_after=_amount,
    input=_text,
)
_BREAKER = _options(
    name=_some_text, failures=_amount, window_ms=_amount, cooldown_ms=_amount, open=_one_of("wait", "fail")
)


def _breaker(value: Any) -> bool:
    return _BREAKER(value) and "name" in value


_STEP_OPTIONS = _options(
    retries=_amount,
    backoff_ms=_amount,
    max_backoff_ms=_amount,
    jitter=_fraction,
    timeout_ms=_amount,
    total_timeout_ms=_amount,
    on_crash=_one_of("rerun", "block"),
    pure=_yes_or_no,
    breaker=_breaker,
)
_DESCRIPTION = _record(
    name=_text,
    function=_text,
    doc=_text,
    parameters=lambda value: type(value) is dict,
    options=_WORKFLOW_OPTIONS,
    schedule=_maybe(_SCHEDULE),
)
_STEP: dict[str, Check] = {
    "seq": _amount,
    "key": _some_text,
    "name": _text,
    "kind": _one_of("step", "shell", "sleep", "signal", "child", "value"),
    "input_hash": _hash,
    "options": _maybe(_STEP_OPTIONS),
    "source": _maybe(_hash),
    "duration_ms": _maybe(_amount),
    "until": _maybe(_number),
    "timeout_ms": _maybe(_amount),
    "to_run": _maybe(_amount),
    "undoes": _maybe(_amount),
    "verdict": _maybe(_error),
    "path": _maybe(_text),
    "function": _maybe(_text),
    "workflow": _maybe(_text),
    "workflow_options": _maybe(_WORKFLOW_OPTIONS),
}
_SHAPES: dict[str, Mapping[str, Check]] = {
    "hello": {},
    "source": {"path": _text},
    "loaded": {"path": _text, "workflows": _list_of(_DESCRIPTION)},
    "load_failed": {"file": _maybe(_text), "line": _maybe(_number)},
    "bound": {"input_hash": _hash},
    "rejected": {"message": _text, "hint": _maybe(_text)},
    "step": _STEP,
    "done": {
        "key": _text,
        "state": _one_of("succeeded", "failed"),
        "retry": _maybe(_yes_or_no),
        "retry_after_ms": _maybe(_number),
    },
    "log": {
        "step": _maybe(_text),
        "attempt": _maybe(_amount),
        "at": _maybe(_number),
        "stream": _one_of("stdout", "stderr", "log"),
        "level": _maybe(_text),
    },
    "progress": {"key": _text, "attempt": _amount, "done": _extent, "total": _maybe(_extent), "text": _maybe(_text)},
    "external_id": {"key": _text, "attempt": _amount, "external_id": _some_text},
    "secret": {"name": _text},
    "mask": {"value": _some_text, "sensitive": _yes_or_no},
    "ended": {
        "state": _one_of("succeeded", "failed", "cancelled", "suspended", "mismatch"),
        "failed_steps": _maybe(_texts),
        "leftovers": _maybe(_texts),
        "changed": _maybe(_texts),
        "unasked": _maybe(_texts),
    },
}
