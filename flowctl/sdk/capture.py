"""Capturing what user code prints, by step: sys.stdout and sys.stderr become writers that know who is writing.

What a step prints is masked, cut into whole lines, and passed on while the step runs. Beyond 1 MB a step and stream
only the beginning and the end are kept. What goes to file descriptors 1 and 2 directly (child processes, C code) is
read from the pipes by the engine.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
import time
from collections import deque
from contextvars import ContextVar
from threading import RLock
from typing import Any, Callable, Optional, Protocol

from flowctl.sdk.masking import StreamMask, mask

HEAD_CHARACTERS = 512 * 1024
TAIL_CHARACTERS = 512 * 1024
PIECE_CHARACTERS = 8 * 1024  # so much text waits for the end of its line

Emit = Callable[[dict[str, Any], str], None]  # fields and text of a `log` message


class HeadTail:
    """Lets the first characters through and keeps the last ones, for output without bounds."""

    def __init__(self, head: int = HEAD_CHARACTERS, tail: int = TAIL_CHARACTERS) -> None:
        self._head_left = head
        self._limit = tail
        self._tail: deque[str] = deque()
        self._small: list[str] = []  # not yet in the deque: a deque of single characters would be huge
        self._small_size = 0
        self._size = 0
        self._dropped = 0

    def feed(self, text: str) -> str:
        """Add text and return the part of it that belongs to the beginning."""
        head, rest = text[: self._head_left], text[self._head_left :]
        self._head_left -= len(head)
        if rest:
            self._small.append(rest)
            self._small_size += len(rest)
            if self._small_size > PIECE_CHARACTERS:
                self._push()
        return head

    def _push(self) -> None:
        piece = "".join(self._small)
        self._small, self._small_size = [], 0
        self._tail.append(piece[-self._limit :])
        self._dropped += len(piece) - len(self._tail[-1])
        self._size += len(self._tail[-1])
        while self._size - len(self._tail[0]) >= self._limit:
            self._size -= len(self._tail[0])
            self._dropped += len(self._tail.popleft())

    def rest(self) -> str:
        """Return the end of the text, with a line before it that says how much was left out between."""
        self._push()
        text, self._tail = "".join(self._tail), deque()
        self._size = 0
        surplus = max(0, len(text) - self._limit)
        dropped, self._dropped = self._dropped + surplus, 0
        return f"\n… {dropped} characters left out …\n{text[surplus:]}" if dropped else text


class _Stream:
    """One stream of one step: masked, limited, and waiting for the end of its line."""

    __slots__ = ("at", "limit", "mask", "pieces", "size")

    def __init__(self) -> None:
        self.mask = StreamMask()
        self.limit = HeadTail()
        self.pieces: list[str] = []
        self.size = 0
        self.at = 0

    def add(self, text: str) -> None:
        if text:
            if not self.pieces:
                self.at = time.time_ns() // 1_000_000
            self.pieces.append(text)
            self.size += len(text)

    def take(self, *, partial: bool) -> str:
        """Return what waits: whole lines, and the beginning of the next one only if `partial`."""
        text = "".join(self.pieces)
        end = len(text) if partial or self.size > 8 * PIECE_CHARACTERS else text.rfind("\n") + 1
        self.pieces = [text[end:]] if end < len(text) else []
        self.size = len(text) - end
        return text[:end]


def _nobody_waits() -> None:
    pass


_on_waiting: Callable[[], None] = _nobody_waits


def call_when_waiting(callback: Callable[[], None]) -> None:
    """Call this when text begins to wait in a sink: somebody has to call `flush_open` soon."""
    global _on_waiting
    _on_waiting = callback


class Sink:
    """Where the output of one attempt of a step goes, or of the workflow function itself (step None)."""

    def __init__(self, emit: Emit, step: Optional[str] = None, attempt: Optional[int] = None) -> None:
        self._emit = emit
        self._step = step
        self._attempt = attempt
        self._streams: dict[str, _Stream] = {}
        self._last = ""
        self._lock = RLock()  # a signal handler that prints may interrupt a print
        self.closed = False
        self.waits = False

    def write(self, stream: str, text: str) -> None:
        """Add text that was written to `stdout` or `stderr`."""
        with self._lock:
            entry = self._enter(stream)
            entry.add(entry.limit.feed(entry.mask.feed(text)))
            if entry.size > PIECE_CHARACTERS:
                self._pass_on(stream, entry, partial=False)
            elif not self.waits:
                self.waits = True
                _open.add(self)
                _on_waiting()

    def log(self, level: str, text: str) -> None:
        """Add one record of the logging module."""
        with self._lock:
            entry = self._enter("log")
            shown = entry.limit.feed(mask(text) + "\n")
            if shown:
                self._send("log", shown.rstrip("\n"), time.time_ns() // 1_000_000, level)

    def flush(self, *, partial: bool = False) -> None:
        """Pass on the whole lines that wait, with `partial` unfinished ones too."""
        with self._lock:
            self.waits = False
            _open.discard(self)
            for stream, entry in self._streams.items():
                self._pass_on(stream, entry, partial=partial)

    def close(self) -> None:
        """Pass on everything, the kept end of long output included."""
        with self._lock:
            self.closed = True
            _open.discard(self)
            for stream, entry in self._streams.items():
                entry.add(entry.limit.feed(entry.mask.flush()))
                entry.add(entry.limit.rest())
                self._pass_on(stream, entry, partial=True)
            self._streams.clear()

    def _enter(self, stream: str) -> _Stream:
        """Return the stream; lines of the other ones come before it, as they were written before."""
        entry = self._streams.get(stream)
        if entry is None:
            entry = self._streams[stream] = _Stream()
        if stream != self._last:
            for name, other in self._streams.items():
                if name != stream and other.pieces:
                    self._pass_on(name, other, partial=False)
            self._last = stream
        return entry

    def _pass_on(self, stream: str, entry: _Stream, *, partial: bool) -> None:
        if entry.pieces:
            text = entry.take(partial=partial)
            if text:
                self._send(stream, text, entry.at, None)

    def _send(self, stream: str, text: str, at: int, level: Optional[str]) -> None:
        fields = {"step": self._step, "attempt": self._attempt, "at": at, "stream": stream, "level": level}
        self._emit(fields, text.encode("utf-8", "backslashreplace").decode())


_current: ContextVar[Optional[Sink]] = ContextVar("flowctl_sink", default=None)
_fallback: Optional[Sink] = None  # for threads that user code starts: they inherit no context
_forked = False


def use(sink: Optional[Sink]) -> None:
    """Send what this thread prints to this sink."""
    _current.set(sink)


def use_for_strangers(sink: Optional[Sink]) -> None:
    """Send what threads without a step of their own print to this sink."""
    global _fallback
    _fallback = sink


def sink_here() -> Optional[Sink]:
    """Return where output of this thread goes, or None when nothing captures it."""
    sink = _current.get()
    if sink is None or sink.closed:
        sink = _fallback
    return None if sink is None or sink.closed or _forked else sink


class Writer(io.TextIOBase):
    """Stands in for sys.stdout or sys.stderr."""

    errors = "backslashreplace"
    newlines = None

    def __init__(self, stream: str, fd: int) -> None:
        super().__init__()
        self._stream = stream
        self._fd = fd
        self.buffer = _Bytes(self)
        self.name = f"<{stream}>"
        self.mode = "w"

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    @property
    def line_buffering(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        sink = sink_here()
        if sink is not None:
            sink.write(self._stream, text)
        elif text:  # outside of any run, or in a forked child: the pipe is all there is
            _write_raw(self._fd, mask(text).encode("utf-8", "backslashreplace"))
        return len(text)

    def flush(self) -> None:
        sink = sink_here()
        if sink is not None:
            sink.flush(partial=True)

    def close(self) -> None:
        """Stay open: user code that closes sys.stdout must not silence the next step."""

    def reconfigure(self, **_: Any) -> None:
        """Accept what io.TextIOWrapper accepts, and change nothing."""


class _Bytes(io.BufferedIOBase):
    """The binary side of a Writer: decodes what it is given, replacing what is not UTF-8."""

    def __init__(self, writer: Writer) -> None:
        super().__init__()
        self._writer = writer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._writer.fileno()

    def write(self, data: Any) -> int:
        view = bytes(data)
        self._writer.write(self._decoder.decode(view))
        return len(view)

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        """Stay open, as the Writer does."""


def _write_raw(fd: int, data: bytes) -> None:
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(fd, data) :]


def install() -> None:
    """Make sys.stdout and sys.stderr capturing writers for the rest of this process."""
    sys.stdout = Writer("stdout", 1)
    sys.stderr = Writer("stderr", 2)
    # `print` in a forked child must not reach the parent's sinks: their way out is a socket that is not the child's.
    os.register_at_fork(after_in_child=_forget)


def _forget() -> None:
    global _forked
    _forked = True


class Waiting(Protocol):
    """Something with text that waits."""

    def flush(self) -> None:
        """Pass it on, if it is time."""


_open: set[Waiting] = set()


def wait(one: Waiting) -> None:
    """Have somebody call this soon."""
    _open.add(one)
    _on_waiting()


def keep_waiting() -> None:
    """Have somebody call what waits once more."""
    _on_waiting()


def wait_no_more(one: Waiting) -> None:
    """Have nobody call this."""
    _open.discard(one)


def flush_open() -> None:
    """Pass on the whole lines that wait in the sinks of this moment."""
    for sink in list(_open):
        sink.flush()
