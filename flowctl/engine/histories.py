"""Histories: what a run has recorded, as a record and as JSON that authors keep beside their code.

A history holds no path and nothing else of the machine that it was recorded on.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple, cast

from flowctl.core.errors import UsageError
from flowctl.core.model import Run, Step
from flowctl.sdk.codec import canonical_hash
from flowctl.sdk.wire import Message
from flowctl.store import Store

FORMAT = 1
_KINDS = {"step", "shell", "sleep", "signal", "child", "value"}
_STATES = {"running", "succeeded", "failed", "cancelled", "interrupted"}


class Checkpoint(NamedTuple):
    """One recorded step of a history."""

    seq: int
    key: str
    kind: str
    state: str
    input: str
    said: bool  # by a person: it answers whatever its input
    source: str | None  # hash of the step function, as hex
    output: str | None
    error: str | None
    undoes: int | None = None  # see Step

    @property
    def message(self) -> Message:
        """Return the message that tells an executor of it."""
        fields = {
            "seq": self.seq,
            "key": self.key,
            "kind": self.kind,
            "state": self.state,
            "input_hash": "" if self.said else canonical_hash(self.input).hex(),
            "source_hash": self.source,
            "undoes": self.undoes,
        }
        return Message("past", fields, self.output if self.state == "succeeded" else self.error)


class History(NamedTuple):
    """What one run has recorded."""

    name: str  # "run 42", or the file that it was read from
    run: int
    attempt: int
    workflow: str
    function: str
    namespace: str
    tags: dict[str, str]
    started_at: int
    state: str
    input: str
    output: str | None
    error: str | None
    steps: tuple[Checkpoint, ...]

    def step(self, key: str) -> Checkpoint | None:
        """Return the recorded step with that key, None when there is none."""
        return next((step for step in self.steps if step.key == key), None)


def history_of(store: Store, run: Run) -> History:
    """Return what a run has recorded."""
    steps = tuple(map(_checkpoint, store.steps.history(run.id)))
    return History(
        f"run {run.id}", run.id, run.attempt, run.workflow, run.function, run.namespace, run.tags,
        run.started_at or run.created_at, run.state, run.input, run.output, run.error, steps,
    )  # fmt: skip


def _checkpoint(step: Step) -> Checkpoint:
    return Checkpoint(
        step.seq, step.key, step.kind, step.state, step.input, step.said_by is not None,
        step.source_hash.hex() if step.source_hash else None, step.output, step.error, step.undoes,
    )  # fmt: skip


# -- as JSON --------------------------------------------------------------------------------------------------------


def to_json(history: History) -> str:
    """Return a history as JSON text that is laid out for a person and for diffs."""
    plain = {name: value for name, value in history._asdict().items() if name not in ("name", "steps")}
    steps = [_plain(step._asdict()) for step in history.steps]
    return json.dumps({"flowctl_history": FORMAT, **_plain(plain), "steps": steps}, indent=1, ensure_ascii=False)


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    payloads = {name: json.loads(fields[name]) for name in ("input", "output", "error") if fields[name] is not None}
    return {name: value for name, value in fields.items() if value not in (None, False, {})} | payloads


def from_json(text: str, name: str) -> History:
    """Return the history in a JSON text; `name` says where it is from. Raises UsageError for anything else."""
    try:
        found = json.loads(text)
        if found["flowctl_history"] != FORMAT:
            raise UsageError(f"{name} is a history of another flowctl: it has format {found['flowctl_history']}")
        return _history(found, name)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise UsageError(
            f"{name} is not a recorded history: {why}", "make one with: flowctl show RUN --history"
        ) from None


def _history(found: dict[str, Any], name: str) -> History:
    return History(
        name,
        _whole(found["run"]),
        _whole(found["attempt"]),
        str(found["workflow"]),
        str(found["function"]),
        str(found.get("namespace", "default")),
        {str(key): str(value) for key, value in found.get("tags", {}).items()},
        _whole(found["started_at"]),
        str(found["state"]),
        _compact(found["input"]),
        _text(found, "output"),
        _text(found, "error"),
        tuple(_read_step(step) for step in found["steps"]),
    )


def _read_step(found: dict[str, Any]) -> Checkpoint:
    key, kind, state = str(found["key"]), str(found["kind"]), str(found["state"])
    output, error = _text(found, "output"), _text(found, "error")
    outcome = {"succeeded": output, "failed": error}.get(state, "")
    if kind not in _KINDS or state not in _STATES or outcome is None:
        raise ValueError(f"its step {key} is not one that flowctl records")
    source = cast("str | None", found.get("source"))
    said = bool(found.get("said", False))
    undoes = _whole(found["undoes"]) if "undoes" in found else None
    return Checkpoint(
        _whole(found["seq"]), key, kind, state, _compact(found["input"]), said, source, output, error, undoes
    )


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise ValueError(f"{value!r} is not a whole number")
    return value


def _text(found: dict[str, Any], name: str) -> str | None:
    return _compact(found[name]) if name in found else None


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
