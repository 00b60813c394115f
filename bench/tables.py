"""The report that a person reads: a table for each case, and its goals below."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.machine import DISTURBED_CORES
from bench.summary import OWN

Summary = Mapping[str, Any]


def show(console: Console, machine: Mapping[str, Any], summaries: Sequence[Summary]) -> None:
    """Print everything."""
    peers = ", ".join(f"{name} {version}" for name, version in machine["peers"].items()) or "no peers"
    console.print(
        f"{machine['processor']}, {machine['cores']} cores, kernel {machine['kernel']}; {machine['file_system']}, "
        f"fdatasync of 4 KiB {machine['fdatasync_us']} µs; Python {machine['python']}, SQLite {machine['sqlite']}, "
        f"{peers}; commit {machine['commit']}; load at the start {machine['load']}"
    )
    for summary in summaries:
        console.print()
        console.print(f"[bold]{summary['case']}[/bold]: {summary['about']}", highlight=False)
        console.print(_table(summary))
        for line in _goals(summary):
            console.print(line, highlight=False)
        for line in _remarks(summary):
            console.print(line, style="dim", highlight=False)


def _table(summary: Summary) -> Table:
    table = Table("contender", "figure", "median", "min – max", "unit", f"{OWN} is")
    for column in table.columns[2:4]:
        column.justify = "right"
    for name, contender in summary["contenders"].items():
        for figure, found in contender["figures"].items():
            ratio = summary["ratios"].get(name, {}).get(figure)
            table.add_row(
                name,
                figure,
                number(found["median"]),
                f"{number(found['min'])} – {number(found['max'])}",
                summary["units"][figure],
                "" if ratio is None else f"{number(ratio)} x",
            )
    return table


def _goals(summary: Summary) -> Iterator[str]:
    for goal in summary["goals"]:
        unit = "x" if goal["over"] else summary["units"][goal["figure"]]
        over = f" over {goal['over']}" if goal["over"] else ""
        bound = f"{'≤' if goal['at_most'] else '≥'} {number(goal['bound'])} {unit}"
        if goal["value"] is None:
            yield f"  [yellow]?[/yellow] {goal['figure']}{over}: not measured (goal: {bound})"
        else:
            mark = "[green]✓ met[/green]" if goal["met"] else "[red]✗ not met[/red]"
            yield f"  {mark} {goal['figure']}{over}: {number(goal['value'])} {unit} (goal: {bound})"


def _remarks(summary: Summary) -> Iterator[str]:
    for name, contender in summary["contenders"].items():
        if contender["skipped"]:
            yield f"  {name} was left out: {contender['skipped']}"
        for failure in contender["failures"]:
            yield f"  {name} failed: {failure}"
    disturbed = [
        f"{name} ({contender['disturbed']} of {contender['rounds']} rounds)"
        for name, contender in summary["contenders"].items()
        if contender["disturbed"]
    ]
    if disturbed:
        yield f"  others used more than {DISTURBED_CORES:g} cores during: {', '.join(disturbed)}"


def number(value: float) -> str:
    """Return a figure with three digits that count, or all digits of a large one."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
