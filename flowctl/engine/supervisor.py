"""Starting, hearing and ending executors: the processes that run user code.

A supervisor turns what the operating system says into events: a message arrived, output was captured, an executor is
gone. It decides nothing. Tests replace it by a scripted one with the same four verbs: start, take, poll, kill.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
from collections.abc import Callable, Iterable
from typing import IO, Any, NamedTuple, Protocol

from flowctl.core.clock import token
from flowctl.core.config import Config
from flowctl.core.errors import FlowctlError, UsageError
from flowctl.engine.interpreter import (
    Interpreter,
    choose_interpreter,
    executor_environment,
    own_python,
    sdk_folder,
    seen_by_person,
)
from flowctl.engine.secrets import Desk, NoSecret, is_slow, resolve, sources_of
from flowctl.engine.shapes import require_shape
from flowctl.sdk import processes
from flowctl.sdk.masking import Masker
from flowctl.sdk.wire import CHANNEL_CLOSED, WIRE_VERSION, FrameReader, Message, WireError, encode_frame

RECEIVE_BYTES = 1 << 16  # more costs a fresh mapping for every message
DEATH_WAIT_S = 1.0  # how long an executor that closed its channel may take to die by itself, on a busy machine

# The private SDK folder comes first on the path only until the SDK is imported, and the current folder never does:
# a json.py beside the workflow must not become the executor's json.
_BOOT = "import sys; sys.path[0] = sys.argv.pop(1); from flowctl.sdk.executor import main; main()"


class HasFileno(Protocol):
    """What a selector can wait for."""

    def fileno(self) -> int:
        """Return the file descriptor."""


class CodeTarget(NamedTuple):
    """What code is to run in: equal targets can share an executor. The path is '' for a shell command."""

    path: str
    directory: str
    python: str | None = None
    env_file: str | None = None
    variables: tuple[tuple[str, str], ...] = ()  # captured where a person made or registered it


class Offer(NamedTuple):
    """A run that an executor may go on with: made at that instant, and withdrawn at that monotonic second."""

    run_id: int
    attempt: int  # which one the executor was told of
    lane: tuple[str, str]  # its namespace and queue
    made_at: int
    until: float


class Executor:
    """One executor process and the channel to it."""

    def __init__(self, target: CodeTarget, interpreter: Interpreter, channel: socket.socket, marker: str) -> None:
        self.target = target
        self.interpreter = interpreter
        self.channel = channel
        self.marker = marker
        self.token = token()
        self.process: subprocess.Popen[bytes]
        self.loaded: tuple[str, str] | None = None  # (code, path) of the workflow file it has imported
        self.used = False  # whether a run has been given to it
        self.session: Any = None  # whose messages these are: set by the engine
        self.offer: Offer | None = None  # see offers.py
        self.began_at = 0.0  # monotonic: when its present run began
        self.quick = False  # whether its last run took next to no time
        self.stray = False  # whether it goes on with a run that was withdrawn
        self.free_since = 0.0  # monotonic: when it ended its last run
        self.unsent = bytearray()
        self.masker = Masker()  # what its raw output must not show
        self.secrets: dict[str, str] = {}  # those it has asked for


class Received(NamedTuple):
    """A message arrived."""

    executor: Executor
    message: Message


class Output(NamedTuple):
    """Bytes came out of the executor's file descriptor 1 or 2."""

    executor: Executor
    stream: str
    data: bytes


class Gone(NamedTuple):
    """The executor is dead, for the reason given as a sentence's end: "was killed by signal 11"."""

    executor: Executor
    reason: str


Event = Received | Output | Gone


class Supervisor:
    """Starts executors, listens to them, ends them and everything they started.

    Its token begins the marker that stands in the environment of all of these processes. User code creates files
    with the umask given, the caller's: that of flowctl itself is stricter. -1 means the same as this process.
    """

    def __init__(self, config: Config | None = None, umask: int = -1) -> None:
        self.token = token()
        self.boot: tuple[str, ...] = (_BOOT,)  # the program of an executor, and its words after the SDK's folder
        self._umask = umask
        self._config = config or Config()
        self._selector = selectors.DefaultSelector()
        self._executors: list[Executor] = []
        self._count = 0
        self._late: list[Event] = []  # events noticed outside poll
        self._desk: Desk | None = None  # where slow sources of secrets are asked

    def start(self, target: CodeTarget) -> Executor:
        """Start an executor and greet it. Raises UsageError when there is no interpreter that can be started."""
        environ = seen_by_person(os.environ, dict(target.variables))
        interpreter = choose_interpreter(target.path, target.python, environ)
        ours, theirs = socket.socketpair()
        self._count += 1
        executor = Executor(target, interpreter, ours, f"{self.token}.{self._count}")
        try:
            executor.process = self._spawn(executor, theirs.fileno())
        except (OSError, ValueError) as error:  # ValueError: a NUL in a name
            ours.close()
            what = f"cannot start {interpreter.python or 'Python'} in {target.directory}: {error}"
            raise UsageError(what, "give another interpreter with --python") from None
        except FlowctlError:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        self._listen(executor, FrameReader(executor.token))
        self.send(executor, [Message("welcome", {"wire": WIRE_VERSION, "payload_limit": self._config.payload_limit})])
        return executor

    def _spawn(self, executor: Executor, fd: int) -> subprocess.Popen[bytes]:
        target, interpreter = executor.target, executor.interpreter
        captured = dict(target.variables)
        own = executor_environment(os.environ, target.env_file, interpreter.virtual_env, captured)
        environment = self._passed() | own
        environment |= {"FLOWCTL_CHANNEL": f"{fd}:{executor.token}", "FLOWCTL_EXECUTOR": executor.marker}
        command = [interpreter.python] if interpreter.python else own_python()
        return subprocess.Popen(
            [*command, "-c", self.boot[0], sdk_folder(), *self.boot[1:]],
            env=environment,
            cwd=target.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[fd],
            start_new_session=True,
            umask=self._umask,
        )

    def _passed(self) -> dict[str, str]:
        names = self._config.pass_environment
        whole = {name for name in names if not name.endswith("*")}
        prefixes = tuple(name[:-1] for name in names if name.endswith("*"))
        return {name: value for name, value in os.environ.items() if name in whole or name.startswith(prefixes)}

    def _listen(self, executor: Executor, reader: FrameReader) -> None:
        self._executors.append(executor)
        self._selector.register(executor.channel, selectors.EVENT_READ, (executor, reader))
        for stream, pipe in _pipes(executor):
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ, (executor, stream))

    def also_hear(self, source: HasFileno, heard: Callable[[], None]) -> None:
        """Wake from `poll` when there is something to read at this source too, and call `heard`, which reads it."""
        self._selector.register(source, selectors.EVENT_READ, (None, heard))

    def configure(self, config: Config) -> None:
        """Give other settings to the executors that are started from now on."""
        self._config = config

    def retire(self, before: float) -> None:
        """End the executors that have been idle since that monotonic second, or longer."""
        for executor in list(self._executors):
            if executor.session is None and executor.free_since <= before:
                self.kill(executor)

    def take(self, target: CodeTarget, loaded: tuple[str, str], *, fresh: bool = False) -> Executor | None:
        """Return a living idle executor for that target and code, or None; one that has run nothing, if `fresh`."""
        for executor in self._executors:
            free = executor.session is None and not (fresh and executor.used)
            if free and executor.target == target and executor.loaded == loaded and executor.process.poll() is None:
                return executor
        return None

    def send(self, executor: Executor, messages: Iterable[Message]) -> None:
        """Send the messages as one frame; what the channel cannot take now is sent while polling."""
        data = encode_frame(executor.token, messages)
        if executor.unsent:
            executor.unsent += data
            return
        try:
            sent = executor.channel.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:  # it is dying: the end of its channel will be read next
            return
        if sent < len(data):
            executor.unsent += data[sent:]
            self._watch(executor, selectors.EVENT_READ | selectors.EVENT_WRITE)

    def poll(self, timeout: float) -> list[Event]:
        """Wait at most so many seconds and return what happened, the output of an executor before its messages."""
        events, self._late = self._late, []
        ready = self._selector.select(0 if events else max(0.0, timeout))
        if len(ready) > 1:
            ready.sort(key=lambda item: isinstance(item[0].data[1], FrameReader))
        for key, mask in ready:
            executor, source = key.data
            if executor is None:
                source()
            elif isinstance(source, str):
                events += self._read_output(executor, source)
            else:
                if mask & selectors.EVENT_WRITE:
                    self._flush(executor)
                if mask & selectors.EVENT_READ:
                    events += self._read_channel(executor, source)
        return events

    def _flush(self, executor: Executor) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            sent = executor.channel.send(executor.unsent)
            del executor.unsent[:sent]
        if not executor.unsent:
            self._watch(executor, selectors.EVENT_READ)

    def _watch(self, executor: Executor, events: int) -> None:
        self._selector.modify(executor.channel, events, self._selector.get_key(executor.channel).data)

    def _read_channel(self, executor: Executor, reader: FrameReader) -> list[Event]:
        try:
            data = executor.channel.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            return self._lost(executor)
        try:
            messages = reader.feed(data)
            for message in messages:
                require_shape(message)
        except WireError:
            return self.disown(executor, "wrote into flowctl's own channel, which no step may touch")
        return [Received(executor, each) for each in messages if not self._answers(executor, each)]

    def disown(self, executor: Executor, reason: str) -> list[Event]:
        """Kill an executor that says what none may say, and return its last output and its end."""
        return [*self._bury(executor), Gone(executor, reason)]

    def _answers(self, executor: Executor, message: Message) -> bool:
        """Answer what is about secrets, at once: it is recorded nowhere, and the executor waits."""
        fields = message.fields
        if message.kind == "secret":
            self._look_for_secret(executor, fields["name"])
        elif message.kind == "mask":
            executor.masker.add(fields["value"], sensitive=fields["sensitive"])
            self.send(executor, [Message("masked", {})])
        return message.kind in ("secret", "mask")

    def _look_for_secret(self, executor: Executor, name: str) -> None:
        """Answer from what is at hand; what a command has to be asked for comes later, and the engine goes on."""
        if name in executor.secrets:
            self._tell_secret(executor, name, executor.secrets[name], None)
            return
        environ = {**os.environ, **dict(executor.target.variables)}
        sources = sources_of(name, self._config.secrets, os.environ)
        if is_slow(sources):
            if self._desk is None:
                self._desk = Desk()
                self.also_hear(self._desk, self._secrets_found)
            self._desk.ask(executor, name, sources, environ)
            return
        try:
            self._tell_secret(executor, name, resolve(name, sources, environ), None)
        except NoSecret as error:
            self._tell_secret(executor, name, None, str(error))

    def _secrets_found(self) -> None:
        assert self._desk is not None
        for found in self._desk.answers():
            if found.executor in self._executors:
                self._tell_secret(*found)

    def _tell_secret(self, executor: Executor, name: str, value: str | None, problem: str | None) -> None:
        if value is not None:
            executor.secrets[name] = value
        self.send(executor, [Message("secret", {"name": name, "value": value, "problem": problem})])

    def _read_output(self, executor: Executor, stream: str) -> list[Event]:
        pipe = dict(_pipes(executor))[stream]
        if pipe.closed:
            return []
        try:
            data = os.read(pipe.fileno(), RECEIVE_BYTES)
        except BlockingIOError:
            return []
        if not data:
            self._selector.unregister(pipe)
            pipe.close()
            return []
        return [Output(executor, stream, data)]

    def _lost(self, executor: Executor) -> list[Event]:
        code: int | None = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = executor.process.wait(DEATH_WAIT_S)
        output = self._bury(executor)
        return [*output, Gone(executor, _describe(code))]

    def terminate(self, executor: Executor) -> None:
        """Ask the executor and everything it started to end: SIGTERM."""
        processes.signal_tree(executor.marker, executor.process.pid, signal.SIGTERM)

    def kill(self, executor: Executor, *, tree: bool = True) -> None:
        """Kill the executor and, with `tree`, everything it started. All of it is dead on return."""
        self._bury(executor, tree=tree)

    def _bury(self, executor: Executor, *, tree: bool = True) -> list[Event]:
        if executor not in self._executors:
            return []
        if tree:
            processes.kill_tree(executor.marker, executor.process.pid)
        else:
            executor.process.kill()
        executor.process.wait()
        output = [event for stream, _ in _pipes(executor) for event in self._read_output(executor, stream)]
        self._executors.remove(executor)
        self._selector.unregister(executor.channel)
        executor.channel.close()
        for _, pipe in _pipes(executor):
            if not pipe.closed:
                self._selector.unregister(pipe)
                pipe.close()
        return output

    def close(self) -> None:
        """Kill every executor."""
        for executor in list(self._executors):
            self._bury(executor)
        self._selector.close()


def _pipes(executor: Executor) -> list[tuple[str, IO[bytes]]]:
    assert executor.process.stdout is not None and executor.process.stderr is not None
    return [("stdout", executor.process.stdout), ("stderr", executor.process.stderr)]


def _describe(code: int | None) -> str:
    if code in (None, CHANNEL_CLOSED):
        return "closed flowctl's own channel, which no step may touch"
    if code >= 0:
        return f"exited with code {code} without a result"
    name = signal.Signals(-code).name if -code in signal.valid_signals() else str(-code)
    memory = " (out of memory?)" if -code == signal.SIGKILL else ""
    return f"was killed by {name}{memory}"
