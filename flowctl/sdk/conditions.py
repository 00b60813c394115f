"""Conditions: what must hold before a run that is due begins, as authors and people write them.

ac_power   battery>20   online   online:HOST:PORT   file_exists:PATH   changed:GLOB   idle   idle:10m   cmd:COMMAND

What follows a colon may stand in parentheses as well, in quotes or not: file_exists("PATH") is file_exists:PATH.
The form with the colon is the one that is recorded and printed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from flowctl.sdk.durations import to_ms
from flowctl.sdk.errors import shown

KNOWN = (
    "ac_power",
    "battery>PERCENT",
    "online",
    "online:HOST:PORT",
    "file_exists:PATH",
    "changed:GLOB",
    "idle",
    "idle:DURATION",
    "cmd:COMMAND",
)
IDLE = "10m"  # how long nobody has used a terminal, when a condition does not say it
_WITH_TEXT = ("online", "file_exists", "changed", "idle", "cmd")


class Condition(NamedTuple):
    """One condition; `number` is its percentage, port, or milliseconds."""

    kind: str
    text: str = ""
    number: int = 0


def parse_condition(value: Any) -> Condition:
    """Return the condition that a text means. Raises ValueError."""
    text = _with_colon(value)
    kind, colon, rest = (part.strip() for part in text.partition(":"))
    if kind in ("ac_power", "online") and not colon:
        return Condition(kind)
    if kind.startswith("battery") and not colon:
        return _battery(kind)
    if kind not in _WITH_TEXT or not rest:
        raise ValueError(f"{shown(value)} is not a condition: known are {', '.join(KNOWN)}")
    if kind == "online":
        return _host(rest)
    return Condition(kind, number=to_ms(rest)) if kind == "idle" else Condition(kind, rest)


def _with_colon(value: Any) -> str:
    """Return the one form of a condition that may be written with parentheses, or without its duration."""
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"{shown(value)} is not a condition: known are {', '.join(KNOWN)}")
    text = value.strip()
    kind, parenthesis, rest = text.partition("(")
    if parenthesis and kind.strip() in _WITH_TEXT:
        return f"{kind.strip()}:{_between(text, rest)}"
    return f"idle:{IDLE}" if text == "idle" else text


def _between(whole: str, rest: str) -> str:
    """Return the text between the parentheses of a condition, without its quotes."""
    if not rest.endswith(")"):
        raise ValueError(f"{shown(whole)} is not a condition: it does not end with )")
    text = rest[:-1].strip()
    quote = text[:1]
    if quote in ("'", '"'):
        if len(text) < 2 or not text.endswith(quote):
            raise ValueError(f"{shown(whole)} is not a condition: its {quote} is not closed")
        text = text[1:-1].strip()
        if quote in text:
            raise ValueError(f"{shown(whole)} is not a condition: there is {quote} between {quote} and {quote}")
    elif not _is_balanced(text):
        raise ValueError(f"{shown(whole)} is not a condition: put what is between ( and ) into quotes")
    if not text:
        raise ValueError(f"{shown(whole)} is not a condition: there is nothing between ( and )")
    return text


def _is_balanced(text: str) -> bool:
    """Tell whether each parenthesis in a text is closed after it was opened."""
    depth = 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if depth < 0:
            return False
    return depth == 0


def _battery(text: str) -> Condition:
    sign, percent = text[len("battery") :].strip()[:1], text[len("battery") :].strip()[1:].strip()
    if sign != ">" or not percent.isdecimal() or int(percent) > 99:
        raise ValueError(f"{shown(text)} is not a condition: write battery>20, with a percentage from 0 to 99")
    return Condition("battery", number=int(percent))


def _host(text: str) -> Condition:
    host, _, port = text.strip().rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{shown(text)} is not a host and port: write online:example.org:443")
    return Condition("online", host.strip("[]"), int(port))


def conditions(value: Any) -> tuple[str, ...]:
    """Return one condition or several as texts that mean something, each with a colon. Raises ValueError."""
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, (tuple, list)):
        raise ValueError(f'{shown(value)} is not a condition, or a list of them such as ["ac_power", "online"]')
    for text in texts:
        parse_condition(text)
    return tuple(dict.fromkeys(_with_colon(text) for text in texts))
