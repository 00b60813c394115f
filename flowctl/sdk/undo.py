"""Compensation: what a workflow has done is undone, in reverse order, when it does not come to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping

from flowctl.sdk.context import current, step_info
from flowctl.sdk.definition import BoundCall

if TYPE_CHECKING:
    from flowctl.sdk.runtime import Runtime

_KINDS = ("step", "shell", "child")


class _Registration(BoundCall[None]):
    """A call that undoes what has been done, recorded so that a cancellation knows of it."""

    __slots__ = ("_call", "_undoes")

    def __init__(self, call: BoundCall[Any], undoes: int) -> None:
        self._call = call
        self._undoes = undoes

    @property
    def kind(self) -> str:
        return "value"

    @property
    def name(self) -> str:
        return "compensate"

    @property
    def wire_fields(self) -> Mapping[str, Any]:
        return {"undoes": self._undoes}

    def encode_input(self) -> tuple[str, str]:
        import json  # here, because every executor pays for what `import *` brings

        from flowctl.sdk.jsontext import canonical_hash

        text, _ = self._call.encode_input()
        recorded = f'{{"input":{text},"step":{json.dumps(self._call.name)}}}'
        return recorded, canonical_hash(recorded).hex()

    def run(self) -> None:
        """Do nothing: it is only recorded."""

    def run_plain(self) -> None:
        """Do nothing: what fails outside of a run is for its caller to undo."""


def compensate(call: BoundCall[Any]) -> None:
    """Have this bound call made, as a step of its own, if the run fails or is cancelled later.

    The calls are made in reverse order. One that fails is recorded, and the others are made nevertheless.
    """
    if not isinstance(call, BoundCall) or call.kind not in _KINDS:
        raise TypeError(f"compensate() takes a bound step such as refund.bind(…), not {type(call).__name__}")
    here: Any = current()
    if here is None:
        if step_info() is not None:
            raise RuntimeError("compensate() works only in the function of a workflow")
        return
    here.register_undo(call)


def registration(call: BoundCall[Any], undoes: int) -> BoundCall[None]:
    """Return what `compensate` records."""
    return _Registration(call, undoes)


def undo_all(running: Runtime) -> None:
    """Make the registered calls in reverse order. Raises only what interrupts the run."""
    for call, undoes in reversed(running.take_undo()):
        running.undoes = undoes
        try:
            running.call(call)
        except Exception as failure:  # noqa: BLE001 - it is recorded, and the others are made nevertheless
            import logging

            logging.getLogger("flowctl").warning("undo %s failed: %s", call.name, failure)
