"""How the differences of two runs look: side by side where there is room, one below the other where there is not."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from flowctl.cli.instants import short
from flowctl.cli.render import run_duration
from flowctl.cli.tables import Cell, Column, Row, show_table
from flowctl.cli.terminal import Terminal, can_draw
from flowctl.cli.words import look
from flowctl.core.jsondiff import Difference
from flowctl.core.jsonpath import MISSING
from flowctl.core.text import safe, shorten

if TYPE_CHECKING:
    from flowctl.core.model import Run, Step
    from flowctl.engine.diffs import RunDiff, StepDiff

WIDE = 120  # columns from which on both values stand side by side
SHOWN = 20  # differences of one payload on a terminal
SHOWN_CODE = 100  # lines of the difference of one file on a terminal
LONGEST = 400  # characters of a value on a terminal
_BEFORE, _AFTER = "red", "green"
_NOTHING = "(nothing)"


def show_diff(terminal: Terminal, found: RunDiff) -> None:
    """Print how two runs differ, the first divergence on top."""
    before, after = found.before, found.after
    runs = f"{_pair(f'run {before.id}', f'run {after.id}', drawn=_draws())}  {after.workflow}"
    terminal.data(runs if found.only is None else f"{runs}, step {found.only}")
    for name, value in facts(found, drawn=_draws()).items():
        terminal.data(f"  {name:<11} {value}")
    if not found.differ:
        terminal.data("they do not differ" if found.only is None else f"they do not differ in {found.only}")
        return
    if found.first is not None and found.only is None:
        terminal.data(f"\nfirst divergence: {_first(found.first)}")
    entries = listed(found, SHOWN if terminal.shortens else None)
    if entries:
        terminal.data("")
        if terminal.draws and _width() >= WIDE:
            _side_by_side(terminal, found, entries)
        else:
            _unified(terminal, entries)
    for file in found.files:
        _show_code(terminal, file.unified(before, after))


def facts(found: RunDiff, *, drawn: bool) -> dict[str, str]:
    """Return what else of the runs is other, and how long both took; nothing when one step is compared."""
    if found.only is not None:
        return {}
    before, after = found.before, found.after
    states = [f"{look(run.state).icon if drawn else look(run.state).ascii} {run.state}" for run in (before, after)]
    told = {"state": _pair(*states, drawn=drawn) if before.state != after.state else ""}
    told["duration"] = _pair(short(run_duration(before)), short(run_duration(after)), drawn=drawn)
    changed = ", ".join(dict.fromkeys(_function(step) for step in found.steps if step.source))
    told["steps"] = f"other source of {changed}" if changed else ""
    told["files"] = ", ".join(file.path for file in found.files)
    told |= {name: _pair(_shown(one), _shown(other), drawn=drawn) for name, (one, other) in found.surroundings.items()}
    return {name: value for name, value in told.items() if value}


def _function(step: StepDiff) -> str:
    known = step.after or step.before
    return known.name if known is not None else step.key


def _pair(one: str, other: str, *, drawn: bool) -> str:
    return f"{one} {'→' if drawn else '->'} {other}"


def _draws() -> bool:
    return can_draw(sys.stdout)


def _shown(value: Any) -> str:
    return _NOTHING if value in (None, "") else str(value)


# -- differences ----------------------------------------------------------------------------------------------------


class Entry(NamedTuple):
    """One place that differs, and what it is in both runs."""

    subject: str  # the run, or a step
    place: str
    before: str
    after: str
    key: str | None = None  # of the step


def _first(step: StepDiff) -> str:
    entry = _entries_of_step(step, 1)[0]
    return f"{entry.subject}, {_line(entry, 60)}"


def listed(found: RunDiff, limit: int | None) -> list[Entry]:
    """Return the places that differ, of one payload at most so many: the input, the steps in their order, the end."""
    own = {name: _entries("run", {name: differing}, limit) for name, differing in found.payloads.items()}
    entries = own.pop("input", [])
    for step in found.steps:
        entries += _entries_of_step(step, limit)
    return entries + [entry for name in own for entry in own[name]]


def _entries_of_step(step: StepDiff, limit: int | None) -> list[Entry]:
    known = step.after or step.before
    subject = f"step {known.seq if known is not None else '?'} {step.key}"
    states = [_NOTHING if each is None else each.state for each in (step.before, step.after)]
    entries = [Entry(subject, "state", *states)] if states[0] != states[1] else []
    entries += _entries(subject, step.payloads, limit)
    if step.source:
        entries.append(Entry(subject, "source", _hash(step.before), _hash(step.after)))
    return [entry._replace(key=step.key) for entry in entries]


def _hash(step: Step | None) -> str:
    return _NOTHING if step is None or step.source_hash is None else step.source_hash.hex()[:12]


def _entries(subject: str, payloads: Mapping[str, Sequence[Difference]], limit: int | None) -> list[Entry]:
    entries = []
    for name, differing in payloads.items():
        shown = differing[:limit]
        entries += [Entry(subject, f"{name} {each.place}", _value(each.before), _value(each.after)) for each in shown]
        if len(differing) > len(shown):
            more = f"{len(differing) - len(shown):,} more places: --json has all"
            entries.append(Entry(subject, f"{name} …", more, more))
    return entries


def _value(value: Any) -> str:
    return _NOTHING if value is MISSING else json.dumps(value, ensure_ascii=False)


def _side_by_side(terminal: Terminal, found: RunDiff, entries: Sequence[Entry]) -> None:
    columns = [Column(""), Column("PLACE"), Column(f"RUN {found.before.id}"), Column(f"RUN {found.after.id}")]
    left = max(len(entry.subject) for entry in entries) + max(len(entry.place) for entry in entries)
    room = max(20, (_width() - left - 8) // 2)
    rows: list[Row] = []
    subject = ""
    for entry in entries:
        shown = entry.subject if entry.subject != subject else ""
        subject = entry.subject
        before, after = (shorten(text, room) for text in (entry.before, entry.after))
        rows.append((shown, entry.place, Cell(before, _BEFORE), Cell(after, _AFTER)))
    show_table(terminal, columns, rows)


def _unified(terminal: Terminal, entries: Sequence[Entry]) -> None:
    limit = LONGEST if terminal.shortens else None
    subject = ""
    for entry in entries:
        if entry.subject != subject:
            terminal.data(entry.subject)
            subject = entry.subject
        line = f"  {_line(entry, limit)}"
        if not terminal.shortens or len(line) <= _width():
            terminal.data(line)
        else:
            before, after = (shorten(text, limit or len(text)) for text in (entry.before, entry.after))
            terminal.data(f"  {entry.place}\n  - {before}\n  + {after}")


def _show_code(terminal: Terminal, lines: Sequence[str]) -> None:
    shown = lines[:SHOWN_CODE] if terminal.shortens else lines
    terminal.data("")
    if not terminal.draws:
        terminal.data("\n".join(shown))
    else:
        from rich.text import Text

        console = terminal.console()
        with console.capture() as captured:
            for line in shown:
                style = {"-": _BEFORE, "+": _AFTER, "@": "cyan"}.get(line[:1], "")
                console.print(Text(safe(line), style), soft_wrap=True)
        terminal.drawn(captured.get())
    if len(lines) > len(shown):
        terminal.data(f"… {len(lines) - len(shown):,} more lines: --json has all")


def _line(entry: Entry, limit: int | None) -> str:
    texts = (shorten(text, limit or len(text)) for text in (entry.before, entry.after))
    return f"{entry.place}: {_pair(*texts, drawn=_draws())}"


def _width() -> int:
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError):
        return int(os.environ.get("COLUMNS", "80")) if os.environ.get("COLUMNS", "80").isdigit() else 80


# -- JSON -----------------------------------------------------------------------------------------------------------


def diff_shape(found: RunDiff) -> dict[str, Any]:
    """Return the shape of how two runs differ. When one step is compared, it says nothing of the runs as a whole."""
    first = found.first
    runs = (found.before, found.after)
    return {
        "runs": [run.id for run in runs],
        "differ": found.differ,
        "first": None if first is None else first.key,
        "state": [run.state if found.only is None else None for run in runs],
        "duration_ms": [_duration(run) if found.only is None else None for run in runs],
        "files": [{"path": each.path, "diff": "\n".join(each.unified(*runs)) + "\n"} for each in found.files],
        "surroundings": {name: list(pair) for name, pair in found.surroundings.items()},
        **_payload_shapes(found.payloads),
        "steps": [_step_shape(step) for step in found.steps],
    }


def _step_shape(step: StepDiff) -> dict[str, Any]:
    pair = (step.before, step.after)
    return {
        "key": step.key,
        "diverges": step.diverges,
        "source_changed": step.source,
        "seq": [None if each is None else each.seq for each in pair],
        "state": [None if each is None else each.state for each in pair],
        "duration_ms": [
            None if each is None or each.finished_at is None else each.finished_at - each.begun_at for each in pair
        ],
        **_payload_shapes(step.payloads),
    }


def _payload_shapes(payloads: Mapping[str, Sequence[Difference]]) -> dict[str, Any]:
    return {name: [_difference_shape(each) for each in payloads.get(name, ())] for name in ("input", "output", "error")}


def _difference_shape(each: Difference) -> dict[str, Any]:
    """Return the shape of a difference: without `before` it was added, without `after` removed."""
    sides = {"before": each.before, "after": each.after}
    return {"path": each.place} | {name: value for name, value in sides.items() if value is not MISSING}


def _duration(run: Run) -> int | None:
    return None if run.started_at is None or run.finished_at is None else run.finished_at - run.started_at
