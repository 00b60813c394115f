"""What comes out of an executor's file descriptors 1 and 2 beside the text that the SDK attributes to steps.

Such bytes are from C code, from child processes, or from an interpreter that dies. They belong to the step that runs
when they arrive if there is just one, else to the run.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flowctl.engine.session import Session
from flowctl.engine.supervisor import Executor, Output, Received
from flowctl.sdk.wire import Message

if TYPE_CHECKING:
    from codecs import IncrementalDecoder

LIMIT = 1 << 20  # characters kept of one executor's stream between two messages that change the step
LINE = 1 << 16  # a longer line is stored in pieces


def _decoder() -> IncrementalDecoder:
    return codecs.getincrementaldecoder("utf-8")(errors="replace")


@dataclass(slots=True)
class _Stream:
    decoder: IncrementalDecoder = field(default_factory=_decoder)
    partial: str = ""
    taken: int = 0
    dropped: int = 0


class RawOutput:
    """Cuts raw output into whole lines and attributes them."""

    def __init__(self) -> None:
        self._streams: dict[tuple[Executor, str], _Stream] = {}

    def take(self, output: Output) -> list[Received]:
        """Return log messages for the whole lines that this output completes."""
        stream = self._streams.setdefault((output.executor, output.stream), _Stream())
        text = stream.partial + stream.decoder.decode(output.data)
        end = text.rfind("\n") + 1
        if len(text) - end > LINE:
            end = len(text)
        stream.partial = text[end:]
        return self._log(output.executor, output.stream, stream, text[:end])

    def flush(self, executor: Executor) -> list[Received]:
        """Return log messages for what is left, because the executor's step is about to change."""
        messages = []
        for name in ("stdout", "stderr"):
            stream = self._streams.pop((executor, name), None)
            if stream is not None:
                text = stream.partial + stream.decoder.decode(b"", True)
                messages += self._log(executor, name, stream, text)
                if stream.dropped:
                    messages.append(
                        _message(executor, name, f"[flowctl: {stream.dropped} more characters were not kept]\n")
                    )
        return messages

    def forget(self, executor: Executor) -> None:
        """Drop what is left of a dead executor."""
        for name in ("stdout", "stderr"):
            self._streams.pop((executor, name), None)

    def _log(self, executor: Executor, name: str, stream: _Stream, text: str) -> list[Received]:
        kept = text[: max(0, LIMIT - stream.taken)]
        stream.taken += len(kept)
        stream.dropped += len(text) - len(kept)
        return [_message(executor, name, kept)] if kept else []


def _message(executor: Executor, stream: str, text: str) -> Received:
    step, attempt = None, None
    session = executor.session
    if isinstance(session, Session):
        bodies = [operation for operation in session.operations.values() if operation.phase == "body"]
        if len(bodies) == 1:
            step, attempt = bodies[0].key, bodies[0].attempt
    return Received(executor, Message("log", {"step": step, "attempt": attempt, "stream": stream}, text))
