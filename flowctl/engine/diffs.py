"""Two runs side by side: steps aligned by key, and where payloads, code and surroundings differ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from flowctl.core.errors import NotFound
from flowctl.core.jsondiff import Difference, differences
from flowctl.core.jsonpath import MISSING
from flowctl.core.listing import RunFilter
from flowctl.core.model import Run, Step
from flowctl.store import Store

PAYLOADS = ("input", "output", "error")
_SURROUNDINGS = ("workflow", "path", "function", "directory", "python", "env_file", "environment")


class StepDiff(NamedTuple):
    """How one step differs; it may be in only one of the runs."""

    key: str
    before: Step | None
    after: Step | None
    payloads: Mapping[str, list[Difference]]  # by "input", "output", "error"
    source: bool  # whether its function's source has changed

    @property
    def diverges(self) -> bool:
        """Tell whether the step went another way. What the clock or chance gave differs in every run."""
        if self.before is None or self.after is None:
            return True
        drawn = self.before.kind == self.after.kind == "value"
        return self.before.state != self.after.state or (any(self.payloads.values()) and not drawn)


class FileDiff(NamedTuple):
    """A file of the code that differs; it may be of only one of the runs."""

    path: str
    before: str | None
    after: str | None

    def unified(self, before: Run, after: Run) -> list[str]:
        """Return the lines of a unified diff as git and patch know it, three lines of context around what changed."""
        from difflib import unified_diff

        one = f"{'/dev/null' if self.before is None else self.path}\trun {before.id}"
        other = f"{'/dev/null' if self.after is None else self.path}\trun {after.id}"
        lines = unified_diff(_lines(self.before or ""), _lines(self.after or ""), one, other, lineterm="")
        return [line for each in lines for line in each.split("\n")]


class RunDiff(NamedTuple):
    """How two runs differ, or with `only` one step of theirs. `steps` are those that do."""

    before: Run
    after: Run
    payloads: Mapping[str, list[Difference]]
    surroundings: Mapping[str, tuple[Any, Any]]
    files: list[FileDiff]  # of the code, that differ
    steps: list[StepDiff]
    only: str | None = None  # the key of the one step that is compared; then nothing is said of the rest

    @property
    def first(self) -> StepDiff | None:
        """Return the first step that went another way."""
        return next((step for step in self.steps if step.diverges), None)

    @property
    def differ(self) -> bool:
        """Tell whether anything differs but times, and what the clock or chance gave."""
        if any(step.diverges or step.source for step in self.steps):
            return True
        if self.only is not None:
            return False
        own = any(self.payloads.values()) or self.before.state != self.after.state
        return bool(own or self.files or self.surroundings)


def diff_runs(store: Store, before: Run, after: Run, only: str | None = None) -> RunDiff:
    """Return how two runs differ; with `only`, how the step with that key does, and nothing else."""
    ones = {step.key: step for step in store.steps.history(before.id)}
    others = {step.key: step for step in store.steps.history(after.id)}
    keys = sorted({**ones, **others}, key=lambda key: _place(ones.get(key), others.get(key)))
    steps = [_step_diff(key, ones.get(key), others.get(key)) for key in keys if only in (None, key)]
    differing = [step for step in steps if step.diverges or step.source or any(step.payloads.values())]
    if only is not None:
        return RunDiff(before, after, {}, {}, [], differing, only)
    values = {name: (getattr(before, name), getattr(after, name)) for name in _SURROUNDINGS}
    surroundings = {name: pair for name, pair in values.items() if pair[0] != pair[1]}
    return RunDiff(before, after, _payloads(before, after), surroundings, _files(store, before, after), differing)


def last_good(store: Store, run: Run) -> Run:
    """Return the newest older run of the same workflow that has succeeded. Raises NotFound."""
    wanted = RunFilter(run.namespace, states=("succeeded",), workflow=run.workflow, before=run.id, limit=1)
    found = store.runs.find(wanted)
    if not found:
        raise NotFound(
            f"no run of {run.workflow} before run {run.id} has succeeded", f"flowctl ls --workflow {run.workflow}"
        )
    return found[0]


def _place(one: Step | None, other: Step | None) -> tuple[int, int]:
    places = [step.seq for step in (one, other) if step is not None]
    return min(places), max(places)


def _step_diff(key: str, one: Step | None, other: Step | None) -> StepDiff:
    payloads = {} if one is None or other is None else _payloads(one, other)
    known = one is not None and other is not None and one.source_hash is not None and other.source_hash is not None
    source = known and one.source_hash != other.source_hash  # type: ignore[union-attr]  # known says so
    return StepDiff(key, one, other, payloads, source)


def _payloads(one: Run | Step, other: Run | Step) -> dict[str, list[Difference]]:
    found = {name: _between(name, getattr(one, name), getattr(other, name)) for name in PAYLOADS}
    return {name: differing for name, differing in found.items() if differing}


def _between(name: str, one: str | None, other: str | None) -> list[Difference]:
    return [] if one == other else differences(_value(name, one), _value(name, other))


def _value(name: str, text: str | None) -> Any:
    if text is None:
        return MISSING
    value = json.loads(text)
    if name == "error" and isinstance(value, dict):  # lines of a traceback move with every edit
        value.pop("traceback", None)
    return value


def _lines(text: str) -> list[str]:
    """Return the lines of a text; the last one says so when it has no end."""
    lines = text.split("\n")
    if not lines[-1]:
        return lines[:-1]
    return [*lines[:-1], f"{lines[-1]}\n\\ No newline at end of file"]


def _files(store: Store, before: Run, after: Run) -> list[FileDiff]:
    """Return the files whose text differs between the codes of two runs."""
    if before.code == after.code:
        return []
    ones, others = store.snapshots.get(before.code).files, store.snapshots.get(after.code).files
    pairs = [FileDiff(path, ones.get(path), others.get(path)) for path in sorted({**ones, **others})]
    return [file for file in pairs if file.before != file.after]
