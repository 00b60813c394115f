"""Progress as plain lines on stderr, for a pipe, a file, or a terminal that cannot move its cursor."""

from __future__ import annotations

import json
import sys

from flowctl.cli.bars import bar
from flowctl.cli.instants import clock_time, short
from flowctl.cli.terminal import Terminal, can_draw
from flowctl.cli.words import icon
from flowctl.core.policy import summary
from flowctl.core.text import safe_line
from flowctl.engine.observer import Change, LogCaptured, RunChanged, StepChanged, StepProgressed

_CONCLUSIONS = {"succeeded", "failed", "cancelled", "paused", "blocked"}


class LineNarrator:
    """Says each thing that happens once, in a line."""

    def __init__(self, terminal: Terminal, *, verbose: bool) -> None:
        self._terminal = terminal
        self._verbose = verbose
        self._states: dict[int, str] = {}
        self._said = ""
        self._watched = 0

    def watch(self, run_id: int) -> LineNarrator:
        """Watch this run: its end is not said, because what follows the progress says it."""
        self._watched = run_id
        return self

    def __enter__(self) -> LineNarrator:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def say(self, text: str) -> None:
        """Say a line that stays."""
        self._terminal.say(text)

    def redraw(self) -> None:
        """Do nothing: lines are said when they happen."""

    def hear(self, change: Change) -> None:
        """Say a change."""
        if isinstance(change, RunChanged):
            self._say_run(change)
        elif isinstance(change, StepChanged):
            self._say_step(change)
        elif isinstance(change, StepProgressed):
            if self._verbose:
                self._terminal.say(f"  {safe_line(change.key)} {bar(change.progress, drawn=can_draw(sys.stderr))}")
        elif isinstance(change, LogCaptured):
            for text in change.text.removesuffix("\n").split("\n"):
                self._terminal.say(f"  {safe_line(change.step or 'workflow')} | {text}")

    def _say_run(self, change: RunChanged) -> None:
        before = self._states.get(change.run_id)
        self._states[change.run_id] = change.state
        if before == change.state or (before is not None and change.state == "running" and not self._verbose):
            return
        if change.run_id == self._watched and change.state in _CONCLUSIONS:
            return
        reason = f": {safe_line(change.reason)}" if change.reason else ""
        name = safe_line(change.workflow)
        self._terminal.say(f"run {change.run_id} {name}: {icon(change.state, stderr=True)} {change.state}{reason}")

    def _say_step(self, change: StepChanged) -> None:
        line = step_line(change)
        is_start = change.state == "running" and change.error is None and change.wake_at is None
        if (is_start or change.kind == "value") and not self._verbose:
            return
        if line != self._said:  # a wait is heard of again when its run goes on
            self._terminal.say(f"  {line}")
        self._said = line


def step_line(change: StepChanged) -> str:
    """Return what happened to a step, in one line."""
    key, took = safe_line(change.key), ""
    if change.finished_at is not None:
        took = f" in {short(change.finished_at - change.started_at)}"
    if change.state == "running" and change.error is not None:
        again = f", again at {clock_time(change.wake_at)}" if change.wake_at is not None else ""
        head = f"{icon('failed', stderr=True)} {key} attempt {change.attempt} failed{again}"
    elif change.state == "running" and change.wake_at is not None:
        head = f"{icon('sleeping', stderr=True)} {key} until {clock_time(change.wake_at)}"
    else:
        attempt = f" (attempt {change.attempt})" if change.attempt > 1 else ""
        head = f"{icon(change.state, stderr=True)} {key} {change.state}{took}{attempt}"
    return f"{head}: {error_summary(change.error)}" if change.error else head


def error_summary(error: str) -> str:
    """Return an error's JSON text in one safe line."""
    try:
        return safe_line(summary(error))
    except (json.JSONDecodeError, AttributeError):
        return safe_line(error[:200])
