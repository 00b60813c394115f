"""Executors without processes: a puppet sends what a test made up, and an engine cannot tell the difference."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from typing import IO, Any

from flowctl.engine.interpreter import Interpreter
from flowctl.engine.supervisor import CodeTarget, Event, Executor, Supervisor
from flowctl.sdk.wire import FrameReader, Message, encode_frame

BAD, GOOD = "/flows/bad.py", "/flows/good.py"
HASH = "68" * 16
TOKEN = b"t0ken16letters.."  # stands for an executor's own in a script, and is as long
SILENCE = b"silence"  # in a script: nothing more, and the channel stays open


class _Process:
    """What is left of a process when nothing runs: two pipes, and an end at once."""

    pid = 0

    def __init__(self) -> None:
        self.stdout, self.stderr = _silent_pipe(), _silent_pipe()

    def kill(self) -> None:
        """Do nothing."""

    def wait(self, timeout: float | None = None) -> int:
        return 0

    def poll(self) -> int | None:
        return None


def _silent_pipe() -> IO[bytes]:
    reading, writing = os.pipe()
    os.close(writing)
    return open(reading, "rb", buffering=0)


class Puppet:
    """One executor: says a frame at each turn, heedless of what it hears, then hangs up, or stays in SILENCE."""

    def __init__(self, channel: socket.socket, token: str, script: Iterator[bytes] | None) -> None:
        self._channel = channel
        self._reader = FrameReader(token)
        self._token = token
        self._script = script  # none: it does what it is told
        self._unsent = b""
        self._silent = False

    def act(self) -> None:
        """Take a turn."""
        heard = self._hear()
        if self._script is None:
            for message in heard:
                self._unsent += self._reply(message)
        elif not self._unsent and not self._silent:
            frame = next(self._script, None)
            if frame is None:
                self.leave()
                return
            self._unsent = b"" if frame == SILENCE else frame
            self._silent = frame == SILENCE
        with contextlib.suppress(OSError):
            self._unsent = self._unsent[self._channel.send(self._unsent) :]

    def leave(self) -> None:
        """Close the channel."""
        self._channel.close()

    @property
    def talks(self) -> bool:
        """Tell whether there is more of a frame to come."""
        return bool(self._unsent)

    @property
    def gone(self) -> bool:
        """Tell whether the channel is closed at this end."""
        return self._channel.fileno() < 0

    def _hear(self) -> list[Message]:
        with contextlib.suppress(OSError):
            return self._reader.feed(self._channel.recv(1 << 20))
        return []

    def _reply(self, message: Message) -> bytes:
        """Return what an honest executor of a workflow of one step says next."""
        match message.kind:
            case "load":
                return encode_frame(self._token, [Message("loaded", {"path": GOOD, "workflows": []})])
            case "run":
                return encode_frame(self._token, [step("honest")])
            case "go":
                done = Message("done", {"key": "honest", "state": "succeeded"}, "1")
                return encode_frame(self._token, [done, Message("ended", {"state": "succeeded"}, '"fine"')])
        return b""


def step(key: str, seq: int = 1, kind: str = "step", **fields: Any) -> Message:
    """Return the message that asks for a step."""
    return Message("step", {"seq": seq, "key": key, "name": key, "kind": kind, "input_hash": HASH, **fields}, "{}")


class PuppetTheatre(Supervisor):
    """A supervisor whose executors are puppets: those of BAD follow the scripts, one script each, the last again."""

    def __init__(self, scripts: list[list[bytes]]) -> None:
        super().__init__()
        self._scripts = scripts
        self._puppets: list[Puppet] = []
        self.started = 0  # executors of BAD
        self.idle = 0  # polls in a row in which nothing happened

    def start(self, target: CodeTarget) -> Executor:
        ours, theirs = socket.socketpair()
        executor = Executor(target, Interpreter("", "", ""), ours, self.token)
        executor.process = _Process()  # type: ignore[assignment]
        script = None
        if target.path == BAD:
            frames = self._scripts[min(self.started, len(self._scripts) - 1)]
            script = iter([frame.replace(TOKEN, executor.token.encode()) for frame in frames])
            self.started += 1
        for end in (ours, theirs):
            end.setblocking(False)
        self._listen(executor, FrameReader(executor.token))
        self._puppets.append(Puppet(theirs, executor.token, script))
        return executor

    def terminate(self, executor: Executor) -> None:
        """Ask nobody: a puppet has no processes."""

    def _bury(self, executor: Executor, *, tree: bool = True) -> list[Event]:
        return super()._bury(executor, tree=False)

    def poll(self, timeout: float) -> list[Event]:
        for puppet in self._puppets:
            puppet.act()
        self._puppets = [puppet for puppet in self._puppets if not puppet.gone]
        events = super().poll(0)
        self.idle = 0 if events or any(puppet.talks for puppet in self._puppets) else self.idle + 1
        return events

    def close(self) -> None:
        super().close()
        for puppet in self._puppets:
            puppet.leave()
