"""The only reader of time and of chance. Everything else is given an instant, or a Clock."""

from __future__ import annotations

import os
import time
from typing import Protocol


class Clock(Protocol):
    """What flowctl asks of time and chance."""

    def now(self) -> int:
        """Return the wall clock as UTC milliseconds."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards, for timeouts within one process."""

    def uptime(self) -> float:
        """Return seconds that never run backwards, those in which the machine was suspended included."""

    def fraction(self) -> float:
        """Return a random number from 0 up to 1."""


class SystemClock:
    """The machine's clocks and dice."""

    def now(self) -> int:
        """Return the wall clock as UTC milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Return seconds that never run backwards, for timeouts within one process."""
        return time.monotonic()

    def uptime(self) -> float:
        """Return seconds that never run backwards, those in which the machine was suspended included."""
        return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))  # Linux alone has the first

    def fraction(self) -> float:
        """Return a random number from 0 up to 1."""
        import random  # few commands throw dice, and it costs each of them a millisecond

        return random.random()


SYSTEM_CLOCK = SystemClock()


def token() -> str:
    """Return a text that nobody can guess. (The module `secrets` would load OpenSSL, at 3 MB.)"""
    return os.urandom(8).hex()
