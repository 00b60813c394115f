"""Where the source of a step stands in the code that its run started with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from flowctl.core.model import Run, Snapshot, Step, Workflow
from flowctl.sdk.source import definitions


class Source(NamedTuple):
    """A file as it was when the run started, and the lines of the function."""

    path: str
    text: str
    lines: range  # from 1; empty: it is not known which
    differs: str  # how the file is now, '' when it is the same


class _Found(NamedTuple):
    path: str
    name: str
    lines: range
    digest: bytes


def source_of(snapshot: Snapshot, run: Run | Workflow, step: Step | None = None) -> Source | None:
    """Return the source of a step, or of the workflow where it has none of its own; None for a shell command.

    A step is found by the hash of its function, because its name may have been given by an option.
    """
    if not snapshot.path:
        return None
    functions = list(_functions(snapshot))
    best: list[_Found] = []
    if step is not None:
        same = [each for each in functions if step.source_hash is not None and each.digest == step.source_hash]
        best = sorted(same, key=lambda each: each.name != step.name)
        best += [each for each in functions if each.name == step.name]
    best += [each for each in functions if each.name == run.function and each.path == snapshot.path]
    if best:
        return Source(best[0].path, snapshot.files[best[0].path], best[0].lines, _now(best[0].path, snapshot))
    text = snapshot.files.get(snapshot.path, "")
    return Source(snapshot.path, text, range(0), _now(snapshot.path, snapshot))


def _functions(snapshot: Snapshot) -> Iterator[_Found]:
    for path, text in snapshot.files.items():
        try:
            found = [_Found(path, *each) for each in definitions(text)]
        except (SyntaxError, ValueError, RecursionError):  # written for another Python
            continue
        yield from sorted(found, key=lambda each: each.lines.start)


def _now(path: str, snapshot: Snapshot) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            same = file.read() == snapshot.files[path]
    except (OSError, ValueError):
        return "not there now"
    return "" if same else "other now than when the run started"
