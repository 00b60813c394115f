"""An executor does not outlive its engine: whatever user code does, engine gone means executor and offspring gone."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from threading import Thread
from typing import NoReturn

from flowctl.sdk import processes

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def watch(channel_fd: int) -> None:
    """Start the thread that waits for the other end of the channel to close; it takes nothing from anybody else."""
    Thread(target=_wait_for_end, args=(os.dup(channel_fd),), name="flowctl-lifeline", daemon=True).start()


def _wait_for_end(fd: int) -> None:
    os.register_at_fork(after_in_child=lambda: os.close(fd))
    poll = select.poll()
    poll.register(fd, getattr(select, "POLLRDHUP", 0))
    poll.poll()
    engine_is_gone()


def engine_is_gone() -> NoReturn:
    """Kill everything this executor started, and then its process group with itself: nobody would hear a result."""
    with contextlib.suppress(BaseException):  # it must die, whatever goes wrong before
        processes.kill_tree(os.environ.get(processes.EXECUTOR, ""), os.getpid())
    with contextlib.suppress(OSError):
        if os.getpgid(0) == os.getpid():
            os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
    os._exit(1)


def arrange(engine_pid: int) -> None:
    """Ask Linux to end this process after its engine, and to give it the grandchildren that lose their parent.

    The thread of `watch` is faster and takes the offspring along, but C code that never lets go of Python's lock
    would stop it. Against that, the engine's death makes the kernel send SIGHUP, whose number libc's alarm() takes as
    the seconds until SIGALRM: no Python runs in between.
    """
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    with contextlib.suppress(OSError, AttributeError):  # a libc without it: the thread alone has to do
        libc = ctypes.CDLL(None)
        libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
        libc.signal(int(signal.SIGHUP), ctypes.cast(libc.alarm, ctypes.c_void_p))
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGHUP), 0, 0, 0)
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if os.getppid() != engine_pid:
        engine_is_gone()
