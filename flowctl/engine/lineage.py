"""Where a run comes from and what came of it, and which step's output became which step's input.

Nothing records the second: it is read from the values themselves, by hash. So it is evidence and no proof, and what
is too common to be evidence (true, 0, an empty list) is left aside.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from flowctl.core.errors import NotFound
from flowctl.core.jsonpath import Path
from flowctl.core.model import Run
from flowctl.sdk.jsontext import hash_of_plain
from flowctl.store import Store

MOST_RUNS = 1_000  # of one tree
MOST_STEPS = 2_000
MOST_VALUES = 100_000  # looked at altogether
MOST_DEPTH = 100  # of forks of forks, above a run and below it
INPUT = "input"  # where values come from that no step has made


class Branch(NamedTuple):
    """One run of the tree, how it came of the run above it, and what came of it."""

    run: Run
    relation: str  # "", "fork", "rerun", "child" or "handler"
    step: str | None  # forked before it, or waiting for the child
    branches: list[Branch]
    cut: bool = False  # there are more


class Feed(NamedTuple):
    """A value of a step's input that was there before: in the run's input, or in another step's output."""

    step: str
    path: Path
    source: str  # key of a step, or INPUT
    source_path: Path


def tree_of(store: Store, run: Run) -> Branch:
    """Return the tree that a run is part of, from the first run that is still there."""
    top = run
    for _ in range(MOST_DEPTH):
        above = _above(store, top)
        if above is None:
            break
        top = above
    return _Growing(store).branch(top, "", None, 0)


def _above(store: Store, run: Run) -> Run | None:
    """Return the run that another was made of; what was pruned is no more."""
    number = run.forked_from or run.rerun_of or run.parent_id or run.handles
    try:
        return None if number is None else store.runs.get(number)
    except NotFound:
        return None


class _Growing:
    """A tree that is being read, and how many runs it may still get."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._left = MOST_RUNS

    def branch(self, run: Run, relation: str, step: str | None, depth: int) -> Branch:
        """Return a run and what came of it."""
        self._left -= 1
        branches: list[Branch] = []
        for below, how, key in sorted(_below(self._store, run), key=lambda each: each[0].id):
            if self._left <= 0 or depth > 2 * MOST_DEPTH:
                return Branch(run, relation, step, branches, cut=True)
            branches.append(self.branch(below, how, key, depth + 1))
        return Branch(run, relation, step, branches)


def _below(store: Store, run: Run) -> Iterator[tuple[Run, str, str | None]]:
    yield from ((fork, "fork", fork.forked_step) for fork in store.runs.forks(run.id))
    yield from ((rerun, "rerun", None) for rerun in store.runs.reruns(run.id))
    yield from ((child, "child", child.parent_step) for child in store.runs.children(run.id))
    yield from ((handler, "handler", None) for handler in store.runs.handlers(run.id))


# -- what fed what --------------------------------------------------------------------------------------------------


class _Made(NamedTuple):
    """Where a value comes from, and when it was there."""

    source: str
    path: Path
    at: int


def feeds_of(store: Store, run: Run) -> list[Feed]:
    """Return which values of the steps' inputs were made before; of equal ones, the one that was made last."""
    origins = _Origins()
    origins.remember(INPUT, json.loads(run.input), 0)
    found: list[Feed] = []
    for step in store.steps.of_run(run.id, limit=MOST_STEPS):
        for path, made in origins.of(json.loads(step.input), step.begun_at):
            found.append(Feed(step.key, path, made.source, made.path))
        if step.output is not None:
            origins.remember(step.key, json.loads(step.output), step.finished_at or 0)
    return found


class _Origins:
    """Values by their hash, and where each was made last."""

    def __init__(self) -> None:
        self._made: dict[bytes, _Made] = {}
        self._left = MOST_VALUES

    def remember(self, source: str, value: Any, at: int) -> None:
        """Take note of a value and of what is in it."""
        for path, part in self._walk(value):
            if _is_evidence(part) or (not path and source != INPUT and part not in (None, True, False, "", [], {})):
                self._made[hash_of_plain(part)] = _Made(source, path, at)

    def of(self, value: Any, at: int) -> Iterator[tuple[Path, _Made]]:
        """Yield the largest parts of an input that were there at that instant."""
        covered: Path | None = None
        for path, part in self._walk(value):
            if covered is not None and path[: len(covered)] == covered:
                continue
            made = self._made.get(hash_of_plain(part)) if path else None
            if made is not None and made.at <= at:
                covered = path
                yield path, made

    def _walk(self, value: Any) -> Iterator[tuple[Path, Any]]:
        """Yield a value and what is in it, the outer before the inner, as long as the effort is worth it."""
        pending: list[tuple[Path, Any]] = [((), value)]
        while pending and self._left > 0:
            self._left -= 1
            path, part = pending.pop()
            yield path, part
            pending += reversed([((*path, key), inner) for key, inner in _inside(part)])


def _inside(value: Any) -> list[tuple[str | int, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list) else []


def _is_evidence(value: Any) -> bool:
    """Tell whether a value is rare enough that the same one elsewhere is no chance."""
    if isinstance(value, bool) or value is None:
        return False
    if isinstance(value, int | float):
        return abs(value) >= 1_000 or value != int(value)
    return len(value) >= (4 if isinstance(value, str) else 1)
