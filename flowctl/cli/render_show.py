"""How one run, or one step, looks to a person: `flowctl show`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flowctl.cli.bars import of_text
from flowctl.cli.instants import local, short
from flowctl.cli.render import note, run_duration
from flowctl.cli.tables import Cell, Column, Row, show_table, state_cell
from flowctl.cli.terminal import Terminal, can_draw
from flowctl.cli.words import advice, labelled, look
from flowctl.core.policy import error_class, summary
from flowctl.core.text import safe, safe_line

if TYPE_CHECKING:
    from flowctl.core.model import Attempt, Run, Step

PAYLOAD_LINES = 24  # of one payload on a terminal
PAYLOAD_CHARACTERS = 4_000
INLINE = 72  # characters of a payload that stays on one line
_STEP_COLUMNS = (
    Column("#", right=True),
    Column("STEP"),
    Column("STATE"),
    Column("KIND"),
    Column("DURATION", right=True),
    Column("ATTEMPTS", right=True),
    Column("NOTE", whole=False),
)
_ATTEMPT_COLUMNS = (
    Column("ATTEMPT", right=True),
    Column("STATE"),
    Column("STARTED"),
    Column("DURATION", right=True),
    Column("ERROR", whole=False),
)


@dataclass(frozen=True, slots=True)
class ShownRun:
    """All that `show` prints of a run."""

    run: Run
    reason: str | None
    gone: bool  # its engine is dead
    steps: Sequence[Step]
    left_out: int  # earlier steps that are not among them
    children: Mapping[str, int]  # step key: run number
    handlers: Sequence[Run]  # runs of its on_failure workflow
    awaited: Sequence[str]  # signals that it waits for


def show_run(terminal: Terminal, shown: ShownRun, *, whole: bool) -> None:
    """Print a run: header, steps, then input, output and error."""
    run = shown.run
    _headline(terminal, f"run {run.id}", run.workflow, run.state, run_duration(run))
    _facts(terminal, run_facts(run, shown.reason, shown.handlers))
    terminal.data("")
    if shown.left_out:
        terminal.data(f"… {shown.left_out:,} earlier steps: flowctl show {run.id} --all")
    if shown.steps:
        show_table(terminal, _STEP_COLUMNS, [_step_row(step, shown.children) for step in shown.steps])
    else:
        terminal.data("no steps yet" if run.finished_at is None else "no steps")
    limit = _Limit(terminal.shortens and not whole, f"flowctl show {run.id} --all")
    _payloads(terminal, run.input, run.output, run.error, limit)
    help_along = advice(run, shown.gone, shown.awaited)
    if help_along:
        terminal.data(f"\nnext: {help_along}")


def show_step(terminal: Terminal, run: Run, step: Step, attempts: Sequence[Attempt], *, whole: bool) -> None:
    """Print a step: header, attempts, then input, output and error."""
    _headline(terminal, f"run {run.id} step {step.seq}", step.key, step.state, _step_duration(step))
    _facts(
        terminal,
        {
            "kind": step.kind,
            "started": local(step.begun_at),
            "finished": local(step.finished_at),
            "until": local(step.wake_at) if step.finished_at is None else "",
            "outcome": _origin_told(run, step),
            "progress": of_text(step.progress, drawn=can_draw(sys.stdout)),
            "external": step.external_id or "",
        },
    )
    if attempts:
        terminal.data("")
        show_table(terminal, _ATTEMPT_COLUMNS, [*map(_attempt_row, attempts), *_own_attempt(step, attempts)])
    limit = _Limit(terminal.shortens and not whole, f"flowctl show {run.id} {step.key} --all")
    _payloads(terminal, step.input, step.output, step.error, limit)
    terminal.data(f"\nlogs: flowctl logs {run.id} {step.key}")


def _origin_told(run: Run, step: Step) -> str:
    if step.said_by is not None:
        return f"said by {step.said_by}, not by the step"
    return "" if step.shared_id is None else f"shared: flowctl show {run.forked_from} {step.key}"


def _headline(terminal: Terminal, what: str, name: str, state: str, duration: int | None) -> None:
    tail = f" in {short(duration)}" if duration is not None else ""
    if not terminal.draws:
        terminal.data(f"{what}  {name}  {labelled(state)}{tail}")
        return
    from rich.text import Text

    label = (labelled(state), look(state).style)
    console = terminal.console()
    with console.capture() as captured:
        console.print(Text.assemble((f"{what}  {safe_line(name)}  ", "bold"), label, tail), soft_wrap=True)
    terminal.drawn(captured.get())


def _facts(terminal: Terminal, facts: Mapping[str, str]) -> None:
    for name, value in facts.items():
        if value:
            terminal.data(f"  {name:<9} {safe_line(value)}")


def run_facts(run: Run, reason: str | None, handlers: Sequence[Run] = ()) -> dict[str, str]:
    """Return what there is to say of a run beside its steps, by what it is; '' where there is nothing."""
    return {
        "reason": note(run, reason) if run.state != "failed" else "",  # its error says it below
        "failure": error_class(run.error) if run.error is not None else "",
        "dropped": local(run.dropped_at),
        "created": local(run.created_at),
        "started": local(run.started_at),
        "finished": local(run.finished_at),
        "attempt": str(run.attempt) if run.attempt > 1 else "",
        "queue": run.queue if run.queue != "default" else "",
        "priority": str(run.priority) if run.priority else "",
        "key": run.key or "",
        "tags": " ".join(f"{name}={value}" for name, value in run.tags.items()),
        "namespace": run.namespace if run.namespace != "default" else "",
        "parent": f"run {run.parent_id}, step {run.parent_step}" if run.parent_id is not None else "",
        "forked": _forked(run),
        "rerun of": f"run {run.rerun_of}" if run.rerun_of is not None else "",
        "handles": f"the failure of run {run.handles}" if run.handles is not None else "",
        "handler": ", ".join(f"run {each.id} {each.workflow} ({each.state})" for each in handlers),
        "file": f"{run.path}:{run.function}" if run.path else "",
        "code": run.code[:12],
    }


def _forked(run: Run) -> str:
    if run.forked_from is None:
        return ""
    where = f"before step {run.forked_step}" if run.forked_step is not None else "from the beginning"
    return f"from run {run.forked_from}, {where}"


def _step_row(step: Step, children: Mapping[str, int]) -> Row:
    return (
        str(step.seq),
        step.key,
        state_cell(step.state),
        step.kind,
        short(_step_duration(step)),
        str(step.attempt),
        Cell(_step_note(step, children), "" if step.state == "failed" else "bright_black"),
    )


def _step_note(step: Step, children: Mapping[str, int]) -> str:
    origin = _origin(step)
    if step.error is not None:
        return ", ".join(filter(None, [_summary(step.error), origin]))
    if origin:
        return origin
    if step.key in children:
        return f"run {children[step.key]}"
    if step.wake_at is not None and step.finished_at is None:
        return ("until " if step.kind in ("sleep", "signal") else "again at ") + local(step.wake_at)
    return of_text(step.progress, drawn=can_draw(sys.stdout)) if step.state == "running" else ""


def _origin(step: Step) -> str:
    if step.said_by is not None:
        return f"said by {step.said_by}"
    return "shared" if step.shared_id is not None else ""


def _summary(error: str) -> str:
    try:
        return summary(error)
    except (ValueError, AttributeError):
        return error[:200]


def _step_duration(step: Step) -> int | None:
    return None if step.finished_at is None else step.finished_at - step.begun_at


def _attempt_row(attempt: Attempt) -> Row:
    return (
        str(attempt.attempt),
        state_cell(attempt.state),
        local(attempt.started_at),
        short(attempt.finished_at - attempt.started_at),
        _summary(attempt.error) if attempt.error else "",
    )


def _own_attempt(step: Step, attempts: Sequence[Attempt]) -> list[Row]:
    if attempts[-1].attempt == step.attempt:
        return []
    duration = None if step.finished_at is None else step.finished_at - step.started_at
    return [(str(step.attempt), state_cell(step.state), local(step.started_at), short(duration), "")]


@dataclass(frozen=True, slots=True)
class _Limit:
    """Whether payloads are shortened, and the command that shows them whole."""

    applies: bool
    command: str


def _payloads(terminal: Terminal, given: str, output: str | None, error: str | None, limit: _Limit) -> None:
    for title, text, lay_out in (("input", given, _pretty), ("output", output, _pretty), ("error", error, _error_text)):
        if text is not None:
            terminal.data(f"\n{title}\n{_indented(_shortened(text, lay_out, limit))}")


def _shortened(text: str, lay_out: Callable[[str], str], limit: _Limit) -> str:
    if not limit.applies:
        return safe(lay_out(text))
    if len(text) > 2_000_000:  # not worth laying out for its first lines
        return f"{safe(text[:PAYLOAD_CHARACTERS])}\n… {len(text):,} characters: {limit.command}"
    laid_out = safe(lay_out(text))
    lines = laid_out[:PAYLOAD_CHARACTERS].split("\n")[:PAYLOAD_LINES]
    head = "\n".join(lines)
    left = len(laid_out) - len(head)
    return head if left <= 0 else f"{head}\n… {left:,} more characters: {limit.command}"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.split("\n"))


def _pretty(text: str) -> str:
    if len(text) <= INLINE:
        return text
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def _error_text(text: str) -> str:
    try:
        record = json.loads(text)
        head = f"{record['type']}: {record['message']}"
        trace = str(record.get("traceback") or "").rstrip("\n")
    except (ValueError, KeyError, TypeError, AttributeError):
        return text
    if trace.endswith(head):  # as Python ends a traceback
        return trace
    return f"{head}\n{trace}" if trace else head
