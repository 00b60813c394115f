"""The daemon's duty to hold runs that are due until their conditions hold, or their window is over.

A scheduled run with conditions is held from its creation (`hold`): nobody claims it. It is released when all of its
conditions hold at one look, and cancelled, with the reason, when its window ends before.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from contextlib import suppress
from typing import IO, Any, NamedTuple

from flowctl.core.listing import RunFilter
from flowctl.core.model import HELD_AT, Run
from flowctl.engine.probing import Question, command_line
from flowctl.sdk.durations import short_text
from flowctl.store import Store

LOOK_MS = 5_000  # between two looks, while a run is held
POLL_MS = 100  # at a look under way
LONGEST_MS = 60_000  # of one look
UNSEEN = "its conditions have not been looked at yet"


class _Looking(NamedTuple):
    """A look under way: what is asked for each run."""

    process: subprocess.Popen[bytes]
    answers: IO[bytes]
    asked: list[tuple[int, Question]]
    until: int


class Gate:
    """Holds and releases runs with conditions."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._looking: _Looking | None = None
        self._seen: set[int] = set()  # held runs that the last look was about
        self._next_at = 0

    def tick(self, now: int) -> int | None:
        """Do what follows from the look under way, begin another; return when to be called again."""
        if self._looking is not None:
            if self._looking.process.poll() is None and self._looking.until - LONGEST_MS <= now < self._looking.until:
                return now + POLL_MS
            self._conclude(self._looking, now)
        held = [self._store.runs.get(number) for number in self._store.holds.held()]
        if not held:
            self._seen.clear()
            return None
        held = self._without_stale(held, now)
        if held and (now >= self._next_at or {run.id for run in held} - self._seen):
            self._begin(held, now)
            return now + POLL_MS
        return self._next_at if held else None

    def close(self) -> None:
        """End the look under way."""
        if self._looking is not None:
            _end(self._looking.process)
            self._looking.answers.close()
            self._looking = None

    def _without_stale(self, held: list[Run], now: int) -> list[Run]:
        """Cancel runs whose window is over, and return the others."""
        stale = [run for run in held if (end := _window_end(run)) is not None and now > end]
        if stale:
            with self._store.transaction():
                for run in stale:
                    window = short_text(run.options["window_ms"])
                    reason = f"stale: held until its window of {window} was over: {run.reason or UNSEEN}"
                    self._store.runs.cancel_idle(run.id, now, reason)
        return [run for run in held if run not in stale]

    def _begin(self, held: list[Run], now: int) -> None:
        asked = [(run.id, question) for run in held for question in self._questions(run)]
        self._seen = {run.id for run in held}
        self._next_at = now + LOOK_MS
        self._looking = _Looking(*_start([question for _, question in asked]), asked, now + LONGEST_MS)

    def _questions(self, run: Run) -> list[Question]:
        environments = self._store.environments
        variables = environments.get(run.environment) if run.environment is not None else {}
        since = self._previous(run)
        return [Question(text, run.directory, since, variables) for text in run.options["when"]]

    def _previous(self, run: Run) -> int | None:
        """Return when the run before this one of the same schedule began."""
        found = self._store.runs.find(RunFilter(run.namespace, schedule=run.schedule, before=run.id, limit=10))
        return next((other.started_at for other in found if other.started_at is not None), None)

    def _conclude(self, looking: _Looking, now: int) -> None:
        self._looking = None
        answers = _answers(looking)
        lacks: dict[int, list[str]] = {}
        for (run_id, _), answer in zip(looking.asked, answers, strict=True):
            lacks.setdefault(run_id, []).extend([answer] if answer is not None else [])
        with self._store.transaction():
            for run_id, reasons in lacks.items():
                if reasons:
                    self._store.holds.keep(run_id, "; ".join(reasons))
                else:
                    self._store.holds.release(run_id)


def _window_end(run: Run) -> int | None:
    window = run.options.get("window_ms")
    return None if window is None or run.due_at is None else run.due_at + int(window)


def _start(questions: list[Question]) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
    """Begin a look, and return where its answers will be: files, because a pipe that is full would stop one side."""
    answers = tempfile.TemporaryFile()  # noqa: SIM115 - it outlives this function
    with tempfile.TemporaryFile() as asked:
        asked.write(json.dumps(questions).encode())
        asked.seek(0)
        process = subprocess.Popen(
            command_line(), stdin=asked, stdout=answers, stderr=subprocess.DEVNULL, start_new_session=True
        )
    return process, answers


def _answers(looking: _Looking) -> list[Any]:
    """Return the answer to each question; when the process has none, that is what every condition lacks."""
    over = looking.process.poll() is None
    if over:
        _end(looking.process)
    with looking.answers:
        looking.answers.seek(0)
        text = looking.answers.read()
    with suppress(ValueError):
        answers = json.loads(text)
        if isinstance(answers, list) and len(answers) == len(looking.asked):
            return answers
    why = f"took longer than {LONGEST_MS // 1000} s" if over else f"ended with exit code {looking.process.returncode}"
    return [f"the look at {question.condition} {why}" for _, question in looking.asked]


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def hold(options: dict[str, Any], window_ms: int | None) -> int | None:
    """Return the instant that holds a run with these options back, None when it has no conditions."""
    if not options.get("when"):
        return None
    if window_ms is not None:
        options["window_ms"] = window_ms
    return HELD_AT
