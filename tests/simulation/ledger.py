"""What bodies did, as no crash can take it back: the side effects of a simulated machine."""

from __future__ import annotations

from dataclasses import dataclass, field


class Broken(AssertionError):
    """flowctl has not kept a promise."""


@dataclass(slots=True)
class Execution:
    """One body, from its start to its end. `ending` is succeeded, failed, cancelled, died or killed."""

    run: int
    key: str
    attempt: int
    marker: str  # of the executor it runs in
    run_attempt: int = 0
    early: bool = False  # a pure body of a run that is only on offer to the executor: another one may have the run
    ending: str | None = None
    output: str | None = None

    def end(self, ending: str, output: str | None = None) -> None:
        """Note the end."""
        if self.ending is None:
            self.ending, self.output = ending, output


@dataclass(slots=True)
class Ledger:
    """All bodies of a machine."""

    executions: dict[tuple[int, str], list[Execution]] = field(default_factory=dict)
    count: int = 0

    def begin(self, execution: Execution) -> None:
        """Note the start of a body, unless another one of the same step is still alive."""
        earlier = self.executions.setdefault((execution.run, execution.key), [])
        for other in earlier:
            if other.ending is None and not (other.early or execution.early):
                raise Broken(
                    f"run {execution.run} step {execution.key}: attempt {execution.attempt} starts in "
                    f"{execution.marker} while attempt {other.attempt} still runs in {other.marker}"
                )
        earlier.append(execution)
        self.count += 1

    def killed(self, marker: str) -> None:
        """Note that everything in an executor has ended with it."""
        for executions in self.executions.values():
            for execution in executions:
                if execution.marker == marker and execution.ending is None:
                    execution.end("killed")

    def of(self, run: int, key: str) -> list[Execution]:
        """Return the executions of a step, the oldest first."""
        return self.executions.get((run, key), [])
