"""What stands on the terminal until the screen is loaded: the newest runs, as the screen will draw them.

To load Textual and to start it takes longer than to draw a list. Meanwhile the keys that are pressed are kept for the
screen, and not echoed into what is drawn.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import termios
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Self

from rich.cells import cell_len, set_cell_size

from flowctl.cli.terminal import can_draw, is_terminal
from flowctl.core.errors import FlowctlError
from flowctl.core.listing import RunFilter, RunLine
from flowctl.store import Store
from flowctl.tui.columns import laid_out, titles
from flowctl.tui.places import PLACES, SMALLEST, WHOLE, titled
from flowctl.tui.run_rows import COLUMNS, SORTS, run_row

ALTERNATE = "\x1b[?1049h"
_AROUND = 4  # lines of the screen that are no runs: the places, the titles, the standing line, the keys
_BUSY_TIMEOUT_MS = 50
_BEGIN = f"{ALTERNATE}\x1b[?25l\x1b[?7l\x1b[2J"  # no cursor, and nothing wrapped
_END = "\x1b[?7h\x1b[?1049l\x1b[?25h"
_COLOURS = {
    name: str(30 + number)
    for number, name in enumerate(("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"))
} | {"bright_black": "90"}

Part = tuple[str, str]  # a text that is safe, and how it looks: the numbers of an SGR sequence


class FirstPaint:
    """The terminal while the screen is loaded and while it runs; afterwards it is as it was."""

    def __init__(self) -> None:
        self.attributes: list[Any] | None = None  # of the terminal, as they were
        self.drawn = False  # and the screen has not taken it over yet
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Keep the keys for the screen."""
        for number in (signal.SIGTERM, signal.SIGHUP):
            self._handlers[number] = signal.signal(number, _end)
        if is_terminal(sys.__stdin__) and sys.__stdin__ is not None:
            with suppress(termios.error):
                self.attributes = termios.tcgetattr(sys.__stdin__)
                termios.tcsetattr(sys.__stdin__, termios.TCSANOW, _for_keys(self.attributes))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Leave the terminal as it was."""
        if self.drawn:
            self.drawn = False
            with suppress(OSError):  # the terminal may be gone
                _write(_END)
        if self.attributes is not None and sys.__stdin__ is not None:
            with suppress(termios.error):
                termios.tcsetattr(sys.__stdin__, termios.TCSANOW, self.attributes)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def draw(self, db: str, namespace: str, keys: Mapping[str, str]) -> None:
        """Draw the newest runs. Of a file that cannot be read, or a terminal that is too small, the screen tells."""
        width, height = shutil.get_terminal_size()
        stream = sys.__stderr__  # as Textual
        if not is_terminal(stream) or not can_draw(stream) or width < SMALLEST[0] or height < SMALLEST[1]:
            return
        try:
            runs = _newest(db, namespace, height - _AROUND)
        except (FlowctlError, OSError):
            return
        self.drawn = True
        _write(_frame(runs, keys, width, height, colours="NO_COLOR" not in os.environ))


def _end(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)  # while modules are loaded nothing else would end it in order


def _for_keys(attributes: list[Any]) -> list[Any]:
    """Return the attributes with which keys arrive as Textual takes them; ctrl-C goes on to interrupt."""
    iflag, oflag, cflag, lflag, ispeed, ospeed, characters = attributes
    iflag &= ~(termios.ICRNL | termios.INLCR | termios.IGNCR | termios.IXON | termios.IXOFF)
    lflag &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN)
    characters = list(characters)
    for each in (termios.VSUSP, termios.VQUIT):  # they would leave the terminal like this
        characters[each] = b"\0"
    return [iflag, oflag, cflag, lflag, ispeed, ospeed, characters]


def _newest(db: str, namespace: str, count: int) -> list[RunLine]:
    with Store.open(db, create=False, read_only=True, busy_timeout=_BUSY_TIMEOUT_MS) as store, store.reading():
        numbers = store.runs.numbers(RunFilter(namespace, limit=count))
        lines = store.runs.lines(numbers)
    return [lines[number] for number in numbers]


def _write(text: str) -> None:
    stream = sys.__stderr__
    if stream is not None:
        stream.write(text)
        stream.flush()


# -- what is drawn


def _frame(runs: list[RunLine], keys: Mapping[str, str], width: int, height: int, *, colours: bool) -> str:
    lines = [
        _line(_heading(keys, width), width),
        *(_line(parts, width) for parts in _table(runs, width, colours=colours)),
    ]
    lines += [""] * (height - 2 - len(lines))
    lines.append(_line([(" loading the screen…", "")], width))
    return _BEGIN + "".join(f"\x1b[{number};1H{line}" for number, line in enumerate(lines, 1))


def _heading(keys: Mapping[str, str], width: int) -> Iterator[Part]:
    if width >= WHOLE:
        yield " flowctl ", "1"
    for place in PLACES:
        look = ["1", "7"] if place is PLACES[0] else []
        key, rest = titled(place, keys)
        yield " ", ""
        yield key, ";".join([*look, "4"])
        yield rest, ";".join(look)
        yield " ", ""


def _table(runs: list[RunLine], width: int, *, colours: bool) -> Iterator[list[Part]]:
    yield [(" ", ""), *((cell.text, "1") for cell in laid_out(COLUMNS, titles(COLUMNS, SORTS[0].arrowed), width))]
    cursor = "1;30;47" if colours else "1;7"
    for run in runs:
        cells = laid_out(COLUMNS, run_row(run), width)
        if run is runs[0]:
            yield [(" ", cursor), *((cell.text, cursor) for cell in cells)]
        else:
            yield [(" ", ""), *((cell.text, _COLOURS.get(cell.style, "") if colours else "") for cell in cells)]


def _line(parts: Iterable[Part], width: int) -> str:
    """Return a line of at most that many cells."""
    line = ""
    for text, look in parts:
        text = text if cell_len(text) <= width else set_cell_size(text, width)
        width -= cell_len(text)
        line += f"\x1b[{look}m{text}\x1b[m" if look else text
    return line
