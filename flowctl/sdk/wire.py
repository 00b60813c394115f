"""The frames that an executor and an engine exchange, and nothing else.

A frame is one or more messages, so that finishing a step and beginning the next travel together:

    4 bytes  length of what follows, big-endian
    4 bytes  length of the head, big-endian
    head     JSON: [token, [[kind, fields, size], ...]]; size is the payload's length in bytes, null for none
    tail     the payloads, UTF-8, one after the other

The token is drawn by the engine for each executor and must stand in every frame, so that bytes which user code
writes into the channel by accident are recognised and end the executor instead of becoming a result.

A payload is JSON text (source text in `source`, plain text in `log`). The engine stores it and never parses it.

Messages of the executor:

| kind | fields | payload | meaning |
|---|---|---|---|
| hello | wire, pid, python | – | first message after the start |
| source | path | source text | a file that is part of the code being loaded, before `loaded` |
| loaded | path, workflows: [description] | – | the file was imported; see `definition.describe` |
| load_failed | file, line | error | it was not |
| bound | input_hash | input | the arguments fit the workflow's parameters |
| rejected | message, hint | – | they do not |
| step | seq, key, name, kind, input_hash, options, source | input | this step is about to begin: record it, then `go` or `outcome` |
| done | key, state, retry, retry_after_ms | output or error | the body ended: state is succeeded or failed |
| log | step, attempt, at, stream, level | text | captured output |
| progress | key, attempt, done, total, text | – | how far a body is; total may be null |
| external_id | key, attempt, external_id | – | record what a body has begun elsewhere, and answer `kept` |
| secret | name | – | asks for a secret that the executor's environment does not have |
| mask | value, sensitive | – | hide this text in the raw output of this executor, and answer `masked`; kept in memory only |
| ended | state, … | output or error | the workflow function ended, see below |

Hashes are hex text. `step.options` leaves out what has its default; `step.source` is the hash of the step function or absent.
A `step` of kind `sleep` carries `duration_ms` or `until` (UTC ms). One of kind `child` carries
`path`, `function`, `workflow` and the child's `workflow_options`. One of kind `signal` waits for the signal of its name,
with `timeout_ms` at most so long; with `to_run` it sends one: `signal`, `value`, … stand in its input. A step that undoes others
carries `undoes`, the place from which a retry starts over, and so does its registration, a value; the first one of a run that
has failed also carries `verdict`, the error as JSON. Kind `value` is followed by its `done`
in the same frame and gets no answer. So is a step with `pure` set, unless it failed: then the executor waits.
`ended.state` is succeeded (payload: output), failed (payload: error; `failed_steps`: keys that a retry runs again),
cancelled, suspended, or mismatch (`seq`, `key`, `what`: key, kind, input, source; `expected`: the recorded key; payload: input now asked).
`what` is workflow or parameters, with `message`, when the loaded code no longer has the function or its parameters do not fit the run's input.
With `run.replay` check nothing is executed: a step without recorded outcome ends the run as a mismatch, `what` unrecorded.
Then `ended.changed` lists the keys of steps with another source than recorded, `ended.unasked` those that were not asked for.
`ended.leftovers` lists what the run left behind (text such as "1 thread"): the engine then replaces the executor.

Messages of the engine:

| kind | fields | payload | meaning |
|---|---|---|---|
| welcome | wire, payload_limit | – | answer to hello; payload_limit in bytes |
| source | path | source text | a file of the pinned code, before `load` |
| load | path, pinned | – | import this file; pinned: from the sources just sent, whatever the disk says |
| bind | function, texts | JSON object or – | bind `texts` (name to text) and the object to the workflow's parameters |
| past | seq, key, kind, state, input_hash, source_hash, undoes | output or error | one recorded step, before `run`; with input_hash '' it answers whatever the input is |
| run | run, attempt, function, file_id, replay, serial, workflow, namespace, tags, started_at, attempts, cancelled | input | execute the workflow |
| go | key, attempt, external_id | – | run the body now, or first ask what has come of an external id |
| outcome | key, state | output or error | the step ended without (another) body: state succeeded, failed or cancelled |
| drain | – | – | begin no further bodies |
| suspend | – | – | unwind; the run goes on later, maybe in another executor |
| secret | name, value, problem | – | value is null when there is no such secret, and problem says why |
| kept | name, value | – | answer to `external_id` of the step with that key: value tells whether it is on disk |
| masked | – | – | answer to `mask`: what the executor's children print from now on is masked |

A `run` that is `cancelled` goes only as far as it is recorded; then the steps that undo it run.

A `run` may come while the run before still works: that one is done first, and its `ended` travels with what begins
the next. It counts as begun when the engine has recorded the end of the run before.

An executor that reads end-of-file kills its own process group and exits: its engine is gone. One whose user code
closed the channel exits with CHANNEL_CLOSED: the number may belong to another file by now.
"""

from __future__ import annotations

import json
import struct
from typing import Any, Iterable, NamedTuple, Optional

WIRE_VERSION = 3
FRAME_LIMIT = 1 << 30  # a longer frame is not a frame
CHANNEL_CLOSED = 97  # exit code

_LENGTHS = struct.Struct(">II")
_dumps = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode


class Message(NamedTuple):
    """One message: its kind, its small fields, and at most one payload."""

    kind: str
    fields: dict[str, Any]
    payload: Optional[str] = None


class WireError(Exception):
    """What arrived is not a frame of this session."""


def encode_frame(token: str, messages: Iterable[Message]) -> bytes:
    """Return the bytes of one frame that carries the messages in order."""
    entries: list[tuple[str, dict[str, Any], Optional[int]]] = []
    tail: list[bytes] = []
    for kind, fields, payload in messages:
        if payload is None:
            entries.append((kind, fields, None))
        else:
            data = payload.encode()
            entries.append((kind, fields, len(data)))
            tail.append(data)
    head = _dumps((token, entries)).encode()
    body = b"".join(tail)
    return _LENGTHS.pack(4 + len(head) + len(body), len(head)) + head + body


class FrameReader:
    """Turns received bytes into messages, however the bytes were cut."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """Add received bytes and return the messages of every frame that is now whole.

        Raises WireError when the bytes are not a frame or carry another token.
        """
        self._buffer += data
        messages: list[Message] = []
        start = 0
        while len(self._buffer) - start >= 8:
            length, head_length = _LENGTHS.unpack_from(self._buffer, start)
            if length > FRAME_LIMIT or head_length + 4 > length:
                raise WireError("not a frame: impossible lengths")
            end = start + 4 + length
            if len(self._buffer) < end:
                break
            messages += self._decode(bytes(self._buffer[start + 8 : end]), head_length)
            start = end
        if start:
            del self._buffer[:start]
        return messages

    def _decode(self, data: bytes, head_length: int) -> list[Message]:
        try:
            token, entries = json.loads(data[:head_length])
            messages, at = [], head_length
            for kind, fields, size in entries:
                payload = None
                if size is not None:
                    if size < 0:
                        raise ValueError("a payload of negative size")
                    payload = data[at : at + size].decode()
                    at += size
                messages.append(Message(kind, fields, payload))
        except (ValueError, TypeError, RecursionError) as error:
            raise WireError(f"not a frame: {error}") from None
        if token != self._token or at != len(data):
            raise WireError("a frame of somebody else")
        return messages
