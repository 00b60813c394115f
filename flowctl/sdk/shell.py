"""Running one shell command: in its own session, with a time limit that ends its whole process tree."""

from __future__ import annotations

import codecs
import contextlib
import os
import selectors
import time
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional, Union

from flowctl.sdk import processes
from flowctl.sdk.attempt import GIVE_UP_CODE as GIVE_UP_CODE
from flowctl.sdk.capture import HeadTail
from flowctl.sdk.errors import Interruption

if TYPE_CHECKING:
    from subprocess import Popen

HOLD_S = 0.3  # how long a child in the background may keep the pipes after the command itself has ended
GRACE_S = 3.0  # for a command that was asked to end, before it is killed: less than the engine waits for us
POLL_S = 0.02
_READ = 1 << 16


class Command(NamedTuple):
    """What to run."""

    args: Union[str, tuple[str, ...]]
    input: Union[str, bytes, None] = None
    cwd: Optional[str] = None
    env: Optional[dict[str, str]] = None  # on top of the executor's environment
    timeout_ms: Optional[int] = None
    mark: str = ""  # finds the command's processes again


class ShellResult(NamedTuple):
    """What a command left: exit code and output, of which at most 1 MB each is kept, beginning and end."""

    exit_code: int
    stdout: str
    stderr: str


class ShellFailed(Exception):
    """A command ended with another exit code than 0, or could not be started."""

    def __init__(self, message: str, result: ShellResult) -> None:
        super().__init__(message)
        self.exit_code = result.exit_code
        self.stdout = result.stdout
        self.stderr = result.stderr


class StepTimedOut(Exception):
    """A command took longer than its timeout and was killed."""


class _Output:
    """One stream of the command on its way to the log and into the result."""

    def __init__(self, stream: str, show: Callable[[str, str], Any]) -> None:
        self._stream = stream
        self._show = show
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._kept = HeadTail()
        self._head: list[str] = []

    def feed(self, data: bytes, *, final: bool = False) -> None:
        text = self._decoder.decode(data, final)
        if text:
            self._show(self._stream, text)
            self._head.append(self._kept.feed(text))

    def text(self) -> str:
        self.feed(b"", final=True)
        return "".join(self._head) + self._kept.rest()


def run(command: Command, show: Callable[[str, str], Any]) -> ShellResult:
    """Run a command to its end and return its result, whatever its exit code.

    `show` is called with `stdout` or `stderr` and text as it comes. Raises StepTimedOut, and ShellFailed when the
    command cannot be started.
    """
    process = _start(command)
    outputs = {"stdout": _Output("stdout", show), "stderr": _Output("stderr", show)}
    try:
        with selectors.DefaultSelector() as selector:
            _converse(_Conversation(command, process, outputs, selector))
    except Interruption:
        _let_end(process)
        raise
    finally:
        _end(command, process)
    return ShellResult(process.wait(), outputs["stdout"].text(), outputs["stderr"].text())


def failure(command: Command, result: ShellResult) -> ShellFailed:
    """Return the error for a result that counts as a failure: its code and the last lines it printed."""
    lines = (result.stderr.strip() or result.stdout.strip()).splitlines()[-5:]
    code = result.exit_code
    ended = f"ended with exit code {code}" if code >= 0 else f"was killed by signal {-code}"
    said = ": " + "\n".join(line[:500] for line in lines) if lines else ""
    return ShellFailed(f"{short(command.args)} {ended}{said}", result)


def short(args: Union[str, tuple[str, ...]]) -> str:
    """Return a command as short text for a person."""
    import shlex

    text = args if isinstance(args, str) else shlex.join(args)
    text = " ".join(text.split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _start(command: Command) -> Popen[bytes]:
    import subprocess

    argv = ["/bin/sh", "-c", command.args] if isinstance(command.args, str) else list(command.args)
    environ = {**os.environ, **(command.env or {}), processes.COMMAND: command.mark}
    stdin = subprocess.DEVNULL if command.input is None else subprocess.PIPE
    try:
        return subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=command.cwd,
            env=environ,
            start_new_session=True,
            bufsize=0,
        )
    except OSError as error:
        where = f" in {command.cwd}" if command.cwd is not None else ""
        reason = error.strerror or str(error)
        raise ShellFailed(f"cannot start {argv[0]}{where}: {reason}", ShellResult(127, "", "")) from None


class _Conversation:
    """A started command and what is still to be read, written and waited for."""

    def __init__(
        self, command: Command, process: Popen[bytes], outputs: dict[str, _Output], selector: selectors.BaseSelector
    ) -> None:
        self.command = command
        self.process = process
        self.selector = selector
        data = command.input
        self.unwritten = memoryview(data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data or b"")
        self.reading = 0
        for stream, pipe in (("stdout", process.stdout), ("stderr", process.stderr)):
            assert pipe is not None
            selector.register(pipe, selectors.EVENT_READ, outputs[stream])
            self.reading += 1
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE, None)


def _converse(talk: _Conversation) -> None:
    """Feed and read the command until it has ended and its output has too, or nobody waits for it any longer."""
    limit = talk.command.timeout_ms
    deadline = None if limit is None else time.monotonic() + limit / 1000
    exit_fd = _watch_exit(talk)
    try:
        while talk.reading:
            _turn(talk, _wait_s(deadline, POLL_S if exit_fd is None else None))
            if _has_ended(talk.process):
                return _drain(talk)
            _check(deadline, talk)
        while not _has_ended(talk.process):  # it closed its output, and goes on
            _turn(talk, _wait_s(deadline, POLL_S))
            _check(deadline, talk)
    finally:
        if exit_fd is not None:
            os.close(exit_fd)
    return None


def _watch_exit(talk: _Conversation) -> Optional[int]:
    try:
        fd = os.pidfd_open(talk.process.pid)
    except (AttributeError, OSError):  # Python 3.8, macOS, an old kernel: it is polled instead
        return None
    talk.selector.register(fd, selectors.EVENT_READ, talk)
    return fd


def _wait_s(deadline: Optional[float], longest: Optional[float]) -> Optional[float]:
    if deadline is None:
        return longest
    left = max(0.0, deadline - time.monotonic())
    return left if longest is None else min(left, longest)


def _check(deadline: Optional[float], talk: _Conversation) -> None:
    if deadline is not None and time.monotonic() >= deadline and not _has_ended(talk.process):
        milliseconds = talk.command.timeout_ms or 0
        raise StepTimedOut(f"{short(talk.command.args)} took longer than {milliseconds / 1000:g} s and was killed")


def _turn(talk: _Conversation, timeout: Optional[float]) -> None:
    for key, _ in talk.selector.select(timeout):
        if key.data is None:
            _write(talk, key.fileobj)
        elif isinstance(key.data, _Output):
            data = os.read(key.fd, _READ)
            if data:
                key.data.feed(data)
            else:
                talk.selector.unregister(key.fileobj)
                talk.reading -= 1
        else:  # the end of the command stays readable: one look is enough
            talk.selector.unregister(key.fileobj)


def _write(talk: _Conversation, pipe: Any) -> None:
    try:
        written = os.write(pipe.fileno(), talk.unwritten[: 1 << 16])
    except BlockingIOError:
        return
    except OSError:  # it does not want the rest
        written = len(talk.unwritten)
    talk.unwritten = talk.unwritten[written:]
    if not talk.unwritten:
        talk.selector.unregister(pipe)
        pipe.close()


def _drain(talk: _Conversation) -> None:
    """Read what is left after the command's end; a child in the background may still hold the pipes."""
    deadline = time.monotonic() + HOLD_S
    while talk.reading:
        left = deadline - time.monotonic()
        if left <= 0:
            processes.kill_command(talk.command.mark, talk.process.pid)
            return
        _turn(talk, min(left, POLL_S))


def _has_ended(process: Popen[bytes]) -> bool:
    """Tell whether the command has ended, without reaping it: until then nobody else can get its pid and session."""
    if process.returncode is not None:
        return True
    if not hasattr(os, "waitid"):
        return process.poll() is not None
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _let_end(process: Popen[bytes]) -> None:
    """Give a command that was cancelled with us the time to clean up."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    deadline = time.monotonic() + GRACE_S
    while not _has_ended(process) and time.monotonic() < deadline:
        time.sleep(POLL_S)


def _end(command: Command, process: Popen[bytes]) -> None:
    if not _has_ended(process):
        processes.kill_command(command.mark, process.pid)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    process.wait()
