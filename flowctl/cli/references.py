"""RUN as a person writes it: a number, @last, @failed, or NAME@last."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flowctl.core.errors import NotFound, UsageError
from flowctl.core.text import quoted

if TYPE_CHECKING:
    from flowctl.core.model import Run, RunState, Step
    from flowctl.store import Store

_NUMBER = re.compile(r"\d{1,18}", re.ASCII)
_PAGE = 20
_STATES: dict[str, tuple[RunState, ...]] = {"last": (), "failed": ("failed",)}


def find_run(store: Store, text: str, namespace: str) -> Run:
    """Return the run that a reference means. Raises UsageError for no reference, NotFound for no run."""
    if _NUMBER.fullmatch(text):
        return store.runs.get(int(text), namespace)
    name, at, which = text.rpartition("@")
    if not at or which not in _STATES or not _storable(name):
        raise UsageError(f"{quoted(text)} is not a run", "give a number, @last, @failed, NAME@last or NAME@failed")
    if name:
        return store.runs.last(namespace, name, _STATES[which])
    return _last_asked_for(store, namespace, which)


def _last_asked_for(store: Store, namespace: str, which: str) -> Run:
    """Return the newest run that nobody but a person made: not a child, not a failure handler."""
    from flowctl.core.listing import RunFilter

    before: int | None = None
    while page := store.runs.find(RunFilter(namespace=namespace, states=_STATES[which], before=before, limit=_PAGE)):
        for run in page:
            if run.root_id is None:
                return run
        before = page[-1].id
    what = "no failed run" if which == "failed" else "no run yet"
    raise NotFound(f"there is {what} in namespace {namespace}", "flowctl ls")


def find_runs(store: Store, texts: tuple[str, ...], namespace: str) -> list[Run]:
    """Return the runs that references mean, each once, in the order given."""
    found = {run.id: run for run in (find_run(store, text, namespace) for text in texts)}
    return list(found.values())


def find_step(store: Store, run: Run, text: str) -> Step:
    """Return the step with that key, or the one at that place in the program's order."""
    step = store.steps.get(run.id, text) if _storable(text) else None
    if step is None and _NUMBER.fullmatch(text):
        page = store.steps.of_run(run.id, after_seq=int(text) - 1, limit=1)
        step = page[0] if page and page[0].seq == int(text) else None
    step = step or next((old for old in set_aside(store, run) if text in (old.key, str(old.seq))), None)
    if step is None:
        raise NotFound(f"run {run.id} has no step {quoted(text)}", _nearest(store, run, text))
    return step


def set_aside(store: Store, run: Run) -> list[Step]:
    """Return what a blocked retry was to run anew: a person who decides has to see it."""
    return store.steps.replaced(run.id) if run.state == "blocked" else []


def _nearest(store: Store, run: Run, text: str) -> str:
    import difflib

    keys = [step.key for step in store.steps.of_run(run.id, limit=1000)]
    near = difflib.get_close_matches(text, keys, n=1)
    return f"did you mean {near[0]}?" if near else f"flowctl show {run.id}"


def _storable(text: str) -> bool:
    return text.isprintable()  # what is not, and lone surrogates, is in no name
