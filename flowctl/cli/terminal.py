"""Where words go: data to stdout, narration to stderr, both safe for a terminal."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING, Literal, TextIO

from flowctl.core.text import json_escape, safe, safe_json

if TYPE_CHECKING:
    from rich.console import Console

WIDE = 10_000  # columns of what is not a terminal: nothing is wrapped or cut
_GONE = (errno.EPIPE, errno.EIO, errno.ESHUTDOWN)  # EIO: the terminal was closed


class OutputClosed(BrokenPipeError):
    """Nobody reads stdout any more."""


class Terminal:
    """The standard streams of one call. A stream that is closed swallows what is written to it."""

    def __init__(self, *, color: str, quiet: bool, plain: bool) -> None:
        self._color = color
        self._quiet = quiet
        self._plain = plain
        self._deaf = False  # nobody reads stderr any more

    def data(self, text: str) -> None:
        """Write a line of text, made safe, to stdout. Raises OutputClosed."""
        self._write_data(safe(text) + "\n")

    def prose(self, text: str) -> None:
        """Write sentences, made safe, to stdout; on a terminal their lines end between words. Raises OutputClosed."""
        if self.shortens:
            import shutil
            import textwrap

            width = shutil.get_terminal_size().columns
            lines = [textwrap.wrap(line, width, break_on_hyphens=False) or [""] for line in safe(text).split("\n")]
            text = "\n".join("\n".join(parts) for parts in lines)
        self.data(text)

    def data_json(self, text: str) -> None:
        """Write JSON text to stdout, indented for a terminal. Raises OutputClosed."""
        if is_terminal(sys.stdout) and len(text) < 1_000_000:
            import json

            text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
        self.json_line(text)

    def json_line(self, text: str) -> None:
        """Write JSON text to stdout as it is, on one line. Raises OutputClosed."""
        text = safe_json(text)
        if not can_draw(sys.stdout):  # JSON is UTF-8, whatever the locale says: the rest as JSON's own escapes
            text = "".join(char if char.isascii() else json_escape(char) for char in text)
        self._write_data(text + "\n")

    def drawn(self, text: str) -> None:
        """Write text that is safe already, as drawn by a console of ours. Raises OutputClosed."""
        self._write_data(text)

    def _write_data(self, text: str) -> None:
        if sys.stdout is None:
            return
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError as error:
            if error.errno in _GONE:
                raise OutputClosed from None
            raise

    def say(self, text: str) -> None:
        """Write a line of narration, made safe, to stderr, unless that is to be quiet."""
        if not self._quiet:
            self.warn(text)

    def warn(self, text: str) -> None:
        """Write a line, made safe, to stderr."""
        self._write_narration(safe(text) + "\n")

    def refuse(self, message: str, hint: str) -> None:
        """Write what went wrong, and below it what can be done, to stderr."""
        self.warn(f"flowctl: {message}")
        for line in hint.splitlines():
            self.warn(f"  {line}")

    def _write_narration(self, text: str) -> None:
        if sys.stderr is None or self._deaf:
            return
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except (OSError, ValueError):  # a run goes on, whoever watches it
            self._deaf = True

    @property
    def draws(self) -> bool:
        """Tell whether data is drawn for a person: stdout is a terminal, or colour was asked for."""
        return not self._plain and (is_terminal(sys.stdout) or self._color == "always")

    @property
    def shortens(self) -> bool:
        """Tell whether long data may be shortened: only before the eyes of a person."""
        return not self._plain and is_terminal(sys.stdout)

    @property
    def animates(self) -> bool:
        """Tell whether narration may move the cursor."""
        return not self._quiet and is_terminal(sys.stderr) and not _is_dumb()

    def console(self, *, stderr: bool = False, width: int | None = None) -> Console:
        """Return a console that takes nothing for markup and draws in colour only where that is wanted."""
        from rich.console import Console

        stream = sys.stderr if stderr else sys.stdout
        system: Literal["auto", "standard"] | None = None  # no colour: no escape sequence of any kind
        if self._colored(stream):
            system = "auto" if is_terminal(stream) and not _is_dumb() else "standard"
        if width is None:
            width = _width(stream)
        return Console(
            file=stream,
            markup=False,
            emoji=False,
            highlight=False,
            width=width,
            height=None if width is None else 25,  # without a height, rich ignores the width of a dumb terminal
            color_system=system,
            force_terminal=True if system else None,
        )

    def _colored(self, stream: TextIO | None) -> bool:
        if self._color != "auto":
            return self._color == "always"
        return is_terminal(stream) and not _is_dumb() and not os.environ.get("NO_COLOR")


def is_terminal(stream: TextIO | None) -> bool:
    """Tell whether a stream is open and leads to a terminal."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def has_hung_up(stream: TextIO | None) -> bool:
    """Tell whether the terminal behind a stream is gone. Whoever goes on reading it finds its end over and over."""
    import select

    if stream is None:
        return True
    poll = select.poll()
    poll.register(stream.fileno(), select.POLLHUP)
    return any(events & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, events in poll.poll(0))


def _width(stream: TextIO | None) -> int | None:
    """Return the columns to draw in; None where rich finds out by itself, and again when the window changes."""
    if stream is None or not is_terminal(stream):
        return WIDE
    if not _is_dumb():
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        return 80


def _is_dumb() -> bool:
    return os.environ.get("TERM", "dumb") in ("dumb", "unknown", "")


def can_draw(stream: TextIO | None) -> bool:
    """Tell whether the stream's encoding has the characters of our icons."""
    return (getattr(stream, "encoding", None) or "").lower().replace("-", "") in ("utf8", "utf16", "utf32")
