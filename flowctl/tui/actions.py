"""What can be done: each action is a flowctl command, which is shown, copied, and run as it stands."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from flowctl.cli.invocation import resolve
from flowctl.core.listing import RunLine
from flowctl.core.model import FINAL_STATES, Schedule
from flowctl.engine.interpreter import own_program


class Action(NamedTuple):
    """A command for what is under the cursor."""

    name: str
    key: str
    title: str
    words: tuple[str, ...]  # of the command; the numbers or names go after the first of them
    refusal: Callable[[Any], str | None]  # why it cannot be done to that now
    destroys: bool = False  # it is asked for first
    form: str = ""  # "module:Class" of the screen that asks for what the command needs further
    alone: bool = False  # its command names nothing


class Selection(NamedTuple):
    """Many runs in one state, as the options of a command select them."""

    options: tuple[str, ...]
    state: str
    id: str = "of them"


class Outcome(NamedTuple):
    """What a command said."""

    code: int
    answer: Any  # its JSON; None where it printed none
    message: str  # of its error, with the hint


class Command(NamedTuple):
    """A flowctl command of this file and namespace, and what it reads."""

    words: tuple[str, ...]
    given: str | None = None

    def shown(self, db: str, namespace: str) -> str:
        """Return it as a person types it in the shell that the screen was started from."""
        plain = resolve({}, os.environ)
        options = [] if db == plain.db else ["--db", db]
        options += [] if namespace == plain.namespace else ["--namespace", namespace]
        typed = shlex.join(["flowctl", *self._with(options)])
        return typed if self.given is None else f"{typed} <<< {shlex.quote(self.given)}"

    async def run(self, db: str, namespace: str) -> Outcome:
        """Run it on a thread of its own, and return what it said."""
        if any("\0" in word for word in self.words):
            return Outcome(2, None, "a name with a NUL character cannot be given to a command")
        options = ["--db", db, "--namespace", namespace, "--json", "--color", "never"]
        argv = [*own_program(), *self._with(options)]
        done = await asyncio.to_thread(_call, argv, self.given)
        text = done.stdout if done.returncode == 0 else done.stdout or done.stderr
        return Outcome(done.returncode, _json_of(text), _message(done))

    def _with(self, options: Sequence[str]) -> list[str]:
        """Return its words with options: what follows a `--` is a name, whatever it looks like."""
        end = self.words.index("--") if "--" in self.words else len(self.words)
        return [*self.words[:end], *options, *self.words[end:]]


def command_for(action: Action, subjects: Sequence[Any]) -> Command:
    """Return the command of an action for what has a name, or else a number."""
    verb, *options = action.words
    head, *rest = verb.split(" ")
    selected = next((subject for subject in subjects if isinstance(subject, Selection)), None)
    if selected is not None:
        return Command((head, *rest, *options, *selected.options, *(["--yes"] if action.destroys else [])))
    names = [] if action.alone else [_called(subject) for subject in subjects]
    if any(name.startswith("-") for name in names):
        return Command((head, *rest, *options, "--", *names))
    return Command((head, *rest, *names, *options))


def _called(subject: Any) -> str:
    return str(getattr(subject, "name", None) or getattr(subject, "id", subject))


def refusal_of(action: Action, subjects: Sequence[Any]) -> str | None:
    """Return why an action cannot be done: to none of several."""
    if not subjects:
        return "nothing is chosen"
    reasons = [action.refusal(subject) for subject in subjects]
    return None if None in reasons else reasons[0]


def _call(argv: list[str], given: str | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, input=given or "", capture_output=True, text=True, check=False)


def _json_of(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _message(done: subprocess.CompletedProcess[str]) -> str:
    said = _json_of(done.stderr.strip().rpartition("\n")[2]) or _json_of(done.stdout)
    if isinstance(said, dict) and isinstance(said.get("error"), dict):
        return " · ".join(filter(None, [said["error"].get("message"), said["error"].get("hint")]))
    return done.stderr.strip()


def _unless(states: frozenset[str], does: str) -> Callable[[RunLine], str | None]:
    def refusal(run: RunLine) -> str | None:
        return f"run {run.id} is {run.state}: {does}" if run.state in states else None

    return refusal


def _only(states: frozenset[str], does: str) -> Callable[[RunLine], str | None]:
    def refusal(run: RunLine) -> str | None:
        return f"run {run.id} is {run.state}: {does}" if run.state not in states else None

    return refusal


def _always(_: object) -> None:
    return None


_RETRIED = _only(
    frozenset({"failed", "cancelled", "blocked"}), "only one that has failed, or is blocked, can be retried"
)
RUN_ACTIONS = (
    Action("retry", "r", "Retry", ("retry", "--detach"), _RETRIED),
    Action("rerun", "n", "Rerun", ("rerun", "--detach"), _always),
    Action("cancel", "x", "Cancel", ("cancel",), _unless(FINAL_STATES, "it has ended"), destroys=True),
    Action(
        "pause",
        "p",
        "Pause",
        ("pause",),
        _unless(FINAL_STATES | {"blocked", "paused"}, "only one that goes on can be paused"),
    ),
    Action(
        "resume",
        "u",
        "Resume",
        ("resume", "--detach"),
        _unless(FINAL_STATES | {"blocked"}, "only one that is paused or waits can be resumed"),
    ),
    Action(
        "drop", "X", "Drop", ("drop",), _only(frozenset({"failed"}), "only a failure can be dropped"), destroys=True
    ),
)
RETRY_SAME_CODE = Action(
    "retry-same-code", "", "Retry with the code it has", ("retry", "--same-code", "--detach"), _RETRIED
)


def retry_from(step: str) -> Action:
    """Return the action that runs a step, and all after it, again."""
    return Action("retry-from", "", f"Retry from {step}", ("retry", "--from", step, "--detach"), _RETRIED)


def _only_paused(schedule: Schedule) -> str | None:
    return f"{schedule.name} is not paused" if schedule.paused_at is None else None


def _unless_paused(schedule: Schedule) -> str | None:
    return f"{schedule.name} is paused already: {schedule.pause_reason}" if schedule.paused_at is not None else None


SCHEDULE_ACTIONS = (
    Action("trigger", "t", "Trigger", ("schedules trigger",), _always),
    Action("pause", "p", "Pause", ("schedules pause",), _unless_paused, form="schedule_forms:PauseForm"),
    Action("resume", "u", "Resume", ("schedules resume",), _only_paused),
    Action("edit", "e", "Edit", ("schedules update",), _always, form="schedule_forms:EditForm"),
    Action("backfill", "b", "Backfill", ("schedules backfill",), _always, form="schedule_forms:BackfillForm"),
    Action("remove", "X", "Remove", ("schedules remove", "--yes"), _always, destroys=True),
)
WORKFLOW_ACTIONS = (
    Action("start", "n", "New run", ("run", "--input", "-", "--detach"), _always, form="start:StartForm"),
    Action("remove", "X", "Remove", ("workflows remove", "--yes"), _always, destroys=True),
)
