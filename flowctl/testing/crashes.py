"""An engine that a test kills at a checkpoint: what it leaves behind is what SIGKILL leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from flowctl.core.model import Step
from flowctl.engine.engine import Engine
from flowctl.engine.observer import StepChanged
from flowctl.engine.session import Session
from flowctl.engine.supervisor import Received
from flowctl.sdk.definition import Workflow

_WITH_BODY = ("step", "shell")


class CrashPoint(NamedTuple):
    """A moment of a workflow at which everything dies: a step's body has ended, or its outcome is on disk."""

    step: str
    moment: Literal["done", "recorded"]
    workflow: Workflow[Any, Any]
    input: Mapping[str, Any]

    def __str__(self) -> str:
        what = "was done and not recorded" if self.moment == "done" else "was recorded"
        return f"after {self.step} {what}"


class Crashed(Exception):
    """The engine has died, as the test wanted."""


def points_of(steps: list[Step], workflow: Workflow[Any, Any], input: Mapping[str, Any]) -> list[CrashPoint]:
    """Return every point at which a run with these steps can die, in order."""
    points = []
    for step in steps:
        if step.kind in _WITH_BODY:
            points.append(CrashPoint(step.key, "done", workflow, input))
        points.append(CrashPoint(step.key, "recorded", workflow, input))
    return points


class MortalEngine(Engine):
    """An engine that raises Crashed at a point of a run, before anything that comes after it."""

    doom: tuple[int, CrashPoint] | None = None

    def listen(self, timeout: float) -> None:
        """Wait for executors; die when the step of the point is done."""
        super().listen(timeout)
        if self.doom is not None and any(self._is_done(event) for event in self._inbox):
            raise Crashed

    def die(self) -> None:
        """Leave the file and the processes as a killed engine does: nothing is recorded any more."""
        self.supervisor.close()
        self._lock.release()

    def _answer(self) -> None:
        if self.doom is not None and any(self._is_recorded(change) for change in self.changes):
            raise Crashed
        super()._answer()

    def _is_done(self, event: object) -> bool:
        assert self.doom is not None
        number, point = self.doom
        return (
            point.moment == "done"
            and isinstance(event, Received)
            and event.message.kind == "done"
            and event.message.fields["key"] == point.step
            and isinstance(event.executor.session, Session)
            and event.executor.session.run.id == number
        )

    def _is_recorded(self, change: object) -> bool:
        assert self.doom is not None
        number, point = self.doom
        return (
            point.moment == "recorded"
            and isinstance(change, StepChanged)
            and (change.run_id, change.key) == (number, point.step)
            and change.state in ("succeeded", "failed")
        )
