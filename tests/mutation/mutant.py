"""What a mutant is: flowctl with one small thing changed, which some test has to notice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one place: the text between two offsets of a file is replaced."""

    path: str  # below the top of the checkout
    start: int
    end: int
    replacement: str
    source: str  # of the whole file, before
    guard: bool = False  # whether it weakens a guard of an epoch, a state or an outcome

    @property
    def text(self) -> str:
        """Return the whole file with the change."""
        return self.source[: self.start] + self.replacement + self.source[self.end :]

    @property
    def line(self) -> int:
        """Return the number of the line that changes first."""
        return self.source.count("\n", 0, self.start) + 1

    def describe(self) -> str:
        """Return the place, and the line before and after."""
        begin = self.source.rfind("\n", 0, self.start) + 1
        before = self.source[begin:].partition("\n")[0].strip()
        after = self.text[begin:].partition("\n")[0].strip()
        return f"{self.path}:{self.line}\n  - {before}\n  + {after}"
