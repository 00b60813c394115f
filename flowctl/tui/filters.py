"""What is typed after `/`: words, and `state:failed workflow:digest since:2d`."""

from __future__ import annotations

import difflib
import shlex
from typing import Any

from flowctl.cli.instants import parse_since
from flowctl.cli.selecting import parse_tags
from flowctl.core.errors import UsageError
from flowctl.core.listing import RunFilter
from flowctl.core.model import RUN_STATES

FIELDS = ("state", "workflow", "schedule", "tag", "since", "is")
LIMIT = 1_000_000


def parse_filter(text: str, namespace: str, now: int) -> RunFilter:
    """Return the runs that a person means; words that name no field are looked for. Raises UsageError."""
    fields: dict[str, list[str]] = {name: [] for name in FIELDS}
    words: list[str] = []
    for word in _split(text):
        name, colon, value = word.partition(":")
        if colon and name in FIELDS:
            fields[name].append(value)
        else:
            words.append(word)
    return RunFilter(
        namespace=namespace,
        states=tuple(_state(value) for value in fields["state"]),
        workflow=_one(fields, "workflow"),
        schedule=_one(fields, "schedule"),
        tags=parse_tags(tuple(fields["tag"])),
        since=None if (since := _one(fields, "since")) is None else parse_since(since, now),
        search=" ".join(words) or None,
        dead=_is_dead(fields["is"]),
        limit=LIMIT,
    )


def completed(text: str, names: dict[str, list[str]]) -> str | None:
    """Return the text with its last word completed: the name of a field, or one of its values. None: nothing fits."""
    head, _, last = text.rpartition(" ")
    name, colon, start = last.partition(":")
    if not last:
        return None
    known: dict[str, list[str]] = {"state": list(RUN_STATES), "is": ["dead"], "since": ["1h", "1d", "7d"], **names}
    options = [f"{name}:{value}" for value in known.get(name, [])] if colon else [f"{field}:" for field in FIELDS]
    fits = [option for option in options if option.startswith(last) and option != last]
    return f"{head} {fits[0]}".lstrip() if fits and (start or not colon or fits) else None


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # a quote that is not closed yet
        return text.split()


def _state(value: str) -> Any:
    if value in RUN_STATES:
        return value
    near = difflib.get_close_matches(value, RUN_STATES, n=1)
    raise UsageError(f"there is no state {value!r}", f"did you mean {near[0]}?" if near else ", ".join(RUN_STATES))


def _one(fields: dict[str, list[str]], name: str) -> str | None:
    return fields[name][-1] if fields[name] else None


def _is_dead(values: list[str]) -> bool:
    for value in values:
        if value != "dead":
            raise UsageError(f"is:{value} means nothing", "is:dead are failures that nobody has dealt with")
    return bool(values)
