"""Conditions: what must hold before a run that is due begins, as authors and people write them.

ac_power   battery>20   online   online:HOST:PORT   file_exists:PATH   changed:GLOB   idle:10m   cmd:COMMAND
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
    "idle:DURATION",
    "cmd:COMMAND",
)
_WITH_TEXT = ("file_exists", "changed", "cmd")


class Condition(NamedTuple):
    """One condition; `number` is its percentage, port, or milliseconds."""

    kind: str
    text: str = ""
    number: int = 0


def parse_condition(value: Any) -> Condition:
    """Return the condition that a text means. Raises ValueError."""
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"{shown(value)} is not a condition: known are {', '.join(KNOWN)}")
    kind, colon, rest = value.strip().partition(":")
    if kind in ("ac_power", "online") and not colon:
        return Condition(kind)
    if kind.startswith("battery") and not colon:
        return _battery(kind)
    if kind == "online":
        return _host(rest)
    if kind == "idle" and rest:
        return Condition(kind, number=to_ms(rest.strip()))
    if kind in _WITH_TEXT and rest.strip():
        return Condition(kind, rest.strip())
    raise ValueError(f"{shown(value)} is not a condition: known are {', '.join(KNOWN)}")


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
    """Return one condition or several as texts that mean something. Raises ValueError."""
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, (tuple, list)):
        raise ValueError(f'{shown(value)} is not a condition, or a list of them such as ["ac_power", "online"]')
    for text in texts:
        parse_condition(text)
    return tuple(dict.fromkeys(text.strip() for text in texts))
