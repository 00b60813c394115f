"""What an exploration has seen: without it a machine whose rules never apply would pass."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from flowctl.core.model import RUN_STATES
from tests.model.properties import RUN_EDGES, STEP_EDGES, Edge

# What cannot be refused: it asks nothing of the file's state.
NEVER_REFUSED = {"start_engine", "stop_engine", "crash_engine", "reboot", "recover", "log", "wake_after"}
NEVER_ACCEPTED = {"orphan", "cancel_steps"}  # here only claims that do not count ask for it


class Signature(NamedTuple):
    """One kind of thing that was done: what, how it ended, and the state of its run before."""

    operation: str
    outcome: str
    state: str


@dataclass
class Statistics:
    """Counts of one exploration."""

    rules: int = 0
    examples: int = 0
    signatures: Counter[Signature] = field(default_factory=Counter)
    runs: Counter[Edge] = field(default_factory=Counter)
    steps: Counter[Edge] = field(default_factory=Counter)

    def never_done(self) -> list[str]:
        """Return what an exploration should have seen and has not."""
        seen = {(operation, outcome) for operation, outcome, _ in self.signatures}
        operations = {operation for operation, _ in seen}
        missing = [f"{name} accepted" for name in operations - NEVER_ACCEPTED if (name, "accepted") not in seen]
        refused = {name for name, outcome in seen if outcome not in ("accepted", "DiskTrouble")}
        missing += [f"{name} refused" for name in operations - NEVER_REFUSED - refused]
        missing += [f"run {old} -> {new}" for old, new in RUN_EDGES - self.runs.keys()]
        missing += [f"step {old} -> {new}" for old, new in STEP_EDGES - self.steps.keys()]
        missing += [f"run {state}" for state in set(RUN_STATES) - {new for _, new in self.runs}]
        return sorted(missing)

    def lines(self) -> list[str]:
        """Return the counts as text."""
        lines = [f"{self.rules} rule calls in {self.examples} examples, {len(self.signatures)} signatures"]
        lines += [f"{count:8} {' '.join(signature)}" for signature, count in sorted(self.signatures.items())]
        lines += [f"{count:8} run {old or 'new'} -> {new}" for (old, new), count in sorted(self.runs.items())]
        lines += [f"{count:8} step {old or 'new'} -> {new}" for (old, new), count in sorted(self.steps.items())]
        return lines
