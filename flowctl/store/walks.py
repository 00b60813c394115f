"""How the runs of a filter are found: the index that is walked, and what the SQL of `runs.sql` is given."""

from __future__ import annotations

import json
from typing import Any

from flowctl.core.listing import RunFilter
from flowctl.core.model import RunState

_LAST_ID = 2**63 - 1


def walks(filter: RunFilter) -> tuple[RunState | None, ...]:
    """Return the states to look for, one walk along an index each: an IN over states would sort all that match."""
    return ("failed",) if filter.dead else tuple(dict.fromkeys(filter.states)) or (None,)


def best_walk(filter: RunFilter, state: RunState | None) -> str:
    """Return by which column the index is that is best walked for a filter: "id" for all namespaces."""
    if filter.namespace is None:
        return "id"
    given = {"schedule": filter.schedule, "workflow": filter.workflow, "state": state}
    return next((name for name, value in given.items() if value), "namespace")


def parameters(filter: RunFilter, state: RunState | None) -> dict[str, Any]:
    """Return what the blocks take."""
    search = filter.search
    return {
        "namespace": filter.namespace,
        "state": state,
        "workflow": filter.workflow,
        "schedule": filter.schedule,
        "queue": filter.queue,
        "since": filter.since,
        "tags": json.dumps(filter.tags, ensure_ascii=False) if filter.tags else None,
        "dead": filter.dead,
        "search": None if search is None else _like(search),
        "search_json": None if search is None else _like(json.dumps(search, ensure_ascii=False)[1:-1]),
        "before": _LAST_ID if filter.before is None else filter.before,
        "limit": filter.limit,
    }


def _like(text: str) -> str:
    return "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
