"""Where the current thread stands: in a workflow function, in a step body, or outside any run.

The executor activates its runtime on the thread that runs the workflow function. Threads that run step bodies have
none, and a body on the workflow's own thread is wrapped in `step_scope`. So an operation asks `current()` and gets a
runtime exactly where it has to be recorded; everywhere else it is a plain call.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from threading import local
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Protocol

if TYPE_CHECKING:
    from typing import Callable

    from flowctl.sdk.definition import BoundCall
    from flowctl.sdk.meter import Meter


class Runtime(Protocol):
    """What records calls while a workflow function runs."""

    def call(self, bound: BoundCall[Any]) -> Any:
        """Record the call and return its outcome, or raise its failure."""


class StepInfo(NamedTuple):
    """What a step body may know about itself."""

    key: str
    attempt: int
    idempotency_key: str
    external_id: Optional[str] = None  # what an earlier attempt has begun elsewhere
    meter: Optional[Meter] = None
    keep: Optional[Callable[[str], bool]] = None  # records an external id, or returns False


class _Standing(local):
    runtime: Optional[Runtime] = None


_standing = _Standing()
# A context variable, so that asyncio tasks and asyncio.to_thread of a body know their step as well.
_step: ContextVar[Optional[StepInfo]] = ContextVar("flowctl_step", default=None)


def current() -> Optional[Runtime]:
    """Return the runtime that records calls made here, or None where calls are plain."""
    return None if _step.get() is not None else _standing.runtime


def step_info() -> Optional[StepInfo]:
    """Return the step whose body is running here, or None outside of step bodies."""
    return _step.get()


class activate:  # noqa: N801  # reads like a verb
    """Make the runtime current on this thread for the length of a `with` block."""

    __slots__ = ("_before", "_runtime")

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._before: Optional[Runtime] = None

    def __enter__(self) -> None:
        self._before = _standing.runtime
        _standing.runtime = self._runtime

    def __exit__(self, *_: object) -> None:
        _standing.runtime = self._before


class step_scope:  # noqa: N801  # reads like a verb
    """Mark the length of a `with` block as the body of a step: calls made in it are plain."""

    __slots__ = ("_info", "_token")

    def __init__(self, info: StepInfo) -> None:
        self._info = info
        self._token: Optional[Token[Optional[StepInfo]]] = None

    def __enter__(self) -> None:
        self._token = _step.set(self._info)

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            _step.reset(self._token)
