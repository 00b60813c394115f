"""A virtual clock and the events that wait for it: hours pass in microseconds, and always in the same order."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from random import Random

START_MS = 1_767_225_600_000  # 2026-01-01 in UTC


class VirtualClock:
    """The clocks and dice of a simulated machine, as flowctl.core.clock.Clock has them.

    `seconds` is CLOCK_MONOTONIC of Linux, which stands still while the machine is suspended: so does every process,
    and for all of them a suspend is nothing but a jump of the wall clock.
    """

    def __init__(self, random: Random) -> None:
        self.seconds = 0.0
        self._random = random
        self._offset_ms = START_MS

    def now(self) -> int:
        """Return the wall clock as UTC milliseconds."""
        return self._offset_ms + int(self.seconds * 1000)

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        return self.seconds

    def uptime(self) -> float:
        """Return the same: what a suspend is here, is said above."""
        return self.seconds

    def fraction(self) -> float:
        """Return a random number from 0 up to 1."""
        return self._random.random()

    def jump(self, seconds: float) -> None:
        """Set the wall clock, which a person, NTP or a suspend may do at any moment."""
        self._offset_ms += int(seconds * 1000)


class Agenda:
    """What happens later, in the order of time; what happens at the same moment, in the order it was planned."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Plan an action."""
        heapq.heappush(self._heap, (self._clock.seconds + seconds, next(self._numbers), action))

    def next_at(self) -> float | None:
        """Return the monotonic second of the next action, None when there is none."""
        return self._heap[0][0] if self._heap else None

    def advance(self) -> None:
        """Let time pass until the next action, and do it."""
        at, _, action = heapq.heappop(self._heap)
        self._clock.seconds = max(self._clock.seconds, at)
        action()
