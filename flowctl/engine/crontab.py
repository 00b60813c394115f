"""Crontabs and schedules: what an import makes of each line, and the crontab that an export writes.

A line and a schedule are the same when they do the same at the same times; the name does not count. So a crontab that
is imported again changes nothing, and a schedule is held, paused that is, while cron itself runs its line.
"""

from __future__ import annotations

import json
import os
import pwd
import shlex
import shutil
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from flowctl.core.crontab import (
    CRON_PATH,
    DEFAULT_SHELL,
    CrontabEntry,
    CrontabLine,
    Outcome,
    lasting,
    read_crontab,
    stem,
    write_crontab,
)
from flowctl.core.errors import UsageError
from flowctl.core.model import NewSchedule, Schedule
from flowctl.core.text import safe
from flowctl.engine import schedules as verbs
from flowctl.sdk.errors import shown
from flowctl.store import Store

HELD = "held: its line is still active in the crontab"
TAKE_OVER = "flowctl crontab import --apply --take-over"
TWICE = "cron runs it too: comment its line out there, or pause the schedule"
_OF_THE_LINE = ("kind", "expression", "zone", "input", "directory", "description")
_FIRST_PERSON = 1000  # below it are accounts of services
_SHELLS = ("sh", "bash", "dash", "zsh", "ksh")  # that understand `cd FOLDER && …`
_USUAL: dict[str, Any] = {
    "start_at": None, "end_at": None, "jitter_ms": 0, "window_ms": None, "pause_after": None, "env_file": None,
}  # fmt: skip

Action = Literal["new", "same", "changed"]
What = tuple[str, str, str | None]  # expression, command and standard input: by these a line is known again


class Scope(NamedTuple):
    """Where an import goes, and what cron runs at this moment, if that is `known` for certain."""

    namespace: str
    home: str
    active: frozenset[What]
    known: bool


def what(entry: CrontabEntry) -> What:
    """Return what an entry does. Its variables do not count: whoever changes one of them has still the same line."""
    return entry.expression, entry.command, entry.stdin


class Wish(NamedTuple):
    """The schedule that a line asks for, its variables, and what stands in the file for it."""

    schedule: NewSchedule
    variables: dict[str, str]
    old: Schedule | None
    held: bool

    @property
    def goes_on(self) -> bool:
        """Tell whether its schedule is there already, and not paused."""
        return self.old is not None and self.old.paused_at is None

    @property
    def action(self) -> Action:
        """Return what has to be done about it."""
        if self.old is None:
            return "new"
        same = all(getattr(self.old, name) == getattr(self.schedule, name) for name in NewSchedule._fields)
        return "same" if same else "changed"

    @property
    def change(self) -> str:
        """Return what a line makes of the schedule that is there already; '' when that stays, or is made."""
        if self.old is None or self.action != "changed":
            return ""
        given = _given(self.old)
        was = f", which was: {self.old.expression} {given[1]}" if given is not None else ""
        return f"it changes the schedule {self.old.name}{was}"


class Row(NamedTuple):
    """What becomes of a line."""

    line: CrontabLine
    outcome: Outcome
    reason: str
    wish: Wish | None


_Pair = tuple[Schedule, CrontabEntry]
_Either = Schedule | NewSchedule


class Exported(NamedTuple):
    """What becomes of a schedule: its line in the crontab, or why it has none."""

    schedule: str
    line: int | None
    text: str
    outcome: Literal["exported", "attention", "refused"]
    reason: str


# -- import


def plan(store: Store | None, lines: Iterable[CrontabLine], scope: Scope) -> list[Row]:
    """Return what an import would make of lines; without a store as in an empty one."""
    lines = list(lines)
    known = {} if store is None else {each.name: each for each in store.schedules.all(scope.namespace)}
    imported = [each for each in known.values() if each.source == "crontab" and each.workflow is None]
    variables = {each.name: _variables_of(store, each) for each in imported}
    matches = _match(lines, known, variables, scope)
    taken = set(known)
    rows = []
    for line in lines:
        if line.entry is None:
            rows.append(Row(line, line.outcome, line.reason, None))
            continue
        old = matches.get(line.line)
        name = old.name if old is not None else _free(line.entry.name, taken)
        taken.add(name)
        new, wanted = _schedule_of(line.entry, name, scope)
        if old is not None:
            environment = old.environment if wanted == variables[old.name] else None
            new = _changed(old, new, environment)
        wish = Wish(new, wanted, old, held=what(line.entry) in scope.active)
        rows.append(_row(line, wish))
    return rows


def carry_out(store: Store, lines: Iterable[CrontabLine], scope: Scope, now: int) -> list[Row]:
    """Make the schedules of lines, all or none, and let those go on that were held and whose lines cron has not now."""
    with store.transaction():
        rows = plan(store, lines, scope)
        for row in rows:
            if row.wish is not None:
                _make(store, row.wish, now)
        _release(store, scope, now)
    return rows


def release(store: Store, scope: Scope, now: int) -> list[str]:
    """Let the schedules go on that were held and whose lines are not active now; return their names."""
    with store.transaction():
        return _release(store, scope, now)


def runs_in_cron(schedule: Schedule, active: frozenset[What]) -> bool:
    """Tell whether cron itself runs what a schedule runs, at the same times."""
    entry = _entry_of(schedule, {}, schedule.directory)
    return entry is not None and what(entry) in active


def _match(
    lines: list[CrontabLine], known: dict[str, Schedule], variables: dict[str, dict[str, str]], scope: Scope
) -> dict[int, Schedule]:
    """Return by line number the schedule that stands for it: what is most alike first, each schedule for one line.

    A line whose time or variables were changed has the same command; one whose arguments were, the same program.
    """
    left = {name: known[name] for name in variables}
    open_lines = {line.line: line.entry for line in lines if line.entry is not None}
    found: dict[int, Schedule] = {}
    for likeness in (_content, _command, _program):
        alike: dict[tuple[object, ...], list[str]] = {}
        for name, schedule in left.items():
            alike.setdefault(likeness(schedule, variables[name]), []).append(name)
        for number, entry in list(open_lines.items()):
            names = alike.get(likeness(*_schedule_of(entry, entry.name, scope)), [])
            if names:
                name = entry.name if entry.name in names else names[0]
                names.remove(name)
                found[number] = left.pop(name)
                del open_lines[number]
    return found


def _content(schedule: _Either, variables: dict[str, str]) -> tuple[object, ...]:
    return (*_command(schedule, variables), schedule.expression, schedule.zone, tuple(sorted(variables.items())))


def _command(schedule: _Either, _variables: dict[str, str]) -> tuple[object, ...]:
    return schedule.input, schedule.directory


def _program(schedule: _Either, _variables: dict[str, str]) -> tuple[object, ...]:
    given = _given(schedule)
    return given and stem(given[1]), schedule.directory


def _free(name: str, taken: set[str]) -> str:
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free


def _schedule_of(entry: CrontabEntry, name: str, scope: Scope) -> tuple[NewSchedule, dict[str, str]]:
    """Return the schedule of an entry and its variables, as cron would run it."""
    given: dict[str, Any] = {"command": entry.command}
    if entry.shell != DEFAULT_SHELL:
        given = {"argv": [entry.shell, "-c", entry.command]}
    if entry.stdin is not None:
        given["input"] = entry.stdin
    schedule = NewSchedule(
        name=name,
        kind="cron",
        expression=entry.expression,
        zone=entry.zone,
        input=json.dumps(given, ensure_ascii=False),
        directory=os.path.join(scope.home, entry.environment.get("HOME") or ""),
        namespace=scope.namespace,
        description=entry.description,
        source="crontab",
    )
    folder = os.path.normpath(schedule.directory)
    return schedule._replace(directory=folder), {"PATH": CRON_PATH, **entry.environment, "SHELL": entry.shell}


def _changed(old: Schedule, new: NewSchedule, environment: str | None) -> NewSchedule:
    """Return the schedule that stands there with what the line says; what a person has set beside that stays."""
    kept = NewSchedule(**{name: getattr(old, name) for name in NewSchedule._fields})
    return kept._replace(environment=environment, **{name: getattr(new, name) for name in _OF_THE_LINE})


def _row(line: CrontabLine, wish: Wish) -> Row:
    looks = [TWICE] if wish.held and wish.goes_on else []
    account = None if line.entry is None else _account_in_front(line.entry)
    if account is not None:
        looks.append(f"its command begins with {shown(account)}, an account and no program: see --system-format")
    reason = "; ".join(filter(None, [line.reason, wish.change, *looks]))
    return Row(line, "attention" if looks else line.outcome, reason, wish)


def _account_in_front(entry: CrontabEntry) -> str | None:
    """Return the user whom the line may have a column for, although it was not to have one.

    Accounts of services are left out: some, such as mail, have the name of a program that may not be installed.
    """
    words = entry.command.split(None, 1)  # none, where a % begins it: the rest is input
    if entry.user is not None or len(words) < 2:
        return None
    try:
        number = pwd.getpwnam(words[0]).pw_uid
    except (KeyError, ValueError):  # ValueError: it holds what no name can
        return None
    is_a_person = number == 0 or number >= _FIRST_PERSON
    is_a_program = shutil.which(words[0], path=entry.environment.get("PATH", CRON_PATH)) is not None
    return words[0] if is_a_person and not is_a_program else None


def _make(store: Store, wish: Wish, now: int) -> None:
    if wish.action == "same":
        return
    new = wish.schedule._replace(environment=store.environments.put(wish.variables))
    if wish.old is not None:
        verbs.update_within(store, new, now)
        return
    made = verbs.add_within(store, new, now)
    if wish.held:
        store.schedules.pause(made.id, now, HELD)


def _release(store: Store, scope: Scope, now: int) -> list[str]:
    if not scope.known:
        return []
    held = [each for each in store.schedules.all(scope.namespace) if each.pause_reason == HELD]
    free = [each for each in held if not runs_in_cron(each, scope.active)]
    for schedule in free:
        verbs.resume_within(store, schedule, now)
    return [schedule.name for schedule in free]


def _variables_of(store: Store | None, schedule: Schedule) -> dict[str, str]:
    return {} if store is None or schedule.environment is None else store.environments.get(schedule.environment)


# -- export


def export(store: Store, namespace: str, home: str) -> tuple[str, list[Exported]]:
    """Return a crontab of the schedules, and for each of them its line there or why it has none."""
    rows: list[Exported] = []
    wanted: list[_Pair] = []
    for schedule in sorted(store.schedules.all(namespace), key=lambda each: each.id):
        entry = _entry_of(schedule, _variables_of(store, schedule), home)
        why = _refusal(schedule)
        if why or entry is None:
            rows.append(Exported(schedule.name, None, "", "refused", why))
        else:
            wanted.append((schedule, entry))
    written, refused = _that_fit(wanted)
    text = write_crontab(entry for _, entry in written)
    lines = [line for line in read_crontab(text, system=False) if line.entry is not None]
    written.sort(key=lambda pair: lasting(pair[1]))  # the order in which they are written
    for (schedule, _), line in zip(written, lines, strict=True):
        reason = _left_behind(schedule)
        rows.append(Exported(schedule.name, line.line, line.text, "attention" if reason else "exported", reason))
    return text, rows + refused


def _that_fit(pairs: list[_Pair]) -> tuple[list[_Pair], list[Exported]]:
    """Return the schedules that one crontab can express together, and the others with the reason."""
    if _refused_by(pairs) is None:
        return pairs, []
    fitting: list[_Pair] = []
    refused = []
    for pair in pairs:
        why = _refused_by([*fitting, pair])
        if why is None:
            fitting.append(pair)
        else:
            refused.append(Exported(pair[0].name, None, "", "refused", why))
    return fitting, refused


def _refused_by(pairs: list[_Pair]) -> str | None:
    try:
        text = write_crontab(entry for _, entry in pairs)
    except UsageError as error:
        return error.message
    return None if safe(text) == text else "it holds characters that steer a terminal, and cannot be printed"


def _entry_of(schedule: Schedule, variables: dict[str, str], home: str) -> CrontabEntry | None:
    """Return what a crontab would say of a schedule, None when it has no such word."""
    given = _given(schedule)
    if schedule.kind != "cron" or given is None:
        return None
    shell, command = given
    environment = {name: value for name, value in variables.items() if (name, value) != ("PATH", CRON_PATH)}
    environment.pop("SHELL", None)
    folder = os.path.normpath(os.path.join(home, environment.get("HOME") or ""))
    if schedule.directory != folder and shell.rpartition("/")[2] in _SHELLS:
        command = f"cd {shlex.quote(schedule.directory)} && {command}"
    stdin = json.loads(schedule.input).get("input")
    return CrontabEntry(
        name=schedule.name,
        expression=schedule.expression,
        zone=schedule.zone,
        command=command,
        stdin=stdin,
        shell=shell,
        user=None,
        environment=environment,
        description=schedule.description,
    )


def _given(schedule: _Either) -> tuple[str, str] | None:
    """Return shell and command of a schedule; None when it runs a workflow."""
    if schedule.workflow is not None:
        return None
    given = json.loads(schedule.input)
    if "command" in given:
        return DEFAULT_SHELL, given["command"]
    argv = given["argv"]
    if schedule.source == "crontab" and len(argv) == 3 and argv[1] == "-c":
        return argv[0], argv[2]
    return DEFAULT_SHELL, shlex.join(argv)


def _refusal(schedule: Schedule) -> str:
    if schedule.workflow is not None:
        return f"it runs the workflow {schedule.workflow}, and cron runs commands alone"
    if schedule.kind != "cron":
        return f"it is due by {schedule.kind}, and a crontab has cron expressions alone"
    if schedule.pause_reason not in (None, HELD):
        return f"it is paused ({schedule.pause_reason})"
    return ""


def _left_behind(schedule: Schedule) -> str:
    names = [name.removesuffix("_ms") for name, usual in _USUAL.items() if getattr(schedule, name) != usual]
    names += sorted(schedule.options)
    return f"cron has no {', '.join(name.replace('_', ' ') for name in names)}" if names else ""
