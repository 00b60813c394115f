"""The executor's end of the wire: messages go out together where they can, and one thread reads.

`post` leaves a message for the next frame; `send` sends everything that waits and its own messages in one frame. What
nobody sends within about ten milliseconds is sent by the flusher thread, which sleeps without polling when nothing
is going on, so that the sequential path never hands over to it.
"""

from __future__ import annotations

import os
import select
import time
from collections import deque
from threading import Condition, Lock, Thread
from typing import Any, Callable, Optional

from flowctl.sdk.lifeline import engine_is_gone
from flowctl.sdk.wire import CHANNEL_CLOSED, FrameReader, Message, WireError, encode_frame

TICK_S = 0.01
QUIET_TICKS = 5  # then the flusher stops ticking until something is posted
OUTBOX_MESSAGES = 100
OUTBOX_BYTES = 64 * 1024
ANSWER_POLL_S = 0.02
_RECEIVE = 1 << 16  # a larger buffer would be mapped and unmapped for every message


class Channel:
    """Messages to and from the engine."""

    def __init__(self, fd: int, token: str) -> None:
        self._fd = fd
        self._inode = _inode(fd)
        self._token = token
        self._reader = FrameReader(token)
        self._inbox: deque[Message] = deque()
        self._answers: dict[tuple[str, Any], deque[Any]] = {}  # to what any thread may ask
        self._outbox: list[Message] = []
        self._outbox_bytes = 0
        self._box = Lock()
        self._reading = Lock()
        self._sending = Lock()
        self._pid = os.getpid()
        self.frames = 0  # sent so far: the flusher sees by it whether anybody else is sending
        self.stir: Callable[[], None] = _nothing

    @property
    def waiting(self) -> bool:
        """Tell whether posted messages have not been sent yet."""
        return bool(self._outbox)

    def post(self, *messages: Message) -> None:
        """Leave messages for the next frame."""
        with self._box:
            self._outbox += messages
            for message in messages:
                self._outbox_bytes += 100 if message.payload is None else 100 + len(message.payload)
            full = len(self._outbox) >= OUTBOX_MESSAGES or self._outbox_bytes >= OUTBOX_BYTES
        if full:
            self.send()
        else:
            self.stir()

    def send(self, *messages: Message) -> None:
        """Send what waits and these messages in one frame."""
        with self._sending:
            with self._box:
                waiting, self._outbox, self._outbox_bytes = self._outbox, [], 0
            waiting += messages
            if not waiting:
                return
            self._require_own()
            try:
                _write(self._fd, encode_frame(self._token, waiting))
            except OSError:
                engine_is_gone()
            self.frames += 1

    def receive(self) -> Message:
        """Wait for the next message."""
        with self._reading:
            while not self._inbox:
                self._take(_wait(self._fd))
            return self._inbox.popleft()

    def receive_or_woken(self, wake_fd: int) -> Optional[Message]:
        """Wait for the next message, or return None once somebody wrote to the other end of `wake_fd`."""
        with self._reading:
            while not self._inbox:
                ready = _select([self._fd, wake_fd], None)
                if self._fd in ready:
                    self._take(_wait(self._fd))
                elif wake_fd in ready:
                    os.read(wake_fd, 4096)
                    return None
            return self._inbox.popleft()

    def receive_now(self) -> Optional[Message]:
        """Return a message that is already there, or None."""
        self._require_own()
        with self._reading:
            while not self._inbox:
                if not _select([self._fd], 0):
                    return None
                self._take(_wait(self._fd))
            return self._inbox.popleft()

    def ask_secret(self, name: str) -> Optional[str]:
        """Ask the engine for a secret, from any thread, and return its value. Raises LookupError that says why not."""
        found = self._ask(Message("secret", {"name": name}), ("secret", name))
        if found.get("problem") is not None:
            raise LookupError(str(found["problem"]))
        return None if found.get("value") is None else str(found["value"])

    def have_masked(self, value: str, sensitive: bool) -> None:
        """Have the engine hide a value in what it reads from this process and its children. It does so on return."""
        self._ask(Message("mask", {"value": value, "sensitive": sensitive}), ("masked", None))

    def keep_external_id(self, fields: dict[str, Any]) -> bool:
        """Have the engine record an external id. It is on disk on return, unless the step does not run any more."""
        return bool(self._ask(Message("external_id", fields), ("kept", fields["key"])).get("value"))

    def _ask(self, question: Message, subject: tuple[str, Any]) -> Any:
        answers = self._answers.setdefault(subject, deque())
        self.send(question)
        while True:
            try:
                return answers.popleft()
            except IndexError:
                pass
            # Whoever reads finds the answer: the workflow's thread if it waits for something, else this one.
            if self._reading.acquire(timeout=ANSWER_POLL_S):
                try:
                    if not answers and _select([self._fd], ANSWER_POLL_S):
                        self._take(_wait(self._fd))
                finally:
                    self._reading.release()

    def _require_own(self) -> None:
        """End this process where user code has taken the channel away; the engine ends what it has started."""
        if os.getpid() != self._pid:  # a fork of user code came back here: the channel is not its own
            os._exit(1)
        if _inode(self._fd) != self._inode:
            os._exit(CHANNEL_CLOSED)

    def _take(self, data: bytes) -> None:
        if not data:
            engine_is_gone()
        try:
            messages = self._reader.feed(data)
        except WireError:
            engine_is_gone()
        for message in messages:
            if message.kind in ("secret", "masked", "kept"):
                subject = (message.kind, message.fields.get("name"))
                self._answers.setdefault(subject, deque()).append(message.fields)
            else:
                self._inbox.append(message)

    def close_in_child(self) -> None:
        """Let go of the channel in a forked child, so that the engine sees the executor's end at once."""
        os.close(self._fd)
        self._fd = -1


# The two places where the reading thread waits. A cancellation may be raised in them, and nowhere else in this file.


def _wait(fd: int) -> bytes:
    try:
        return os.read(fd, _RECEIVE)
    except OSError:  # the connection was reset: the engine is gone as well
        return b""


def _select(fds: list[int], timeout: Optional[float]) -> list[int]:
    if max(fds) >= 1024:  # beyond what select(2) can name
        poll = select.poll()
        for fd in fds:
            poll.register(fd, select.POLLIN)
        return [fd for fd, _ in poll.poll(None if timeout is None else int(timeout * 1000))]
    return select.select(fds, [], [], timeout)[0]


def _write(fd: int, data: bytes) -> None:
    written = os.write(fd, data)
    if written < len(data):
        rest = memoryview(data)[written:]
        while rest:
            rest = rest[os.write(fd, rest) :]


def _inode(fd: int) -> int:
    """Return which socket a file descriptor is now: user code may have closed it and opened something else."""
    try:
        return os.fstat(fd).st_ino
    except OSError:
        return 0


def _nothing() -> None:
    pass


class Flusher:
    """The thread that sends what nobody else sends."""

    def __init__(self, channel: Channel, collect: Callable[[], None]) -> None:
        self._channel = channel
        self._collect = collect  # posts captured text that has waited
        self._asleep = False
        self._stirred = False
        self._condition = Condition()
        self.retry: Optional[Callable[[], None]] = None  # called once at the next tick
        channel.stir = self.stir
        self.thread = Thread(target=self._run, name="flowctl-flusher", daemon=True)
        self.thread.start()

    def stir(self) -> None:
        """Make sure that the flusher looks within a tick."""
        self._stirred = True
        if self._asleep:
            with self._condition:
                self._condition.notify()

    def _run(self) -> None:
        while True:
            with self._condition:
                self._asleep = True
                while not self._stirred:
                    self._condition.wait()
                self._asleep = False
            self._tick_until_quiet()

    def _tick_until_quiet(self) -> None:
        quiet = 0
        while quiet < QUIET_TICKS:
            self._stirred = False
            frames = self._channel.frames
            time.sleep(TICK_S)
            retry, self.retry = self.retry, None
            if retry is not None:
                retry()
            self._collect()
            if self._channel.waiting and self._channel.frames == frames:
                self._channel.send()
            quiet = 0 if self._stirred else quiet + 1
