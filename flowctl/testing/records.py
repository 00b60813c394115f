"""What a run has recorded, as a test looks at it: plain JSON values, read when they are asked for."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from flowctl.core.model import Run, Step
from flowctl.core.policy import summary
from flowctl.engine.histories import history_of, to_json
from flowctl.store import Store


class RecordedStep(NamedTuple):
    """One step of a run."""

    key: str
    kind: str
    state: str
    attempts: int
    input: Any
    output: Any
    error: dict[str, str] | None


class RecordedRun:
    """One run, as it is now: a later look may show more."""

    def __init__(self, store: Store, number: int) -> None:
        self._store = store
        self.number = number

    def __repr__(self) -> str:
        return f"<{self.told}>"

    @property
    def told(self) -> str:
        """How it stands, in a sentence."""
        run = self._run
        why = summary(run.error) if run.error is not None else run.reason
        return f"run {run.id} {run.workflow} is {run.state}" + (f": {why}" if why else "")

    @property
    def state(self) -> str:
        """Its state: succeeded, failed, sleeping, blocked, …"""
        return self._run.state

    @property
    def reason(self) -> str | None:
        """Why it is in that state."""
        return self._run.reason

    @property
    def input(self) -> Any:
        """What it was given."""
        return json.loads(self._run.input)

    @property
    def output(self) -> Any:
        """What it returned. AssertionError, with the reason, when it has not succeeded."""
        output = self._run.output
        if output is None:
            raise AssertionError(self.told)
        return json.loads(output)

    @property
    def error(self) -> dict[str, str] | None:
        """Type, message and traceback of what made it fail."""
        return _json(self._run.error)  # type: ignore[no-any-return]

    @property
    def steps(self) -> dict[str, RecordedStep]:
        """Its steps by key, in the program's order."""
        return {step.key: _recorded(step) for step in self._store.steps.of_run(self.number)}

    @property
    def logs(self) -> str:
        """What it printed and logged."""
        return "".join(line.text for line in self._store.logs.of_run(self.number))

    @property
    def children(self) -> list[RecordedRun]:
        """The runs that it started."""
        return [RecordedRun(self._store, child.id) for child in self._store.runs.children(self.number)]

    @property
    def history(self) -> str:
        """Its recorded history as JSON text, for `Bench.replay`."""
        return to_json(history_of(self._store, self._run))

    @property
    def _run(self) -> Run:
        return self._store.runs.get(self.number)


def _recorded(step: Step) -> RecordedStep:
    return RecordedStep(
        step.key,
        step.kind,
        step.state,
        step.attempt,
        json.loads(step.input),
        _json(step.output),
        _json(step.error),
    )


def _json(text: str | None) -> Any:
    return None if text is None else json.loads(text)
