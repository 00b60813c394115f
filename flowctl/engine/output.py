"""What comes out of an executor's file descriptors 1 and 2 beside the text that the SDK attributes to steps.

Such bytes are from C code, from child processes, or from an interpreter that dies. They belong to the step that runs
when they arrive if there is just one, else to the run.
"""

from __future__ import annotations

import codecs

from flowctl.engine.session import Session
from flowctl.engine.supervisor import Executor, Output, Received
from flowctl.sdk.capture import HeadTail
from flowctl.sdk.masking import StreamMask
from flowctl.sdk.wire import Message

LINE = 1 << 16  # a longer line is stored in pieces


class _Stream:
    """One pipe of an executor between two messages that change the step: masked, and kept within limits."""

    def __init__(self, executor: Executor) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._mask = StreamMask(executor.masker)
        self._limit = HeadTail()
        self._partial = ""

    def take(self, data: bytes) -> str:
        """Return the whole lines that this data completes."""
        text = self._partial + self._limit.feed(self._mask.feed(self._decoder.decode(data)))
        end = text.rfind("\n") + 1
        if len(text) - end > LINE:
            end = len(text)
        self._partial = text[end:]
        return text[:end]

    def rest(self) -> str:
        """Return what is left: an unfinished line, and the kept end of long output."""
        last = self._mask.feed(self._decoder.decode(b"", True)) + self._mask.flush()
        return self._partial + self._limit.feed(last) + self._limit.rest()


class RawOutput:
    """Cuts raw output into whole lines and attributes them."""

    def __init__(self) -> None:
        self._streams: dict[tuple[Executor, str], _Stream] = {}

    def take(self, output: Output) -> list[Received]:
        """Return log messages for the whole lines that this output completes."""
        key = output.executor, output.stream
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = _Stream(output.executor)
        text = stream.take(output.data)
        return [_message(output.executor, output.stream, text)] if text else []

    def flush(self, executor: Executor) -> list[Received]:
        """Return log messages for what is left, because the executor's step is about to change."""
        messages = []
        for name in ("stdout", "stderr"):
            stream = self._streams.pop((executor, name), None)
            text = stream.rest() if stream is not None else ""
            if text:
                messages.append(_message(executor, name, text))
        return messages

    def forget(self, executor: Executor) -> None:
        """Drop what is left of a dead executor."""
        for name in ("stdout", "stderr"):
            self._streams.pop((executor, name), None)


def _message(executor: Executor, stream: str, text: str) -> Received:
    step, attempt = None, None
    session = executor.session
    if isinstance(session, Session):
        bodies = [operation for operation in session.operations.values() if operation.phase == "body"]
        if len(bodies) == 1:
            step, attempt = bodies[0].key, bodies[0].attempt
    return Received(executor, Message("log", {"step": step, "attempt": attempt, "stream": stream}, text))
