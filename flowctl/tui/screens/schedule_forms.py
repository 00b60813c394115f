"""Forms about schedules: add, edit, pause, backfill."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from itertools import islice
from typing import Any

from flowctl.cli.arguments import parse_object
from flowctl.cli.instants import parse_instant
from flowctl.cli.render_schedules import local_text
from flowctl.cli.schedule_options import NONE, ScheduleOptions, check_name
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import UsageError
from flowctl.core.model import NewSchedule, Schedule
from flowctl.core.planning import rule_of
from flowctl.core.recurrence import check, describe, patterns, slots
from flowctl.core.zones import LAST_MS
from flowctl.engine.schedules import unfired, why_none_unfired
from flowctl.sdk.durations import short_text
from flowctl.tui.actions import Command
from flowctl.tui.screens.form import Form, Values, whole_number
from flowctl.tui.widgets.field import Field

_KINDS = ("cron", "every", "once", "change")
_OPTIONS = {
    "zone": "--tz",
    "overlap": "--overlap",
    "catch_up": "--catch-up",
    "jitter": "--jitter",
    "window": "--window",
}
_EMPTIED = {"jitter": "0s", "window": NONE}
_COMING = 3  # fires that are shown


def _rhythm_fields(old: Schedule | None) -> list[Field]:
    kind, expression, zone = ("cron", "", "") if old is None else (old.kind, _typed(old), old.zone)
    return [
        Field("kind", "due by", kind, choices=_KINDS),
        Field(
            "expression",
            "expression",
            expression,
            "30 2 * * *, @daily · 10m, 1d · 2030-01-31T09:30, 09:30 · inbox/*.csv",
        ),
        Field("zone", "zone", zone, "this machine's, or such as Europe/Berlin"),
    ]


def _typed(schedule: Schedule) -> str:
    """Return the expression of a schedule as it is typed: patterns of files beside each other, quoted like words."""
    return shlex.join(patterns(schedule.expression)) if schedule.kind == "change" else schedule.expression


def _expressions(values: Values) -> list[str]:
    """Return what the expression says, which may be several patterns of files. Raises UsageError."""
    if values["kind"] != "change":
        return [values["expression"]]
    try:
        return shlex.split(values["expression"])
    except ValueError as error:
        raise UsageError(f"the expression has an open quotation: {error}") from None


def _policy_fields(old: Schedule | None) -> list[Field]:
    overlap, catch_up = ("skip", "latest") if old is None else (old.overlap, old.catch_up)
    jitter = "" if old is None or not old.jitter_ms else short_text(old.jitter_ms)
    window = "" if old is None or old.window_ms is None else short_text(old.window_ms)
    return [
        Field("overlap", "overlap", overlap, choices=("skip", "queue", "allow", "replace")),
        Field("catch_up", "catch-up", catch_up, choices=("latest", "skip", "all")),
        Field("jitter", "jitter", jitter, "start up to so much later: 5m"),
        Field("window", "window", window, "never run a slot that is later than this: 2h"),
    ]


class _RhythmForm(Form):
    """What add and edit have in common."""

    def _options(self, values: Values) -> list[str]:
        """Return the options for what was changed."""
        changed = {name for name, text in values.items() if text != self._first[name]}
        words: list[str] = []
        if changed & {"kind", "expression"}:
            expressions, option = _expressions(values), "on-change" if values["kind"] == "change" else values["kind"]
            words = [word for each in expressions for word in (f"--{option}", each)]
        for name, option in _OPTIONS.items():
            if name in changed:
                words += [option, values[name] or _EMPTIED.get(name, "")]
        return words

    def _changes(self, values: Values) -> dict[str, Any]:
        """Return the fields of the schedule that these are. Raises UsageError as the command line does."""
        given: dict[str, Any] = {name: values[name] or None for name in _OPTIONS} | {"zone": values["zone"]}
        if values["kind"] != self._first["kind"] or values["expression"] != self._first["expression"]:
            if values["kind"] == "change":
                given["on_change"] = tuple(_expressions(values))
            else:
                given[values["kind"]] = values["expression"]
        return ScheduleOptions(**given).changes()

    def _schedule(self, values: Values) -> NewSchedule:
        raise NotImplementedError

    async def preview(self, values: Values) -> str:
        """Return when it would be due."""
        new = self._schedule(values)
        if new.kind == "change":
            return f"due: {describe(rule_of(new))}"
        coming = islice(slots(rule_of(new), SYSTEM_CLOCK.now(), LAST_MS), _COMING)
        texts = [local_text(each, new.zone) for each in coming]
        return f"due: {', '.join(texts)}" if texts else ""


class AddForm(_RhythmForm):
    """A new schedule of a registered workflow or of a shell command."""

    def __init__(self, workflows: Sequence[str]) -> None:
        fields = [
            Field("name", "name", note="of the schedule"),
            *_rhythm_fields(None),
            Field("workflow", "workflow", note="to run: a registered name", known=workflows),
            Field("input", "input", note='its parameters: {"name": value}', is_long=True),
            Field("command", "or command", note="for the shell, in this folder"),
            *_policy_fields(None),
        ]
        super().__init__("New schedule", fields)

    def command(self, values: Values) -> Command:
        """Return the `flowctl schedules add` that the fields make."""
        check_name(values["name"])
        self._schedule(values)
        words = ["schedules", "add", values["name"], *self._options(values)]
        if bool(values["workflow"]) == bool(values["command"]):
            what = "both a workflow and a command are given" if values["workflow"] else "nothing says what it runs"
            raise UsageError(what, "give a workflow, or a command")
        if values["command"]:
            return Command((*words, "--shell", "--", values["command"]))
        words += ["--workflow", values["workflow"]]
        return _with_input(words, values["input"])

    def _schedule(self, values: Values) -> NewSchedule:
        if not values["expression"]:
            raise UsageError("nothing says when it is due", "give an expression")
        new = NewSchedule(name=values["name"], input="{}", directory="", **self._changes(values))
        check(rule_of(new))
        return new


class EditForm(_RhythmForm):
    """Another rhythm, other policies or another input of a schedule."""

    def __init__(self, schedules: Sequence[Schedule]) -> None:
        self._old = old = schedules[0]
        given = [Field("input", "input", old.input, is_long=True)] if old.workflow is not None else []
        super().__init__(f"Edit {old.name}", [*_rhythm_fields(old), *_policy_fields(old), *given])

    def command(self, values: Values) -> Command:
        """Return the `flowctl schedules update` that the fields make."""
        self._schedule(values)
        words = ["schedules", "update", self._old.name, *self._options(values)]
        if values.get("input", "") != self._first.get("input", ""):
            return _with_input(words, values["input"] or "{}")
        if len(words) == len(("schedules", "update", "NAME")):
            raise UsageError("nothing is changed")
        return Command(tuple(words))

    def _schedule(self, values: Values) -> NewSchedule:
        old = NewSchedule(**{name: getattr(self._old, name) for name in NewSchedule._fields})
        new = old._replace(**self._changes(values))
        check(rule_of(new))
        return new


class PauseForm(Form):
    """Why schedules are paused: it stands beside each slot that is skipped."""

    def __init__(self, schedules: Sequence[Schedule]) -> None:
        self._names = [each.name for each in schedules]
        about = "Slots that are due meanwhile are skipped, and not made up for."
        super().__init__(f"Pause {', '.join(self._names)}", [Field("reason", "reason", note="by a person")], about)

    def command(self, values: Values) -> Command:
        """Return the `flowctl schedules pause` for that reason."""
        reason = ("--reason", values["reason"]) if values["reason"] else ()
        return Command(("schedules", "pause", *self._names, *reason))


class BackfillForm(Form):
    """Runs for slots of the past that have none."""

    def __init__(self, schedules: Sequence[Schedule]) -> None:
        self._schedule = schedules[0]
        fields = [
            Field("from", "from", note="first slot: 2026-01-31, 2026-01-31T09:30"),
            Field("to", "to", note="last slot: now"),
            Field("limit", "at most", "100"),
        ]
        about = "A run for each slot of the past that has none of its own, one after the other."
        super().__init__(f"Backfill {self._schedule.name}", fields, about)

    def command(self, values: Values) -> Command:
        """Return the `flowctl schedules backfill` for that span."""
        self._span(values)
        words = ["schedules", "backfill", self._schedule.name, "--from", values["from"]]
        words += ["--to", values["to"]] if values["to"] else []
        return Command((*words, "--limit", values["limit"], "--yes"))

    async def preview(self, values: Values) -> str:
        """Return how many runs it would make."""
        first, last, limit = self._span(values)
        due = await self.flowctl.reader.ask(lambda store: unfired(store, self._schedule, first, last, limit))
        if not due:
            return why_none_unfired(self._schedule, first, last)
        zone = self._schedule.zone
        if len(due) == 1:
            return f"1 run: for {local_text(due[0], zone)}"
        return f"{len(due)} runs: for {local_text(due[0], zone)} to {local_text(due[-1], zone)}"

    def _span(self, values: Values) -> tuple[int, int, int]:
        if not values["from"]:
            raise UsageError("nothing says from when on", "give a time")
        now, zone = SYSTEM_CLOCK.now(), self._schedule.zone
        last = parse_instant(values["to"], "--to", now, zone) if values["to"] else now
        return parse_instant(values["from"], "--from", now, zone), last, whole_number(values["limit"], "--limit")


def _with_input(words: Sequence[str], text: str) -> Command:
    """Return a command that reads its input from stdin, where there is one. Raises UsageError."""
    if not text:
        return Command(tuple(words))
    parse_object(text, "--input")
    return Command((*words, "--input", "-"), text)
