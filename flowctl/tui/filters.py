"""What is typed after `/`: words, and `state:failed workflow:digest since:2d`."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from flowctl.cli.instants import parse_since
from flowctl.cli.selecting import parse_tags
from flowctl.core.errors import UsageError
from flowctl.core.listing import EventFilter, RunFilter
from flowctl.core.model import RUN_STATES
from flowctl.core.text import quoted

LIMIT = 1_000_000
_SINCE = ("1h", "1d", "7d")
_PLAIN = re.compile(r"[^\s'\"\\]+")  # what stands in a filter without quotes


class Syntax(NamedTuple):
    """The fields of a filter, with the values that are known without the file, and an example."""

    fields: Mapping[str, Sequence[str]]
    example: str


RUN_FILTER = Syntax(
    {
        "state": RUN_STATES,
        "workflow": (),
        "schedule": (),
        "queue": (),
        "tag": (),
        "since": _SINCE,
        "is": ("dead",),
    },
    "text, or state:failed workflow:NAME since:2d tag:k=v queue:NAME is:dead",
)
EVENT_FILTER = Syntax({"run": (), "subject": (), "since": _SINCE}, 'run:42, subject:"queue mail" or since:2d')


def parse_filter(text: str, namespace: str, now: int) -> RunFilter:
    """Return the runs that a person means; words that name no field are looked for. Raises UsageError."""
    fields, words = _parsed(text, RUN_FILTER)
    return RunFilter(
        namespace=namespace,
        states=tuple(_state(value) for value in fields["state"]),
        workflow=_one(fields, "workflow"),
        schedule=_one(fields, "schedule"),
        queue=_one(fields, "queue"),
        tags=parse_tags(tuple(fields["tag"])),
        since=_since(fields, now),
        search=" ".join(words) or None,
        dead=_is_dead(fields["is"]),
        limit=LIMIT,
    )


def parse_event_filter(text: str, namespace: str, now: int, limit: int) -> EventFilter:
    """Return the lines of the audit log that a person means; a number alone is a run. Raises UsageError."""
    fields, words = _parsed(text, EVENT_FILTER)
    runs = fields["run"] + [word for word in words if word.isdecimal()]
    for word in [*words, *fields["run"]]:
        if not (word.isascii() and word.isdecimal() and len(word) < 19):
            raise UsageError(f"{quoted(word)} is no run", EVENT_FILTER.example)
    subject = _one(fields, "subject")
    if runs and subject is not None:
        raise UsageError("a run and a subject exclude each other")
    return EventFilter(namespace, int(runs[-1]) if runs else None, subject, _since(fields, now), limit=limit)


def selectors(text: str) -> tuple[str, ...] | None:
    """Return the options of a command that mean the same runs as a filter; None: it has no such options."""
    fields, words = _parsed(text, RUN_FILTER)
    if words or fields["queue"]:
        return None
    options = [f"--{name}={value}" for name, values in fields.items() if name != "is" for value in values]
    return (*options, *(["--dead"] if fields["is"] else []))


def completed(text: str, syntax: Syntax, names: Mapping[str, Sequence[str]]) -> str | None:
    """Return the text with its last word completed: the name of a field, or one of its values. None: nothing fits."""
    head, _, last = text.rpartition(" ")
    name, colon, _ = last.partition(":")
    if not last:
        return None
    if colon:
        values = [*syntax.fields.get(name, ()), *names.get(name, ())]
        options = [f"{name}:{value}" for value in values if _PLAIN.fullmatch(value) and value.isprintable()]
    else:
        options = [f"{field}:" for field in syntax.fields]
    fits = [option for option in options if option.startswith(last) and option != last]
    return f"{head} {fits[0]}".lstrip() if fits else None


def _parsed(text: str, syntax: Syntax) -> tuple[dict[str, list[str]], list[str]]:
    """Return the values of each field, and the words that belong to none."""
    fields: dict[str, list[str]] = {name: [] for name in syntax.fields}
    words: list[str] = []
    for word in _split(text):
        name, colon, value = word.partition(":")
        if colon and name in fields:
            fields[name].append(value)
        else:
            words.append(word)
    return fields, words


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


def _since(fields: dict[str, list[str]], now: int) -> int | None:
    since = _one(fields, "since")
    return None if since is None else parse_since(since, now)


def _is_dead(values: list[str]) -> bool:
    for value in values:
        if value != "dead":
            raise UsageError(f"is:{value} means nothing", "is:dead are failures that nobody has dealt with")
    return bool(values)
