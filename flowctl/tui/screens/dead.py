"""Dead letters: failures that nobody has dealt with, counted by what they failed of, retried or dropped together."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar, NamedTuple

from rich.text import Text
from textual.app import ComposeResult
from textual.widgets import Static

from flowctl.cli.instants import local, short
from flowctl.cli.ls import count_failures
from flowctl.core.listing import RunFilter, RunLine
from flowctl.core.text import safe_line, shorten
from flowctl.store import Store
from flowctl.tui.actions import RUN_ACTIONS, Action, Selection
from flowctl.tui.columns import Column, Row
from flowctl.tui.filters import LIMIT, selectors
from flowctl.tui.run_rows import duration
from flowctl.tui.screens.run_list import RunList

_COUNTED = 4  # kinds of failure that are shown


class Letter(NamedTuple):
    """A marked failure: more of it need not be known."""

    id: int
    state: str = "failed"


class DeadScreen(RunList):
    """The list of failures."""

    name_of_place = "dead"
    actions: ClassVar[tuple[Action, ...]] = tuple(
        each for each in RUN_ACTIONS if each.name in ("retry", "rerun", "drop")
    )
    columns: ClassVar[tuple[Column, ...]] = (
        Column("RUN", 7, right=True),
        Column("WORKFLOW", 16),
        Column("STARTED", 19, from_width=100),
        Column("DURATION", 9, right=True, from_width=120),
        Column("ERROR", 0),
    )

    def compose_body(self) -> ComposeResult:
        """Yield the counts above the list."""
        yield Static(markup=False, classes="counts")
        yield from super().compose_body()

    def on_mount(self) -> None:
        """Read; however many there are, all may be marked."""
        self.table.most_marked = LIMIT

    def asked(self) -> RunFilter:
        """Return which failures are shown."""
        return super().asked()._replace(dead=True)

    def row(self, run: RunLine) -> Row:
        """Return the cells of a failure."""
        error = (run.reason or "").removeprefix("StepFailed: ")  # which step it was follows
        return str(run.id), run.workflow, local(run.started_at or run.created_at), short(duration(run)), error

    def empty(self) -> str:
        """Return what is said when there is none."""
        return "no failures that nobody has dealt with"

    async def load(self) -> None:
        """Read which failures there are, and count them."""
        await super().load()
        numbers = [key for key in self.table.keys if isinstance(key, int)]

        def question(store: Store) -> Counter[tuple[str, str, str]]:
            return count_failures(store.lists.failures(numbers))

        self._show_counts((await self.ask(question)).most_common())

    def _show_counts(self, counts: list[tuple[tuple[str, str, str], int]]) -> None:
        lines = [
            f"{number:>8,}  {shorten(safe_line(workflow), 16):<16}  {kind:<12} {safe_line(type_)}"
            for (workflow, kind, type_), number in counts[:_COUNTED]
        ]
        if len(counts) > _COUNTED:
            rest = sum(number for _, number in counts[_COUNTED:])
            lines.append(f"{rest:>8,}  of {len(counts) - _COUNTED} other kinds: flowctl ls --dead --count")
        text = Text("\n".join(lines), no_wrap=True, overflow="ellipsis")
        self.query_one(".counts", Static).update(text)

    def subjects(self) -> list[Any]:
        """Return the marked failures, all of them as a command selects them, or the one under the cursor."""
        marked = self.table.marked
        if not marked:
            return super().subjects()
        options = selectors(self.filter)
        if len(marked) == len(self.table.keys) > 1 and options is not None:
            return [Selection(tuple(dict.fromkeys((*options, "--dead"))), "failed")]
        return [Letter(key) for key in marked if isinstance(key, int)]
