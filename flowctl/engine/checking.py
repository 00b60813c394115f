"""Replays of recorded histories against a workflow file as it is now: every step is answered from the record.

No body is executed, whatever the code asks: where the record ends, the replay ends.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.listing import RunFilter
from flowctl.core.model import FINAL_STATES
from flowctl.core.policy import summary
from flowctl.core.text import shorten
from flowctl.engine.histories import History, history_of
from flowctl.engine.loading import Description, LoadedFile, load_file
from flowctl.engine.mismatches import SHOWN, mismatch_reason
from flowctl.engine.supervisor import Event, Gone, Received
from flowctl.sdk.codec import canonical_hash
from flowctl.sdk.wire import Message
from flowctl.store import Store

REPLAY_TIMEOUT_S = 60.0  # of a workflow function of which no step runs


class Verdict(NamedTuple):
    """How one history fits the code."""

    name: str
    workflow: str
    steps: int  # that were recorded
    mismatch: str | None = None  # the first one, with both sides
    changed: tuple[str, ...] = ()  # steps whose source is not what was recorded
    asks: str | None = None  # the first step that is not recorded: it would run
    output: tuple[str, str] | None = None  # recorded, and returned now, where they differ
    at: str | None = None  # the recorded step that does not fit


def recorded_histories(store: Store, path: str, workflow: Description, namespace: str, last: int) -> Iterator[History]:
    """Yield what the newest runs of a workflow have recorded, those that were begun with a file of that path."""
    before: int | None = None
    while last > 0:
        page = store.runs.find(RunFilter(namespace, workflow=workflow.name, before=before, limit=max(last, 20)))
        if not page:
            return
        for run in [run for run in page if run.path == path and run.started_at is not None][:last]:
            last -= 1
            yield history_of(store, run)
        before = page[-1].id


class Checker:
    """Replays histories on executors that have imported the file."""

    def __init__(self, loaded: LoadedFile) -> None:
        self._loaded = loaded
        self._used_up = False

    def check_all(self, histories: Iterable[History]) -> Iterator[Verdict]:
        """Yield how each history fits the code."""
        for history in histories:
            yield self.check(history)

    def check(self, history: History) -> Verdict:
        """Return how one history fits the code."""
        if self._used_up:  # the workflow function was left in the middle, or has left something behind
            self._loaded.close()
            self._loaded = load_file(self._loaded.supervisor, self._loaded.executor.target)
        ended = self._replay(history)
        if isinstance(ended, str):
            self._used_up = True
            return Verdict(history.name, history.workflow, len(history.steps), ended)
        self._used_up = ended.fields["state"] != "succeeded" or bool(ended.fields.get("leftovers"))
        return _verdict(history, ended)

    def _replay(self, history: History) -> Message | str:
        """Return how the workflow function ended, or why it has not."""
        supervisor, executor = self._loaded.supervisor, self._loaded.executor
        supervisor.send(executor, [*(step.message for step in history.steps), _run_message(history)])
        overdue = SYSTEM_CLOCK.monotonic() + REPLAY_TIMEOUT_S
        while (left := overdue - SYSTEM_CLOCK.monotonic()) > 0:
            for event in supervisor.poll(left):
                if event.executor is executor and (end := _end(event)) is not None:
                    return end
        return f"the workflow function took longer than {REPLAY_TIMEOUT_S:g} s, although every step was answered"


def _run_message(history: History) -> Message:
    fields = {
        "run": history.run,
        "attempt": history.attempt,
        "function": history.function,
        "file_id": "check",
        "replay": "check",
        "serial": False,
        "workflow": history.workflow,
        "namespace": history.namespace,
        "tags": history.tags,
        "started_at": history.started_at,
    }
    return Message("run", fields, history.input)


def _end(event: Event) -> Message | str | None:
    if isinstance(event, Gone):
        return f"the workflow function {event.reason}"
    if isinstance(event, Received) and event.message.kind == "ended":
        return event.message
    return None


def _verdict(history: History, ended: Message) -> Verdict:
    fields = ended.fields
    mismatch = asks = at = None
    if fields["state"] == "mismatch" and fields["what"] == "unrecorded":
        asks = str(fields["key"])
    elif fields["state"] == "mismatch":
        at = fields["expected"]
        recorded = history.step(at)
        mismatch = mismatch_reason(fields, ended.payload, recorded.input if recorded else None)
    else:
        mismatch = _other_end(history, ended)
        at = next(iter(fields.get("unasked") or ()), None)
    changed = tuple(dict.fromkeys(fields.get("changed") or ()))
    output = _other_output(history, ended)
    return Verdict(history.name, history.workflow, len(history.steps), mismatch, changed, asks, output, at)


def _other_end(history: History, ended: Message) -> str | None:
    """Return how the workflow function ended before what was recorded, or other than that; None when it did not."""
    unasked = ended.fields.get("unasked") or []
    if ended.fields["state"] == "failed" and history.state != "failed":
        return f"it was {history.state}, and code now raises {summary(ended.payload or '{}')}"
    if unasked and history.state in FINAL_STATES - {"cancelled"}:
        step = history.step(unasked[0])
        return f'step {step.seq if step else "?"} "{unasked[0]}" is recorded, and code does not ask for it any more'
    return None


def _other_output(history: History, ended: Message) -> tuple[str, str] | None:
    now = ended.payload if ended.fields["state"] == "succeeded" else None
    if history.output is None or now is None or canonical_hash(history.output) == canonical_hash(now):
        return None
    return shorten(history.output, SHOWN), shorten(json.dumps(json.loads(now), ensure_ascii=False), SHOWN)
