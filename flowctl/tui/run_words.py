"""What is said of a run and its steps: the lines above them, and those of the tabs that are text."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from flowctl.cli.bars import of_text
from flowctl.cli.instants import local, short
from flowctl.cli.lines import error_summary
from flowctl.cli.render import run_duration
from flowctl.cli.render_show import run_facts
from flowctl.cli.words import advice, look
from flowctl.core.listing import StepLine
from flowctl.core.model import Run
from flowctl.core.text import safe_line, shorten
from flowctl.tui.code import Source
from flowctl.tui.run_reads import Detail, SeenRun
from flowctl.tui.widgets.lines import Line, lines_of

_ELSEWHERE = ("reason", "created", "finished", "file", "code", "failure")  # said in other lines, or in the tabs


def heading(seen: SeenRun) -> Text:
    """Return the lines above the steps of a run."""
    run = seen.run
    found = look(run.state)
    duration = run_duration(run)
    text = Text.assemble(
        (f"run {run.id} {safe_line(shorten(run.workflow, 80))}  ", "bold"), (f"{found.icon} {run.state}", found.style)
    )
    if duration is not None:
        text.append(f" {'for' if run.finished_at is None else 'in'} {short(duration)}")
    why = error_summary(run.error) if run.error is not None else run_facts(run, seen.reason)["reason"]
    if why:
        text.append(f"  {safe_line(why)}", "red" if run.error is not None else "")
    help_along = advice(run, seen.gone, seen.awaited)
    if help_along:
        text.append(f"\nnext: {safe_line(help_along)}", "bold")
    for step in [step for step in seen.known[run.id].steps if step.state == "running" and step.progress][:2]:
        text.append(f"\n{safe_line(shorten(step.key, 40))}  {of_text(step.progress, drawn=True)}", "blue")
    return text


def facts(seen: SeenRun) -> str:
    """Return when a run began, where it belongs, and where it comes from."""
    found = run_facts(seen.run, seen.reason)
    told = [f"{name} {value}" for name, value in found.items() if value and name not in _ELSEWHERE]
    return safe_line(" · ".join(told) or f"created {local(seen.run.created_at)}")


def about(step: StepLine | None) -> str:
    """Return what a row of the tree does not say of a step, in a line."""
    if step is None:
        return ""
    facts = [
        safe_line(shorten(step.key, 60)),
        step.kind,
        f"started {local(step.begun_at)[11:]}",
        f"until {local(step.wake_at)}" if step.wake_at is not None and step.kind in ("sleep", "signal") else "",
        f"again at {local(step.wake_at)}" if step.wake_at is not None and step.kind not in ("sleep", "signal") else "",
        "shared with the run it was forked from" if step.shared else "",
        safe_line(f"said by {step.said_by}, not by the step") if step.said_by is not None else "",
        of_text(step.progress, drawn=True),
    ]
    return " · ".join(filter(None, facts))


def attempt_lines(detail: Detail) -> list[Line]:
    """Return the attempts of a step; of a run, the changes of its state, which its attempts are among."""
    return list(_step_attempts(detail) if detail.step is not None else _run_attempts(detail.run, detail))


def _step_attempts(detail: Detail) -> Iterator[Line]:
    step = detail.step
    assert step is not None
    yield Line(f"{'ATTEMPT':>7}  {'STATE':<13}{'STARTED':<19}  {'TOOK':>8}  ERROR", "bold")
    for each in detail.attempts:
        error = error_summary(each.error) if each.error else ""
        yield _attempt(each.attempt, each.state, each.started_at, each.finished_at, error)
    if not detail.attempts or detail.attempts[-1].attempt != step.attempt:
        yield _attempt(step.attempt, step.state, step.started_at, step.finished_at, "")


def _attempt(number: int, state: str, started: int, finished: int | None, error: str) -> Line:
    found = look(state)
    took = "" if finished is None else short(finished - started)
    return Line(f"{number:>7}  {f'{found.icon} {state}':<13}{local(started)}  {took:>8}  {error}", found.style)


def _run_attempts(run: Run, detail: Detail) -> Iterator[Line]:
    yield Line(f"{'ATTEMPT':>7}  {'STATE':<13}{'SINCE':<19}  REASON", "bold")
    for each in detail.events:
        found = look(each.state or run.state)
        why = " · ".join(filter(None, (each.reason, each.actor)))
        text = f"{each.attempt or 1:>7}  {f'{found.icon} {each.state}':<13}{local(each.at)}  {safe_line(why)}"
        yield Line(text, found.style)


def code_title(source: Source) -> str:
    """Return where a function stands, and whether its file says something else now."""
    where = f"{safe_line(source.path)}:{source.lines.start}" if source.lines else safe_line(source.path)
    return f"! {source.differs} · {where}" if source.differs else f"e edits it · {where}"


def code_lines(source: Source) -> list[Line]:
    """Return a file with the lines of the function told from the others."""
    lines = []
    for number, line in enumerate(lines_of(source.text), 1):
        inside = number in source.lines or not source.lines
        sign = "│" if inside else " "
        lines.append(line._replace(style="" if inside else "bright_black", head=f"{number:>5} {sign} "))
    return lines
