"""What went wrong, as the screen tells it."""

from __future__ import annotations

from flowctl.core.errors import FlowctlError
from flowctl.sdk.errors import InputError


def told(error: FlowctlError | InputError, between: str = " · ") -> str:
    """Return the message of an error, and its hint where it has one."""
    return between.join(filter(None, [error.message, error.hint]))
