"""What a run printed and logged: the last lines first, those before when one scrolls up, and new ones as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar, Protocol, TypeVar

from textual.binding import Binding, BindingType

from flowctl.cli.instants import clock_time
from flowctl.core.model import LogLine
from flowctl.core.text import plural, safe_line, shorten, without_colour
from flowctl.store import Store
from flowctl.tui.widgets.lines import Line, Lines

PAGE = 2_000  # chunks of one read
_SEARCHED = 10_000  # the same when all are looked through: fewer reads, each of which is drawn
MOST = 100_000  # lines that are kept
_LONGEST = 10_000  # characters of a line that are shown
_END = 1 << 62
_NARROW = 70  # columns below which a line has its second only
_STYLES = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}
T = TypeVar("T")


class Ask(Protocol):
    """Asks the file a question."""

    def __call__(self, question: Callable[[Store], T], /) -> Awaitable[T]:
        """Return the answer. Raises FlowctlError."""


class LogView(Lines):
    """The lines of one step, or of the whole run."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("w", "whole", "Step or whole run", id="whole_log")]

    def __init__(self, ask: Ask, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._ask = ask
        self._subject: tuple[int, str | None] = (0, None)  # run and step
        self._whole = False
        self._moving = False
        self._first, self._last = _END, 0  # numbers of the chunks that are shown
        self._complete = False  # nothing is above the first one
        self._reading = asyncio.Lock()

    # -- what it shows

    async def begin(self, run: int, step: str | None, moving: bool) -> None:
        """Show the last lines of a step, or of a run; where they are shown already, those that have come since."""
        self._moving = moving
        if (run, step) != self._subject or not self._last:
            self._subject = (run, step)
            await self._restart()
        else:
            await self._add_new()

    async def _restart(self) -> None:
        subject = self._subject
        page = await self._page_before(_END)
        if subject != self._subject:
            return
        self._first, self._last = (page[0].id, page[-1].id) if page else (_END, 0)
        self._complete = len(page) < PAGE
        self.show(self._laid_out(page))
        self.call_after_refresh(self.scroll_end, animate=False)
        self._tell()

    async def _add_new(self) -> None:
        (run, _), wanted, last = self._subject, self._wanted, self._last
        page = await self._ask(lambda store: store.logs.of_run(run, wanted, last, PAGE))
        if not page or (run, wanted, last) != (self._subject[0], self._wanted, self._last):
            return
        follows = self.follows
        if follows and (len(page) == PAGE or len(self.lines) > MOST):  # more than anybody reads: on to the end
            await self._restart()
            return
        self._last = page[-1].id
        self.append(self._laid_out(page))
        if follows:
            self.scroll_end(animate=False)
        self._tell()

    @property
    def follows(self) -> bool:
        """Tell whether new lines come into sight by themselves: the last one is in sight."""
        return self.scroll_offset.y >= self.max_scroll_y - 1

    @property
    def _wanted(self) -> str | None:
        return None if self._whole else self._subject[1]

    async def _page_before(self, number: int, limit: int = PAGE) -> Sequence[LogLine]:
        (run, _), wanted = self._subject, self._wanted
        return await self._ask(lambda store: store.logs.before(run, wanted, number, limit))

    async def _read_before(self, limit: int = PAGE) -> None:
        """Read what is above the first line."""
        async with self._reading:
            first, subject, wanted = self._first, self._subject, self._wanted
            page = await self._page_before(first, limit)
            if (first, subject, wanted) != (self._first, self._subject, self._wanted):
                return
            self._complete = len(page) < limit
            if page:
                self._first = page[0].id
                self.prepend(self._laid_out(page))
            self._tell()

    @property
    def _more_above(self) -> bool:
        return not self._complete and len(self.lines) < MOST

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Read more when the first line comes near, and say whether it follows."""
        super().watch_scroll_y(old_value, new_value)
        if new_value < old_value and new_value < 2 * self.size.height and self._more_above:
            self.run_worker(self._read_before(), group="before")
        self._tell()

    def action_whole(self) -> None:
        """Show the lines of the whole run, or of the step alone."""
        if self._subject[1] is not None:
            self._whole = not self._whole
            self.run_worker(self._restart(), group="before")

    # -- searching

    def look_for(self, needle: str) -> None:
        """Go to the last line that has this text, of all there are."""
        self.run_worker(self._look_for(needle), group="search")

    async def _look_for(self, needle: str) -> None:
        while self._more_above:
            await self._read_before(_SEARCHED)
        super().look_for(needle)

    # -- words

    def _laid_out(self, chunks: Sequence[LogLine]) -> list[Line]:
        digits = 8 if self._width < _NARROW else 12
        seconds = {chunk.at // 1000 for chunk in chunks}  # far fewer than lines, and a zone takes long to ask
        clock = {second: clock_time(second * 1000)[:8] for second in seconds}
        return [
            line
            for chunk in chunks
            for line in self._lines_of(chunk, f"{clock[chunk.at // 1000]}.{chunk.at % 1000:03}"[:digits])
        ]

    def _lines_of(self, chunk: LogLine, at: str) -> list[Line]:
        source = chunk.level or ("" if chunk.stream == "stdout" else chunk.stream)
        step = shorten(safe_line(chunk.step or "-"), 24) if self._wanted is None else ""
        head = " ".join(filter(None, (at, step, safe_line(source)))) + "  "
        style = _STYLES.get(chunk.level or "", "yellow" if chunk.stream == "stderr" else "")
        texts = without_colour(chunk.text).removesuffix("\n").split("\n")
        return [Line(safe_line(shorten(text, _LONGEST).expandtabs(4)), style, head) for text in texts]

    def _tell(self) -> None:
        run, step = self._subject
        whose = f"run {run}" if self._wanted is None else f"step {safe_line(shorten(step or '', 40))}"
        if not self.lines:
            self.title = f"{whose} has printed and logged nothing{' yet' if self._moving else ''}"
            return
        more = "" if self._complete else ", the last of them"
        follows = " · follows" if self.follows else " · paused: End follows again"
        other = "" if step is None else (" · w: only the step" if self._whole else " · w: the whole run")
        count = plural(len(self.lines), "line")
        self.title = f"{whose}: {count}{more}{follows if self._moving else ''}{other}"
