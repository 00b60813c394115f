"""Signals as records."""

from __future__ import annotations

from typing import NamedTuple


class Signal(NamedTuple):
    """One row of `signals`: a message to a run, and the step that has taken it."""

    id: int
    run_id: int
    name: str
    value: str
    sender: str
    sent_at: int
    taken_by: str | None
    taken_at: int | None
