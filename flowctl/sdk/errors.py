"""What authors raise and catch, what the SDK refuses, and how a failure is written down.

Exception
├── DefinitionError      a @step or @workflow that makes no sense
├── InputError           arguments that do not fit a workflow's parameters
├── Unstorable           a value that cannot be recorded (also a TypeError)
├── Unreadable           a recorded value that does not fit its type hint (also a ValueError)
├── StepFailed           raised in a workflow: the step has no attempts left
│   └── SignalTimeout    no signal came in time
├── GiveUp               raised in a step: do not try again
├── NotFinished          raised in a `reconcile` function: run the body again
└── RetryAfter           raised in a step: try again after this delay
BaseException
└── Interruption         the run ends or pauses here; never caught by `except Exception`
    ├── Suspended        a long wait: the run goes on later
    ├── Cancelled        somebody cancelled the run
    └── Mismatch         the code asks for something else than last time
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Optional, Union

if TYPE_CHECKING:
    from datetime import timedelta
    from types import TracebackType

RECORD_LIMIT = 64 * 1024  # bytes of a whole error record as JSON
MESSAGE_LIMIT = 16_000  # characters
TRACEBACK_LIMIT = 40_000  # characters
CHAIN_LIMIT = 10  # causes and contexts shown
GROUP_LIMIT = 20  # members of exception groups shown
FRAMES_AT_EACH_END = 30

# Frames of these folders say nothing about the user's code: the SDK itself, and the loop that runs async steps.
_NOT_SHOWN = (
    os.path.dirname(os.path.abspath(__file__)) + os.sep,
    os.path.join(os.path.dirname(os.__file__), "asyncio") + os.sep,
    "<frozen ",
)


class DefinitionError(Exception):
    """A @step or @workflow makes no sense: unknown option, wrong value, a kind of function that cannot be one."""


class InputError(Exception):
    """Arguments do not fit the parameters of a workflow."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Unstorable(TypeError):
    """A value cannot be recorded; says where in it, why, and what to do."""

    def __init__(self, problem: str, path: str = "") -> None:
        super().__init__(problem, path)
        self.problem = problem
        self.path = path
        self.subject = ""

    def __str__(self) -> str:
        # Of a value that is too deep, or contains itself, the innermost parts of the path say nothing.
        path = self.path if len(self.path) <= 1000 else f"{self.path[:100]}…"
        return f"{self.subject and self.subject + ': '}${path} {self.problem}"

    def under(self, part: str) -> Unstorable:
        """Return this refusal as seen from one level further out."""
        self.path = part + self.path
        return self

    def of(self, subject: str) -> Unstorable:
        """Return this refusal with the name of what holds the value, such as "output of step fetch"."""
        self.subject = subject
        return self


class Unreadable(ValueError):
    """A recorded value does not fit the type it should become; says where in it and why."""

    def __init__(self, problem: str, path: str = "") -> None:
        super().__init__(problem, path)
        self.problem = problem
        self.path = path

    def __str__(self) -> str:
        return f"${self.path} {self.problem}"

    def under(self, part: str) -> Unreadable:
        """Return this refusal as seen from one level further out."""
        self.path = part + self.path
        return self


class StepFailed(Exception):
    """A step, command or child run failed and has no attempts left. The same live and on replay.

    `type`, `message` and `traceback` are the recorded ones. `failed_keys` names what else failed in the same gather.
    """

    def __init__(self, step: str, error: Mapping[str, str], failed_keys: tuple[str, ...] = ()) -> None:
        super().__init__(step, error, failed_keys)
        self.step = step
        self.failed_keys = failed_keys
        self.type = error.get("type", "")
        self.message = error.get("message", "")
        self.traceback = error.get("traceback", "")

    def __str__(self) -> str:
        return f"step {self.step} failed: {self.type}" + (f": {self.message}" if self.message else "")


class SignalTimeout(StepFailed):
    """No signal came before the timeout of `wait_signal`. The same live and on replay."""


class GiveUp(Exception):
    """Raise in a step to fail it for good, whatever retries it has left."""


class NotFinished(Exception):
    """Raise in a `reconcile` function when the earlier work has not finished and will not: the body runs again."""


class RetryAfter(Exception):
    """Raise in a step to try again after this delay instead of the usual backoff; it still uses up a retry."""

    def __init__(self, delay: Union[str, int, float, timedelta], message: str = "") -> None:
        from flowctl.sdk.durations import to_ms

        super().__init__(delay, message)
        self.delay_ms = to_ms(delay)
        self.message = message

    def __str__(self) -> str:
        from flowctl.sdk.durations import short_text

        return self.message or f"try again after {short_text(self.delay_ms)}"


class Interruption(BaseException):
    """The run ends or pauses here. User code must let it pass: it cannot be answered."""


class Suspended(Interruption):
    """The run waits for longer than a process should; it goes on later, maybe in another process."""


class Cancelled(Interruption):
    """The run was cancelled. `finally` blocks run; operations called in them raise this again."""


class Mismatch(Interruption):
    """The code asks for something else than what is recorded at this place."""

    def __init__(self, seq: int, key: str, what: str, expected: str, asked: str = "null") -> None:
        super().__init__(seq, key, what, expected)
        self.seq = seq
        self.key = key
        self.what = what
        self.expected = expected
        self.asked = asked


def error_record(error: BaseException) -> dict[str, str]:
    """Return type, message and traceback of an exception as text, at most 64 KB as JSON; raises nothing of its own.

    The traceback holds no values of variables and no frames of flowctl.
    """
    record = {
        "type": type_name(type(error)),
        "message": _clean(_ending(error) or _message(error), MESSAGE_LIMIT),
        "traceback": _clean(_traceback(error), TRACEBACK_LIMIT),
    }
    return _fit(record)


def type_name(kind: type) -> str:
    """Return the name of an exception type as a person would write it."""
    module, name = _guarded(lambda: (str(kind.__module__), str(kind.__qualname__)), ("builtins", "Exception"))
    ours = module.startswith("flowctl.sdk")
    return name if ours or module in ("builtins", "__main__") else f"{module}.{name}"


def shown(value: object) -> str:
    """Return a value as it may stand in a message: short, and never raising."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  # a hostile __repr__, or an int of too many digits
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _guarded(read: Any, otherwise: Any) -> Any:
    try:
        return read()
    except Interruption:
        raise
    except BaseException:  # noqa: BLE001  # a hostile __str__ may raise anything, even SystemExit
        return otherwise


def _message(error: BaseException) -> str:
    return str(_guarded(lambda: str.__str__(str(error)), f"<{type_name(type(error))} has no readable message>"))


def _ending(error: BaseException) -> str:
    """Return what to say of an exception that was meant to end the process, else nothing."""
    if issubclass(type(error), SystemExit):
        code = _guarded(lambda: repr(error.code), "…")  # type: ignore[attr-defined]  # that of SystemExit
        return f"exited with sys.exit({code}) instead of returning"
    if type(error) is KeyboardInterrupt:
        return _message(error) or "raised KeyboardInterrupt instead of returning"
    return ""


def _clean(text: str, limit: int) -> str:
    if len(text) > limit:
        half = limit // 2
        text = f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"
    return text.encode("utf-8", "backslashreplace").decode()


def _fit(record: dict[str, str]) -> dict[str, str]:
    import json

    for name in ("traceback", "message", "type", "traceback", "message"):
        room = RECORD_LIMIT
        while len(json.dumps(record, ensure_ascii=True)) > RECORD_LIMIT and room > 500:
            room //= 2
            record[name] = _clean(record[name], min(room, len(record[name]) // 2 + 1))
    return record


def _traceback(error: BaseException) -> str:
    return "\n".join(_guarded(lambda: list(_chain(error)), []))


def _chain(error: BaseException) -> Iterator[str]:
    """Yield the parts of a printed traceback, the oldest cause first."""
    links: list[tuple[BaseException, str]] = []
    seen: set[int] = set()
    at: Optional[BaseException] = error
    label = ""
    while at is not None and id(at) not in seen and len(links) < CHAIN_LIMIT:
        seen.add(id(at))
        links.append((at, label))
        at, label = _cause(at)
    for one, label in reversed(links):
        yield from _one(one, "", [GROUP_LIMIT])
        if label:
            yield f"\n{label}\n"


def _cause(error: BaseException) -> tuple[Optional[BaseException], str]:
    if error.__cause__ is not None:
        return error.__cause__, "The above exception was the direct cause of the following exception:"
    if error.__context__ is not None and not error.__suppress_context__:
        return error.__context__, "During handling of the above exception, another exception occurred:"
    return None, ""


def _one(error: BaseException, indent: str, room: list[int]) -> Iterator[str]:
    frames = _guarded(lambda: list(_frames(error.__traceback__)), [])
    if frames:
        yield f"{indent}Traceback (most recent call last):"
    for frame in frames:
        yield from (indent + line for line in frame.splitlines())
    summary = f"{type_name(type(error))}: {_clean(_message(error), MESSAGE_LIMIT // 4)}"
    yield from (indent + line for line in summary.splitlines())
    members = _guarded(lambda: tuple(getattr(error, "exceptions", ())), ())
    for member in members:
        if isinstance(member, BaseException) and room[0] > 0 and len(indent) < 20:
            room[0] -= 1
            yield from _one(member, indent + "  | ", room)


def _places(at: Optional[TracebackType]) -> list[tuple[str, int, str]]:
    places: list[tuple[str, int, str]] = []
    while at is not None:
        code = at.tb_frame.f_code
        if not code.co_filename.startswith(_NOT_SHOWN):
            places.append((code.co_filename, at.tb_lineno or 0, code.co_name))
        at = at.tb_next
    return places


def _frames(at: Optional[TracebackType]) -> Iterator[str]:
    places = _places(at)
    left_out = len(places) - 2 * FRAMES_AT_EACH_END
    if left_out > 0:
        yield from map(_frame, places[:FRAMES_AT_EACH_END])
        yield f"  … {left_out} frames left out …"
        places = places[-FRAMES_AT_EACH_END:]
    yield from map(_frame, places)


def _frame(place: tuple[str, int, str]) -> str:
    from flowctl.sdk.source import line_of

    filename, line, name = place
    source = _guarded(lambda: line_of(filename, line).strip(), "")
    head = f'  File "{filename}", line {line}, in {name}'
    return f"{head}\n    {source}" if source else head
