"""A clock that runs like the machine's, and that a test sets forward."""

from __future__ import annotations

from flowctl.core.clock import SystemClock


class ForwardClock(SystemClock):
    """The machine's clock, ahead by what the test has let pass. Timeouts of bodies count real seconds."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def now(self) -> int:
        """Return the wall clock as UTC milliseconds."""
        return super().now() + self.ahead_ms

    def set_forward(self, instant: int) -> None:
        """Make it that instant, unless it is later already."""
        self.ahead_ms += max(0, instant - self.now())
