"""Noticing that files were edited: by their times and sizes, and only once they stand still."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from flowctl.core.model import Workflow
from flowctl.engine.looking import Look, look_of
from flowctl.engine.reloading import ACTOR, Reload, command_line
from flowctl.store import Store

LOOK_MS = 1_000
SETTLE_MS = 250  # an edit counts when the files look the same twice, so far apart
LONGEST_MS = 90_000  # of one reload

Name = tuple[str, str]  # namespace and name of a workflow


class _Reloading(NamedTuple):
    """A reload under way."""

    process: subprocess.Popen[bytes]
    subject: str  # of what the audit log is told about it
    began: int


class Reloader:
    """The daemon's duty to take up edited files of registered workflows, one after the other."""

    def __init__(self, store: Store, say: Callable[[str], None]) -> None:
        self._store = store
        self._say = say
        self._taken: dict[Name, Look] = {}  # how the files of a workflow looked when they were taken up, or refused
        self._seen: dict[Name, Look] = {}  # how they looked last
        self._reloading: _Reloading | None = None
        self._next_at = 0

    def tick(self, now: int) -> int | None:
        """Look whether files were edited, and begin to take one up; return when to be called again."""
        if self._reloading is not None and not self._is_over(self._reloading, now):
            return now + SETTLE_MS
        if not self._next_at - LOOK_MS <= now < self._next_at:
            moving = self._look(now)
            self._next_at = now + (SETTLE_MS if moving or self._reloading is not None else LOOK_MS)
        return self._next_at

    def close(self) -> None:
        """End the reload under way; whoever comes next begins it anew."""
        if self._reloading is not None:
            _kill(self._reloading.process)
            self._reloading = None

    def _is_over(self, reloading: _Reloading, now: int) -> bool:
        over = reloading.process.poll() is not None
        if not over and not reloading.began <= now < reloading.began + LONGEST_MS:
            _kill(reloading.process)
            over = True
        if over:
            self._reloading = None
            self._tell(reloading)
        return over

    def _tell(self, reloading: _Reloading) -> None:
        """Say what the audit log was told: once for an edit, and nothing where the files hold what is registered."""
        for event in self._store.events.of_subject(reloading.subject, reloading.began):
            if event.actor == ACTOR:
                self._say(f"{reloading.subject} {event.reason}")

    def _look(self, now: int) -> bool:
        """Begin one reload if there is a reason; tell whether some files are being edited."""
        moving = False
        for workflow in self._store.workflows.all():
            name = workflow.namespace, workflow.name
            files = self._store.snapshots.get(workflow.code).files
            look = look_of({*files, *_around(workflow)})
            before, self._seen[name] = self._seen.get(name), look
            if look == self._taken.get(name) or look_of([workflow.path]) == (None,):
                continue
            if before != look:
                moving = True
            elif self._reloading is None:
                self._taken[name] = look
                if workflow.kept_because is not None or differs(files):
                    process = _start(self._store.path, workflow)
                    self._reloading = _Reloading(process, f"workflow {workflow.name}", now)
        return moving


def _around(workflow: Workflow) -> list[str]:
    """Return what may be the matter with an edit that was refused: a module beside the file that is new to it."""
    if workflow.kept_because is None:
        return []
    folder = os.path.dirname(workflow.path)
    with suppress(OSError):
        return [os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".py")]
    return []


def differs(files: Mapping[str, str]) -> bool:
    """Tell whether the files on disk hold other texts than these."""
    return any(_text(path) != text for path, text in files.items())


def _text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return None


def _start(database: str, workflow: Workflow) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        command_line(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdin is not None
    asked = Reload(database, workflow.namespace, workflow.name)
    with suppress(BrokenPipeError), process.stdin:  # a few hundred bytes: a pipe holds them
        process.stdin.write(json.dumps(asked._asdict()).encode())
    return process


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
