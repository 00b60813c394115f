"""An error as lines: what it says, then the person's own frames, then those of flowctl and the libraries."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

from flowctl.core.text import safe
from flowctl.tui.widgets.lines import Line, lines_of

_HEAD = "Traceback (most recent call last):"
_FRAME = re.compile(r'\s*(?:\| )*\s*File "(?P<path>[^"]*)", line (?P<line>\d+), in ')
_LIBRARY = re.compile(r"/lib(?:64)?/python\d|/site-packages/|/dist-packages/|/flowctl/sdk/|^<(?!source)|\.zip/")


class Where(NamedTuple):
    """A line of a file."""

    path: str
    line: int


def error_lines(error: str) -> list[Line]:
    """Return the lines of an error's JSON text."""
    try:
        record = json.loads(error)
        kind, message = str(record["type"]), str(record["message"])
        trace = str(record.get("traceback") or "")
    except (ValueError, KeyError, TypeError, AttributeError):  # a damaged row is shown, not hidden behind an error
        return lines_of(error)
    lines = lines_of(f"{kind}: {message}" if message else kind, "bold red")
    if trace:
        lines += [Line(""), *_trace_lines(safe(trace).rstrip("\n").split("\n"))]
    return lines


def last_own_frame(error: str) -> Where | None:
    """Return the innermost line of the person's own code in an error's JSON text."""
    try:
        trace = str(json.loads(error).get("traceback") or "")
    except (ValueError, AttributeError):
        return None
    frames = [match for match in map(_FRAME.match, trace.split("\n")) if match and not _LIBRARY.search(match["path"])]
    return Where(frames[-1]["path"], int(frames[-1]["line"])) if frames else None


def _trace_lines(lines: list[str]) -> Iterator[Line]:
    """Yield a traceback, of each of its parts first what is the person's own."""
    part: list[str] = []
    for line in lines:
        if line.strip() == _HEAD and part:
            yield from _part_lines(part)
            part = []
        part.append(line)
    yield from _part_lines(part)


def _part_lines(lines: list[str]) -> Iterator[Line]:
    own: list[str] = []
    foreign: list[str] = []
    into = own
    for line in lines:
        frame = _FRAME.match(line)
        if frame:
            into = foreign if _LIBRARY.search(frame["path"]) else own
        elif into is foreign and not line.startswith("    "):
            into = own
        into.append(line)
    yield from (Line(line.expandtabs(4), "" if _FRAME.match(line) else "default") for line in own)
    if foreign:
        count = sum(_FRAME.match(line) is not None for line in foreign)
        yield Line(f"  {count} of flowctl and the libraries:", "bright_black")
        yield from (Line(line.expandtabs(4), "bright_black") for line in foreign)
