"""Runs as rows of a list: the columns, what stands in them, and by what they are sorted."""

from __future__ import annotations

from typing import NamedTuple

from flowctl.cli.instants import local, short
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.listing import RunLine
from flowctl.store.lists import Order
from flowctl.tui.cells import state_cell
from flowctl.tui.columns import Column, Row

COLUMNS = (
    Column("RUN", 7, right=True),
    Column("STATE", 11),
    Column("WORKFLOW", 0),
    Column("STARTED", 19),
    Column("DURATION", 9, right=True, from_width=70),
    Column("TRIGGER", 16, from_width=86),
    Column("QUEUE", 10, from_width=104),
    Column("TAGS", 24, from_width=130),
)


class Sort(NamedTuple):
    """By which column the list is sorted, and whether the greatest is first. None: by number."""

    title: str
    by: Order | None
    down: bool

    @property
    def arrowed(self) -> str:
        """Return the title with an arrow."""
        return f"{self.title}{'▼' if self.down else '▲'}"


SORTS = (
    Sort("RUN", None, True),
    Sort("STARTED", "started", True),
    Sort("DURATION", "duration", True),
    Sort("WORKFLOW", "workflow", False),
    Sort("STATE", "state", False),
)


def run_row(run: RunLine) -> Row:
    """Return the cells of a run."""
    return (
        str(run.id),
        state_cell(run.state),
        run.workflow,
        local(run.started_at or run.created_at),
        short(duration(run)),
        trigger(run),
        run.queue,
        " ".join(f"{name}={value}" for name, value in run.tags.items()),
    )


def trigger(run: RunLine) -> str:
    """Return what made a run."""
    if run.schedule is not None:
        return run.schedule
    for number, what in ((run.parent_id, "child of"), (run.forked_from, "fork of"), (run.rerun_of, "rerun of")):
        if number is not None:
            return f"{what} {number}"
    return "person"


def duration(run: RunLine) -> int | None:
    """Return how long a run took, or has taken until now, in milliseconds."""
    if run.started_at is None:
        return None
    if run.finished_at is not None:
        return run.finished_at - run.started_at
    return SYSTEM_CLOCK.now() - run.started_at if run.state == "running" else None
