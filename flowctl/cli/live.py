"""Progress as a tree that is drawn again and again on a terminal, and always fits it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from flowctl.cli.bars import bar
from flowctl.cli.instants import clock_time, short
from flowctl.cli.lines import error_summary
from flowctl.cli.progress import Progress, StepView
from flowctl.cli.terminal import Terminal, can_draw
from flowctl.cli.words import icon, look
from flowctl.core.clock import Clock
from flowctl.core.text import safe_line
from flowctl.engine.observer import Change, RunChanged

REDRAW_S = 0.1
OUTPUT_LINES = 4
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ASCII_SPINNER = "|/-\\"


class LiveNarrator:
    """Draws the runs of a family: the steps that run, those that ended last, and the last lines of output."""

    def __init__(self, terminal: Terminal, new_progress: Callable[[], Progress], clock: Clock) -> None:
        self._new_progress = new_progress
        self._progress = new_progress()
        self._clock = clock
        self._drawn_at = 0.0
        self._frame = 0
        self._console = terminal.console(stderr=True)
        self._live = self._new_live()

    def _new_live(self) -> Live:
        return Live(
            console=self._console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )

    def watch(self, run_id: int) -> LiveNarrator:  # noqa: ARG002 — all runs of the family are drawn
        """Begin a new tree, for this run."""
        self._progress, self._live = self._new_progress(), self._new_live()
        return self

    def __enter__(self) -> LiveNarrator:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._draw()
            self._live.stop()
        except OSError:  # the terminal is gone
            pass

    def hear(self, change: Change) -> None:
        """Take in a change; it shows when the tree is drawn next."""
        self._progress.hear(change)

    def say(self, text: str) -> None:
        """Say a line that stays, above the tree."""
        with suppress(OSError):  # the terminal is gone
            self._console.print(Text(safe_line(text)), soft_wrap=True)

    def redraw(self) -> None:
        """Draw, unless that was done a moment ago."""
        monotonic = self._clock.monotonic()
        if monotonic - self._drawn_at < REDRAW_S:
            return
        self._drawn_at = monotonic
        self._frame += 1
        try:
            self._draw()
        except OSError:  # the terminal is gone; the run goes on
            self._drawn_at = float("inf")

    def _draw(self) -> None:
        self._live.update(self.picture(), refresh=True)

    def picture(self) -> RenderableType:
        """Return what is on the screen now: never higher and never wider than it."""
        width, height = self._console.size
        return Group(*(_cut(line, width) for line in self._lines(max(3, height - 1))))

    def _lines(self, height: int) -> Iterator[Text]:
        heads = self._progress.heads()[-3:]
        output = list(self._progress.output)[-OUTPUT_LINES:] if height >= 8 else []
        yield from map(self._run_line, heads)
        room = max(1, height - len(heads) - len(output) - 1)
        shown, left_out = self._progress.tail(room)
        if left_out > 0:
            yield Text(f"  … {left_out:,} earlier steps", style="bright_black")
        for view in shown:
            yield self._step_line(view)
        for line in output:
            yield Text(f"  │ {safe_line(line.step or 'workflow')}: {safe_line(line.text)}", style="bright_black")

    def _run_line(self, change: RunChanged) -> Text:
        state = (f"{icon(change.state, stderr=True)} {change.state}", look(change.state).style)
        reason = f"  {safe_line(change.reason)}" if change.reason else ""
        return Text.assemble((f"run {change.run_id}  {safe_line(change.workflow)}  ", "bold"), state, reason)

    def _step_line(self, view: StepView) -> Text:
        change = view.change
        line = Text("  " * (view.depth + 1))
        line.append(self._sign(view), style=look(change.state).style)
        line.append(f" {safe_line(change.key)}  ")
        line.append(self._stand(view), style="bright_black")
        if change.error is not None:
            line.append(f"  {error_summary(change.error)}", style="red")
        return line

    def _sign(self, view: StepView) -> str:
        change = view.change
        if change.state != "running":
            return icon(change.state, stderr=True)
        if change.wake_at is not None:
            return icon("sleeping", stderr=True)
        frames = _SPINNER if can_draw(sys.stderr) else _ASCII_SPINNER
        return frames[self._frame % len(frames)]

    def _stand(self, view: StepView) -> str:
        change = view.change
        attempt = f" attempt {change.attempt}" if change.attempt > 1 else ""
        if change.state == "running" and change.wake_at is not None:
            return f"{'again at' if change.error else 'until'} {clock_time(change.wake_at)[:8]}{attempt}"
        if view.extent is not None and change.state == "running":
            lasted = short(self._clock.now() - change.started_at)
            return f"{bar(view.extent, drawn=can_draw(sys.stderr))}  {lasted}{attempt}"
        end = change.finished_at if change.finished_at is not None else self._clock.now()
        return f"{change.state} {short(end - change.started_at)}{attempt}"


def _cut(line: Text, width: int) -> Text:
    """Cut a line to the width of the screen: a line that wraps would push others out."""
    line.truncate(width, overflow="ellipsis" if width > 2 else "crop")
    return line
