"""What an observer of an engine has heard so far: the runs and the steps worth showing. Nothing is drawn here."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from flowctl.core.progress import Progress as Extent
from flowctl.engine.observer import Change, LogCaptured, RunChanged, StepChanged, StepProgressed

KEPT = 200  # finished steps, and lines of output: more than any terminal is high


@dataclass(frozen=True, slots=True)
class StepView:
    """A step as it is shown. `place` sorts the steps of a family: that of a child's step begins with its parent's."""

    place: tuple[int, ...]
    change: StepChanged
    extent: Extent | None = None  # how far its body is

    @property
    def depth(self) -> int:
        """Return how many runs are above this step's own."""
        return len(self.place) - 1


@dataclass(frozen=True, slots=True)
class OutputLine:
    """A line that user code printed or logged."""

    step: str | None
    text: str


class Progress:
    """The state of one family of runs, as far as it is shown. Its size does not grow with the number of steps."""

    def __init__(self, parent_step: Callable[[int], str | None]) -> None:
        self.runs: dict[int, RunChanged] = {}
        self.running: dict[tuple[int, str], StepView] = {}
        self.finished: deque[StepView] = deque(maxlen=KEPT)
        self.output: deque[OutputLine] = deque(maxlen=KEPT)
        self.finished_count = 0
        self._parent_step = parent_step
        self._above: dict[int, tuple[int, ...]] = {}  # run: place of the step that started it
        self._next = 0

    def hear(self, change: Change) -> None:
        """Take in a change."""
        if isinstance(change, RunChanged):
            self._hear_run(change)
        elif isinstance(change, StepChanged):
            self._hear_step(change)
        elif isinstance(change, StepProgressed):
            self._hear_progress(change)
        elif isinstance(change, LogCaptured):
            lines = change.text.removesuffix("\n").split("\n")
            self.output += [OutputLine(change.step, line) for line in lines]

    def _hear_run(self, change: RunChanged) -> None:
        if change.run_id not in self.runs and change.parent_id is not None:
            key = self._parent_step(change.run_id)
            parent = self.running.get((change.parent_id, key or ""))
            self._above[change.run_id] = parent.place if parent else self._above.get(change.parent_id, ())
        self.runs[change.run_id] = change
        if change.state != "running":
            self._drop_what_ran(change)

    def _drop_what_ran(self, change: RunChanged) -> None:
        """Forget the bodies of a run that let go of its executor; what only waits goes on waiting."""
        waits = change.state in ("sleeping", "waiting")
        for key, view in list(self.running.items()):
            if key[0] == change.run_id and not (
                waits and (view.change.wake_at is not None or view.change.kind in ("child", "signal"))
            ):
                del self.running[key]

    def _hear_step(self, change: StepChanged) -> None:
        key = (change.run_id, change.key)
        known = self.running.get(key)
        if known is not None:
            place = known.place
        else:
            self._next += 1
            place = (*self._above.get(change.run_id, ()), self._next)
        view = StepView(place, change)
        if change.state == "running":
            self.running[key] = view
            return
        self.running.pop(key, None)
        if change.kind != "value":  # now(), random(): instant, and many
            self.finished.append(view)
            self.finished_count += 1

    def _hear_progress(self, change: StepProgressed) -> None:
        key = (change.run_id, change.key)
        if key in self.running:
            self.running[key] = replace(self.running[key], extent=change.progress)

    def heads(self) -> list[RunChanged]:
        """Return the runs at the top: those whose parent is not worked on here."""
        return [change for change in self.runs.values() if change.parent_id not in self.runs]

    def tail(self, lines: int) -> tuple[list[StepView], int]:
        """Return the steps to show in so many lines, and how many are left out: what runs, then what ended last."""
        running = [view for view in self.running.values() if view.change.kind != "value"][-lines:]
        free = max(0, lines - len(running))
        recent = list(self.finished)[-free:] if free else []
        shown = sorted([*recent, *running], key=lambda view: view.place)
        return shown, self.finished_count - len(recent)
