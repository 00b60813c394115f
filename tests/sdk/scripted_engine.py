"""An engine that is a script: it drives a real executor process over a real channel, and decides nothing by itself."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flowctl.sdk import processes
from flowctl.sdk.codec import canonical_hash
from flowctl.sdk.wire import WIRE_VERSION, FrameReader, Message, encode_frame

ROOT = os.environ.get("FLOWCTL_TEST_SDK") or str(Path(__file__).resolve().parents[2])
PYTHON = os.environ.get("FLOWCTL_TEST_PYTHON") or sys.executable  # to try another version of Python
TOKEN = "tokentoken"
PATIENCE_S = 30.0  # for what is to happen: a loaded machine takes its time. What must not happen lasts longer
BOOT = "import sys; sys.path[0] = sys.argv.pop(1); from flowctl.sdk.executor import main; main()"


class ExecutorDied(Exception):
    """The executor closed its channel."""


class ScriptedEngine:
    """One executor process and what it said."""

    def __init__(self, directory: Path, *, python: str = PYTHON, environ: dict[str, str] | None = None) -> None:
        self.directory = directory
        self.mark = f"test{os.getpid()}.{id(self)}"
        self.messages: list[Message] = []  # everything it said
        self.frames: list[list[Message]] = []
        self.answers: list[tuple[str, Message]] = []  # steps and what was answered
        self.past: list[Message] = []
        self.replay = "pinned"
        self.serial = False
        self.prelude = ""  # of every workflow file
        self.secrets: dict[str, str] = {}
        self._queue: list[Message] = []
        self._unread = b""
        ours, theirs = socket.socketpair()
        environ = {**os.environ, **(environ or {})}
        environ |= {"FLOWCTL_CHANNEL": f"{theirs.fileno()}:{TOKEN}", "FLOWCTL_EXECUTOR": self.mark}
        self.process = subprocess.Popen(
            [python, "-c", BOOT, ROOT],
            cwd=directory,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()
        self.channel = ours
        ours.settimeout(PATIENCE_S)
        self._reader = FrameReader(TOKEN)
        self.send(Message("welcome", {"wire": WIRE_VERSION, "payload_limit": 1 << 20}))

    # -- talking -------------------------------------------------------------------------------------------------------

    def send(self, *messages: Message) -> None:
        self.channel.sendall(encode_frame(TOKEN, messages))

    def receive(self) -> Message:
        """Return the next message; `log` and `secret` are kept and answered on the way."""
        while True:
            while not self._queue:
                data = self.channel.recv(1 << 16)
                if not data:
                    raise ExecutorDied
                self._take(data)
            message = self._queue.pop(0)
            self.messages.append(message)
            if message.kind == "secret":
                name = message.fields["name"]
                self.send(Message("secret", {"name": name, "value": self.secrets.get(name)}))
            elif message.kind == "mask":
                self.send(Message("masked", {}))
            elif message.kind != "log":
                return message

    def _take(self, data: bytes) -> None:
        """Read frame by frame, to know what came in one."""
        self._unread += data
        while len(self._unread) >= 4:
            end = 4 + int.from_bytes(self._unread[:4], "big")
            if len(self._unread) < end and end < 1 << 28:
                return
            frame = self._reader.feed(self._unread[:end])
            self._unread = self._unread[end:]
            self.frames.append(frame)
            self._queue += frame

    def until(self, *kinds: str) -> Message:
        while True:
            message = self.receive()
            if message.kind in kinds:
                return message

    def nothing_comes(self, seconds: float = 0.1) -> bool:
        """Tell whether the executor stays silent for so long."""
        if self._queue:
            return False
        self.channel.settimeout(seconds)
        try:
            self._queue.append(self.receive())
        except TimeoutError:
            return True
        finally:
            self.channel.settimeout(PATIENCE_S)
        return False

    # -- the usual conversation ----------------------------------------------------------------------------------------

    def write(self, source: str, name: str = "wf.py") -> Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.prelude + textwrap.dedent(source))
        return path

    def load(self, source: str, name: str = "wf.py") -> Message:
        """Write a workflow file, have it imported, and return `loaded` or `load_failed`."""
        path = self.write(source, name)
        self.send(Message("load", {"path": str(path), "pinned": False}))
        return self.until("loaded", "load_failed")

    def run_message(self, function: str = "main", input: Any = None, run: int = 1) -> Message:
        fields = {
            "run": run,
            "attempt": 1,
            "function": function,
            "file_id": "f00d",
            "replay": self.replay,
            "serial": self.serial,
            "workflow": function,
            "namespace": "default",
            "tags": {},
            "started_at": 1_700_000_000_000,
        }
        return Message("run", fields, json.dumps(input or {}))

    def start(self, function: str = "main", input: Any = None, run: int = 1) -> None:
        self.send(*self.past, self.run_message(function, input, run))

    def run(self, source: str = "", function: str = "main", input: Any = None, run: int = 1) -> Message:
        """Load (unless there is no source) and run to the end, answering every step with `go`; return `ended`."""
        if source:
            assert self.load(source).kind == "loaded"
        self.start(function, input, run)
        return self.serve()

    def serve(self) -> Message:
        """Answer steps with `go`, sleeps and children with success, failures with an outcome; return `ended`."""
        while True:
            message = self.receive()
            if message.kind == "ended":
                return message
            self.answer(message)

    def answer(self, message: Message) -> None:
        fields = message.fields
        if message.kind == "step" and fields["kind"] in ("step", "shell") and not fields.get("options", {}).get("pure"):
            self.send(Message("go", {"key": fields["key"], "attempt": 1}))
        elif message.kind == "step" and fields["kind"] in ("sleep", "child"):
            self.send(Message("outcome", {"key": fields["key"], "state": "succeeded"}, "null"))
        elif message.kind == "done" and fields["state"] == "failed":
            self.send(Message("outcome", {"key": fields["key"], "state": "failed"}, message.payload))

    # -- what was said -------------------------------------------------------------------------------------------------

    def of_kind(self, kind: str) -> list[Message]:
        return [message for message in self.messages if message.kind == kind]

    def keys(self) -> list[str]:
        return [message.fields["key"] for message in self.of_kind("step")]

    def text(self, stream: str = "stdout", step: str | None = "*") -> str:
        """Return the captured text of a stream."""
        return "".join(
            message.payload or ""
            for message in self.of_kind("log")
            if message.fields["stream"] == stream and step in ("*", message.fields["step"])
        )

    def raw_output(self) -> bytes:
        """Return what came out of file descriptor 1 so far."""
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        with contextlib.suppress(BlockingIOError):
            return os.read(self.process.stdout.fileno(), 1 << 16)
        return b""

    def record(self) -> list[Message]:
        """Return what was said so far as `past` messages, as a store would keep it."""
        outcomes = {
            message.fields["key"]: (message.fields["state"], message.payload) for message in self.of_kind("done")
        }
        past = []
        for message in self.of_kind("step"):
            fields = message.fields
            state, payload = outcomes.get(fields["key"], ("running", None))
            if fields["kind"] in ("sleep", "child"):
                state, payload = "succeeded", "null"
            known = {name: fields[name] for name in ("seq", "key", "kind", "input_hash")}
            past.append(Message("past", {**known, "state": state, "source_hash": fields.get("source")}, payload))
        return past

    # -- ending --------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        processes.kill_tree(self.mark, self.process.pid)
        self.channel.close()
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()

    def died(self) -> int:
        """Return the exit code of the executor, which has to die by itself."""
        return self.process.wait(PATIENCE_S)

    def __enter__(self) -> ScriptedEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    """Fail when the block waits for something that it should not wait for, which lasts longer than our patience."""
    started = time.monotonic()
    yield
    took = time.monotonic() - started
    assert took < PATIENCE_S, f"took {took:.2f} s"


def input_hash(plain: Any) -> str:
    return canonical_hash(json.dumps(plain)).hex()


def alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def waiting(engine: ScriptedEngine, source: str) -> None:
    """Load, start, and go on until the run waits in its first sleep or child."""
    assert engine.load(source).kind == "loaded"
    engine.start()
    while True:
        message = engine.receive()
        if message.kind == "step" and message.fields["kind"] in ("sleep", "child"):
            return
        engine.answer(message)


def start(engine: ScriptedEngine, source: str) -> None:
    engine.load(source)
    engine.start()


# Nobody but the workflow's own thread sends: the flusher would send a frame in two parts where that thread has to wait
# for a processor.
UNFLUSHED = "import flowctl.sdk.channel\nflowctl.sdk.channel.TICK_S = 600\n"

TWO_STEPS = """
    from flowctl import step, workflow

    @step
    def double(n: int) -> int:
        return 2 * n

    @step(name="sum up", retries=2, backoff="5s")
    def add(numbers: list[int]) -> int:
        return sum(numbers)

    @workflow
    def main(n: int = 4) -> int:
        '''Add twice.'''
        return add([double(n), double(n + 1)])
"""

SLEEPER = """
    from flowctl import sleep, step, workflow

    @step
    def one() -> int:
        return 1

    @workflow
    def main() -> int:
        first = one()
        sleep("2d")
        return first + one()
"""
