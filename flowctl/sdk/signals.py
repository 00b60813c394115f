"""Signals: wait for a message from outside, and send one to another run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping, Optional, TypeVar, Union, overload

from flowctl.sdk.context import current
from flowctl.sdk.definition import BoundCall
from flowctl.sdk.errors import SignalTimeout, StepFailed
from flowctl.sdk.operations import HintedCall

if TYPE_CHECKING:
    from flowctl.sdk.durations import Duration

T = TypeVar("T")
_RUN_LIMIT = 1 << 53


class _Wait(HintedCall):
    """A wait for the next signal of a name."""

    __slots__ = ("_name", "_timeout_ms")

    def __init__(self, name: str, hint: Any, timeout_ms: Optional[int]) -> None:
        super().__init__(hint)
        self._name = name
        self._timeout_ms = timeout_ms

    @property
    def kind(self) -> str:
        return "signal"

    @property
    def name(self) -> str:
        return self._name

    @property
    def wire_fields(self) -> Mapping[str, Any]:
        return {} if self._timeout_ms is None else {"timeout_ms": self._timeout_ms}

    def encode_input(self) -> tuple[str, str]:
        from flowctl.sdk.jsontext import hash_of_plain, text_of
        from flowctl.sdk.schema import schema_of

        plain: dict[str, Any] = {"signal": self._name}
        schema = schema_of(self._hint)
        if schema:  # whoever sends a value that does not fit is told at once
            plain["type"] = schema
        if self._timeout_ms is not None:
            plain["timeout_ms"] = self._timeout_ms
        return text_of(plain), hash_of_plain(plain).hex()

    def failure(self, key: str, error: Mapping[str, str]) -> StepFailed:
        return (SignalTimeout if error.get("type") == "SignalTimeout" else StepFailed)(key, error)

    def run(self) -> None:
        """Do nothing: the engine waits."""

    def run_plain(self) -> None:
        """Refuse: outside a run nobody can send anything."""
        raise RuntimeError("wait_signal() works only in the function of a workflow that flowctl runs")


class _Send(BoundCall[None]):
    """A signal to another run, sent in the transaction that records it."""

    __slots__ = ("_run", "_signal", "_value")

    def __init__(self, run: int, signal: str, value: Any) -> None:
        self._run = run
        self._signal = signal
        self._value = value

    @property
    def kind(self) -> str:
        return "signal"

    @property
    def name(self) -> str:
        return "send_signal"

    @property
    def wire_fields(self) -> Mapping[str, Any]:
        return {"to_run": self._run}

    def encode_input(self) -> tuple[str, str]:
        from flowctl.sdk.codec import ANY
        from flowctl.sdk.jsontext import hash_of_plain, text_of

        plain = {"run": self._run, "signal": self._signal, "value": ANY.plain(self._value)}
        return text_of(plain), hash_of_plain(plain).hex()

    def run(self) -> None:
        """Do nothing: the engine sends it."""

    def run_plain(self) -> None:
        """Refuse: outside a run there is no database."""
        raise RuntimeError("send_signal() works only in the function of a workflow; elsewhere: flowctl signal RUN NAME")


@overload
def wait_signal(name: str, *, timeout: Optional[Duration] = ...) -> Any: ...
@overload
def wait_signal(name: str, type: type[T], timeout: Optional[Duration] = ...) -> T: ...
@overload
def wait_signal(name: str, type: Any, timeout: Optional[Duration] = ...) -> Any: ...
def wait_signal(name: str, type: Any = Any, timeout: Optional[Duration] = None) -> Any:
    """Wait for the next signal of that name to this run, and return its value, decoded as `type`.

    It may have been sent before. No process waits. Raises SignalTimeout, a StepFailed, when none came in time, and
    StepFailed when the value does not fit the type.
    """
    from flowctl.sdk.durations import to_ms

    wait = _Wait(_checked(name), type, None if timeout is None else to_ms(timeout))
    return _call(wait)


def send_signal(run: int, name: str, value: Any = None) -> None:
    """Send a signal to another run of this namespace, exactly once. StepFailed when there is no such run any more."""
    if isinstance(run, bool) or not isinstance(run, int) or not 0 < run < _RUN_LIMIT:
        raise ValueError(f"send_signal: {run!r} is not the number of a run")
    _call(_Send(run, _checked(name), value))


def _call(bound: Union[_Wait, _Send]) -> Any:
    here = current()
    return bound.run_plain() if here is None else here.call(bound)


def _checked(name: str) -> str:
    from flowctl.sdk.options import check_name

    return check_name(name)
