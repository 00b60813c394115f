"""The cases, a file each: what is measured for whom, the goals, and how flowctl is measured."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from bench.model import Case, Figures

NAMES = (
    "workflows", "steps", "pure", "growth", "fan_out", "recovery", "idle", "cold", "large", "daemon", "planning",
    "search", "fork", "screen",
)  # fmt: skip


class CaseModule(Protocol):
    """A file of this folder."""

    CASE: Case

    def measure(self, contender: str, size: int, folder: Path) -> Figures:
        """Measure flowctl, or what stands in for it, once."""


def module(name: str) -> CaseModule:
    """Return the file of a case."""
    return cast("CaseModule", import_module(f"bench.cases.{name}"))
