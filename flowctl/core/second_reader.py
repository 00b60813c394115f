"""A second reader of cron expressions: croniter. When a schedule is made, both have to read the same values.

A misread expression is found out at night, weeks later. So one that two independent readers take differently is refused
at once, with the field. Slots are then computed from what `core/cron.py` has read; croniter is loaded by nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from flowctl.core.errors import UsageError

_OWN = re.compile(r"(?:^|,)(?:h|\d?l|l\d|[a-z]{3}l|[^,]*#)")  # items that croniter writes or draws in its own way
_PLACES = (5, 0, 1, 2, 3, 4)  # of second, minute, hour, day of month, month and day of week in croniter's answer
_HINT = "write its values out, with commas"


class Reading(NamedTuple):
    """One field as it was read."""

    field: str
    text: str
    values: frozenset[int]
    every: frozenset[int]  # what `*` means


def check_agreement(readings: Sequence[Reading]) -> None:
    """Compare the readings of the six fields, the second first, with croniter's. Raises UsageError."""
    from croniter import CroniterBadCronError, croniter  # type: ignore[import-untyped]

    plain = ["*" if _OWN.search(each.text) else each.text for each in readings]
    try:
        fields, _ = croniter.expand(" ".join(plain), second_at_beginning=True)
    except CroniterBadCronError as error:
        raise UsageError(f"croniter cannot read the expression: {error}", _HINT) from None
    for each, text, place in zip(readings, plain, _PLACES, strict=True):
        theirs = each.every if "*" in fields[place] else frozenset(fields[place])
        if text != "*" and each.values != theirs:
            both = f"as {_listed(each.values, each)}, and by croniter as {_listed(theirs, each)}"
            raise UsageError(f"{each.field} {text} can be read in two ways: {both}", _HINT)


def _listed(values: frozenset[int], reading: Reading) -> str:
    return "every one" if values == reading.every else ",".join(map(str, sorted(values)))
