"""Finding and ending a process tree, however its members tried to leave it.

A member is recognised by any of three signs: the mark in the environment it was started with (which survives setsid
and double forks), a parent that is a member, or the session of the root. Linux reads /proc; elsewhere `ps` is asked.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from typing import Callable, Iterable, NamedTuple, Optional

EXECUTOR = "FLOWCTL_EXECUTOR"
COMMAND = "FLOWCTL_COMMAND"
KILL_WAIT_S = 2.0
BEGIN_WAIT_S = 0.2  # for a process that is about to begin another program
_PAUSE_S = 0.002
_KERNEL = 2  # the first thread of the kernel, and the parent of the others
_HAS_PROC = sys.platform.startswith("linux")


class Process(NamedTuple):
    """One process of this machine."""

    pid: int
    ppid: int
    session: int
    zombie: bool
    started: int  # in ticks since the machine started; 0 where nobody tells
    environ: Optional[bytes] = None  # NUL-separated; None: to be read when it is needed


def find_tree(mark: str, root: Optional[int] = None) -> list[int]:
    """Return the living processes of an executor's tree, the caller excepted; `root` is the executor's own pid.

    `mark` is the value of FLOWCTL_EXECUTOR. Without a root only the mark counts, which is safe long after the root's
    pid may have been given to somebody else.
    """
    return _members(_sign(EXECUTOR, mark), root)


def signal_tree(mark: str, root: Optional[int], number: int) -> None:
    """Send a signal to every process of an executor's tree."""
    _send(find_tree(mark, root), number)


def kill_tree(mark: str, root: Optional[int] = None) -> list[int]:
    """Kill an executor's tree and return the pids that are still there after two seconds (uninterruptible ones)."""
    return _kill(_sign(EXECUTOR, mark), root)


def kill_command(mark: str, root: Optional[int] = None) -> list[int]:
    """Kill the tree of a shell command; `mark` is the value of FLOWCTL_COMMAND."""
    return _kill(_sign(COMMAND, mark), root)


def kill_engine(token: str) -> list[int]:
    """Kill every executor, and all its offspring, of the engine with that token."""
    return _kill(f"\0{EXECUTOR}={token}.".encode(), None)


def children(pid: int) -> list[int]:
    """Return the living direct children of a process."""
    return [process.pid for process in _list() if process.ppid == pid and not process.zombie]


def _sign(variable: str, mark: str) -> bytes:
    return f"\0{variable}={mark}\0".encode()


def _members(sign: bytes, root: Optional[int]) -> list[int]:
    everything = _list()
    processes = [process for process in everything if not process.zombie]
    # Who is older than the root cannot bear its mark: that spares reading most environments.
    since = next((process.started for process in everything if process.pid == root), 0)
    found = {process.pid for process in processes if process.started >= since and sign in _environ(process)}
    if root is not None:
        found |= {process.pid for process in processes if process.session == root or process.pid == root}
        found |= _descendants(processes, found | {root})
    found -= {os.getpid(), 0, 1}
    return sorted(found)


def _descendants(processes: Iterable[Process], roots: set[int]) -> set[int]:
    offspring: dict[int, list[int]] = {}
    for process in processes:
        offspring.setdefault(process.ppid, []).append(process.pid)
    found: set[int] = set()
    front = [pid for pid in roots if pid != os.getpid()]
    while front:
        front = [pid for parent in front for pid in offspring.get(parent, ()) if pid not in found]
        found.update(front)
    return found


def _kill(sign: bytes, root: Optional[int]) -> list[int]:
    # The others go first: while the root lives, those that lost their parent are found as its children. It is not
    # stopped for that: if whoever kills died in between, a stopped root would stay for ever.
    if root is not None and root != os.getpid():
        _send([pid for pid in _members(sign, root) if pid != root], signal.SIGKILL)
        _send([root], signal.SIGKILL)
    return _kill_until_none(lambda: _members(sign, root))


def _kill_until_none(find: Callable[[], list[int]]) -> list[int]:
    deadline = time.monotonic() + KILL_WAIT_S
    empty = 0
    while True:
        left = find()
        # One scan can miss a child whose parent ended during it; two in a row cannot miss the same one.
        empty = 0 if left else empty + 1
        if empty == 2 or (left and time.monotonic() > deadline):
            return left
        if left:
            _send(left, signal.SIGKILL)
            time.sleep(_PAUSE_S)


def _send(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _list() -> list[Process]:
    return _from_proc() if _HAS_PROC else _from_ps()


def _from_proc() -> list[Process]:
    found = [_read_proc(name) for name in os.listdir("/proc") if name.isdigit()]
    return [process for process in found if process is not None]


def _read_proc(name: str) -> Optional[Process]:
    fields = _stat(name)
    if len(fields) < 20:
        return None
    return Process(int(name), int(fields[1]), int(fields[3]), fields[0] in (b"Z", b"X"), int(fields[19]))


def _stat(name: str) -> list[bytes]:
    """Return what the kernel says of a process, from its state on: proc(5) counts that as the third field."""
    stat = _read(f"/proc/{name}/stat") or b""
    return stat[stat.rfind(b")") + 2 :].split()  # its name is in brackets, and may hold blanks and brackets itself


def _environ(process: Process) -> bytes:
    """Return the environment that a process was started with, NUL around each variable; empty if it may not be read."""
    environ = process.environ if process.environ is not None else _read_environ(process)
    return b"\0" + environ + b"\0"


def _read_environ(process: Process) -> bytes:
    """Read an environment. There is none for a moment while a process begins another program: that is waited for."""
    deadline = time.monotonic() + BEGIN_WAIT_S
    looks = 3  # it may have begun that program, and the next one, between two looks
    while looks and time.monotonic() < deadline:
        environ = _read(f"/proc/{process.pid}/environ")
        if environ is None:  # somebody else's: what the kernel says of it looks like the beginning of a program
            return b""
        if environ:
            return environ
        if _begins(process):
            time.sleep(_PAUSE_S)
        else:
            looks -= 1
    return b""


def _begins(process: Process) -> bool:
    """Tell whether a process has no environment yet. Threads of the kernel never have one, and init need not."""
    if process.pid == 1 or _KERNEL in (process.pid, process.ppid):
        return False
    fields = _stat(str(process.pid))
    return len(fields) >= 49 and fields[0] not in (b"Z", b"X") and fields[48] == b"0"


def _read(path: str) -> Optional[bytes]:
    """Return what a file of /proc says; None where it is gone, or somebody else's."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    chunks: list[bytes] = []
    try:
        while True:
            chunk = os.read(fd, 1 << 16)
            if not chunk:
                return b"".join(chunks)
            chunks.append(chunk)
    except OSError:
        return None
    finally:
        os.close(fd)


PS_COMMAND = ("ps", "-axwwE", "-o", "pid=,ppid=,sess=,stat=,command=")  # BSD: -E appends the environment


def _from_ps(command: tuple[str, ...] = PS_COMMAND) -> list[Process]:
    import subprocess

    listing = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).stdout
    processes = []
    for line in listing.splitlines():
        fields = line.split(None, 4)
        if len(fields) >= 4 and fields[0].isdigit() and fields[1].isdigit():
            session = int(fields[2]) if fields[2].isdigit() else 0
            words = fields[4].replace(b" ", b"\0") if len(fields) == 5 else b""
            processes.append(Process(int(fields[0]), int(fields[1]), session, fields[3][:1] == b"Z", 0, words))
    return processes
