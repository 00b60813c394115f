"""The words of the benchmarks: a case is measured for several contenders, and flowctl has goals in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Figures = dict[str, float]  # what one measurement found, by the name of the figure


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure of flowctl is to reach: divided by the same figure of another contender, or as it is."""

    figure: str
    bound: float
    over: str | None = None
    at_most: bool = False

    def met(self, value: float) -> bool:
        """Tell whether this value reaches the goal."""
        return value <= self.bound if self.at_most else value >= self.bound


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that is measured. Contenders other than flowctl are in `bench.contenders`."""

    name: str
    about: str
    figures: Mapping[str, str]  # their units
    contenders: tuple[str, ...]
    size: int  # of what is measured: so many runs, steps or repeats
    quick: int  # the size with --quick
    goals: tuple[Goal, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)  # of contenders for which the usual size takes minutes
    once: frozenset[str] = frozenset()  # contenders that are measured in one round only, and not with --quick

    def size_for(self, contender: str, *, quick: bool) -> int:
        """Return the size for a contender."""
        size = self.quick if quick else self.size
        return min(size, self.sizes.get(contender, size))
