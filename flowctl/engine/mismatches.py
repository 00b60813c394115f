"""What a mismatch between record and code is called, for a person who has to decide."""

from __future__ import annotations

from typing import Any

from flowctl.core.text import shorten

SHOWN = 500  # characters of each input


def mismatch_reason(fields: dict[str, Any], asked: str | None, recorded: str | None) -> str:
    """Return what an executor's `ended` message says, with both sides: the input asked now, and the recorded one."""
    place = f'step {fields["seq"]} "{fields["key"]}"'
    match fields["what"]:
        case "workflow" | "parameters":
            return str(fields["message"])
        case "source":
            return f"{place} was recorded by other code than it has now"
        case "input":
            was, now = shorten(recorded or "null", SHOWN), shorten(asked or "null", SHOWN)
            return f"{place} was recorded with input {was}, code now gives {now}"
        case "kind":
            return f"{place} was recorded as another kind of operation than code asks for now"
        case _ if not fields["expected"]:
            return f"code now asks {place}, which is recorded at another place"
    return f'step {fields["seq"]} was "{fields["expected"]}", code now asks "{fields["key"]}"'
