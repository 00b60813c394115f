"""Lists: what is asked of many runs at once: their order, what they failed of, and which workflows there are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal

from flowctl.store.connection import Connection
from flowctl.store.payloads import Payloads
from flowctl.store.queries import load

SQL = load("lists")
_MOST_NAMES = 1_000

Order = Literal["started", "duration", "workflow", "state"]


class Lists:
    """Questions about lists of runs."""

    def __init__(self, connection: Connection, payloads: Payloads) -> None:
        self._connection = connection
        self._payloads = payloads

    def ordered(self, numbers: Sequence[int], by: Order, now: int) -> list[int]:
        """Return the numbers of runs in an order, the least first; what has no such value is first of all."""
        rows = self._connection.rows(SQL["ordered"], {"runs": json.dumps(numbers), "by": by, "now": now})
        return [row[0] for row in rows]

    def failures(self, numbers: Sequence[int]) -> list[tuple[str, str, int]]:
        """Return workflow and error of runs that have failed, and how many have failed alike."""
        rows = self._connection.rows(SQL["failures"], {"runs": json.dumps(numbers)})
        return [(workflow, self._payloads.unpack(error), count) for workflow, error, count in rows]

    def workflows(self, namespace: str) -> list[str]:
        """Return the names of workflows that have runs."""
        rows = self._connection.rows(SQL["workflows"], {"namespace": namespace, "limit": _MOST_NAMES})
        return [row[0] for row in rows]
