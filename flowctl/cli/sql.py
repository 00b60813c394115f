"""`flowctl sql`: questions in SQL, read-only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from flowctl.cli.group import Command
from flowctl.cli.instants import parse_duration
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.core.errors import UsageError

if TYPE_CHECKING:
    from flowctl.cli.tables import Cell
    from flowctl.store.views import Answer

ON_TERMINAL = 1000  # rows, unless a person asks for more
_LONGEST_CELL = 60


@click.command(
    "sql",
    cls=Command,
    examples=[
        'flowctl sql "SELECT workflow, state, count(*) FROM runs GROUP BY 1, 2"',
        "flowctl sql \"SELECT run_id, output ->> '$.total' AS total FROM steps WHERE name = 'bill'\" --csv",
        'flowctl sql "PRAGMA table_info(steps)"',
    ],
)
@click.argument("query", metavar="QUERY", help="One SELECT, over the views.")
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values; names of columns come first.")
@click.option(
    "--limit", metavar="N", type=click.IntRange(1), help="At most so many rows.  [default on a terminal: 1000]"
)
@click.option("--timeout", metavar="DURATION", default="30s", show_default=True, help="Give up after so long.")
@pass_invocation
def sql(invocation: Invocation, /, query: str, as_csv: bool, limit: int | None, timeout: str) -> int:
    """Ask the database with a SELECT over the views runs, steps, attempts, slots and events.

    It is read-only, and sees every namespace. Payloads are JSON text, for SQLite's JSON functions; instants are
    milliseconds since 1970 in created_at, started_at, …, and ISO-8601 text in created, started, ….
    """
    if as_csv and invocation.json:
        raise UsageError("--csv and --json exclude each other")
    milliseconds = parse_duration(timeout, "--timeout")
    if limit is None and invocation.terminal.shortens and not as_csv:
        limit = ON_TERMINAL
    from flowctl.store.views import Bounds, ask

    with invocation.reading() as store:
        answer = ask(store.connection, query, Bounds(milliseconds / 1000, limit))
    if invocation.json:
        _print_json(invocation, answer)
    elif as_csv:
        _print_csv(invocation, answer)
    else:
        _print_table(invocation, answer)
    if answer.more:
        invocation.terminal.say(f"the first {len(answer.rows):,} rows; more with --limit")
    return 0


def _print_json(invocation: Invocation, answer: Answer) -> None:
    from flowctl.cli.json_shapes import dumps

    shapes = [
        {name: _json_value(value) for name, value in zip(answer.columns, row, strict=True)} for row in answer.rows
    ]
    invocation.terminal.data_json(dumps(shapes))


def _json_value(value: Any) -> Any:
    """Return a value that JSON has: of bytes their hexadecimal digits, and null for what is infinite."""
    if isinstance(value, bytes):
        return value.hex()
    return None if value in (float("inf"), float("-inf")) else value


def _print_csv(invocation: Invocation, answer: Answer) -> None:
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_harmless(name) for name in answer.columns])
    writer.writerows([_field(value) for value in row] for row in answer.rows)
    invocation.terminal.data(text.getvalue().removesuffix("\n"))


def _field(value: Any) -> str | float | None:
    return value if value is None or isinstance(value, (int, float)) else _harmless(_text(value))


def _harmless(text: str) -> str:
    """Return text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") and text else text


def _print_table(invocation: Invocation, answer: Answer) -> None:
    from flowctl.cli.tables import Column, show_table
    from flowctl.core.text import safe_line

    if not answer.rows:
        invocation.terminal.say("no rows")
        return
    shortens = invocation.terminal.shortens
    columns = [Column(safe_line(name), right=_numbers(answer, index)) for index, name in enumerate(answer.columns)]
    show_table(invocation.terminal, columns, [[_cell(value, shortens) for value in row] for row in answer.rows])


def _cell(value: Any, shortens: bool) -> Cell:
    from flowctl.cli.tables import Cell
    from flowctl.core.text import shorten

    if value is None:
        return Cell("null", "bright_black")
    return Cell(shorten(_text(value), _LONGEST_CELL) if shortens else _text(value))


def _numbers(answer: Answer, index: int) -> bool:
    return all(row[index] is None or isinstance(row[index], (int, float)) for row in answer.rows)


def _text(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
