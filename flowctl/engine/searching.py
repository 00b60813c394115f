"""A search through everything that was recorded: which run, which step, where in it, and what stands there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from flowctl.core.model import RunState
from flowctl.core.needle import Needle, Place
from flowctl.store import Store
from flowctl.store.search import Texts, Wanted


class Hit(NamedTuple):
    """One place: the path leads into the JSON of that part, and is None in logs.

    `forks` are the runs that share the step: what was recorded in the first run is theirs too.
    """

    run: int
    workflow: str
    state: RunState
    step: str | None
    attempt: int | None  # of an error that was followed by another attempt, and of logs
    part: str  # input, output, error, or the stream of logs
    path: str | None
    excerpt: str
    at: int
    forks: tuple[int, ...] = ()


def hits(store: Store, needle: Needle, wanted: Wanted, *, indexed: bool) -> Iterator[Hit]:
    """Yield every place at which it stands, the newest rows first. An index that is behind only makes it slower."""
    query = store.search.query(needle.text) if needle.text is not None else None
    seen: set[Hit] = set()
    for texts in store.search.texts(query, wanted, indexed=indexed):
        places = list(_in_row(store, needle, texts))
        forks = tuple(store.search.sharing(texts)) if places and texts.stream is None and texts.step is not None else ()
        for hit in (place._replace(forks=forks) for place in places):
            if (
                hit.attempt is None or hit not in seen
            ):  # a step and those that it replaced have their attempts in common
                seen.add(hit)
                yield hit


def _in_row(store: Store, needle: Needle, texts: Texts) -> Iterator[Hit]:
    if texts.stream is not None:
        yield from (_hit(texts, texts.stream, place, texts.attempt) for place in needle.in_text(texts.input))
        return
    for part, text in (("input", texts.input), ("output", texts.output), ("error", texts.error)):
        if text:  # of a fork: steps that it shares are found where they are kept
            yield from (_hit(texts, part, place) for place in needle.in_json(text))
    if texts.step is not None and (texts.attempt or 1) > 1:
        for attempt in store.steps.attempts(texts.run_id, texts.step):
            if attempt.error is not None and attempt.error != texts.error:
                yield from (_hit(texts, "error", place, attempt.attempt) for place in needle.in_json(attempt.error))


def _hit(texts: Texts, part: str, place: Place, attempt: int | None = None) -> Hit:
    return Hit(
        texts.run_id, texts.workflow, texts.state, texts.step, attempt, part, place.path, place.excerpt, texts.at
    )
