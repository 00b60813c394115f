"""What user code may change about its process, put back between two runs of one executor."""

from __future__ import annotations

import _locale
import _signal  # type: ignore[import-not-found]  # signal itself wraps all it returns in enums
import contextlib
import os
import signal
import sys
import threading
import warnings
from operator import itemgetter
from types import ModuleType
from typing import Any, NamedTuple, Optional

from flowctl.sdk import processes

_JOIN_S = 0.02  # a thread that is about to end is not a thread left behind
_UNTOUCHABLE = {signal.SIGKILL, signal.SIGSTOP}
_HOOKS = ("stdin", "stdout", "stderr", "excepthook", "displayhook", "unraisablehook")
_PATCHED = (  # modules that people patch
    *("builtins", "sys", "os", "posixpath", "shutil", "tempfile", "glob", "getpass", "platform", "subprocess"),
    *("time", "random", "uuid", "secrets", "json", "logging", "threading"),
    *("socket", "ssl", "smtplib", "http.client", "urllib.request", "urllib.parse"),
)


class Functions(NamedTuple):
    """The public functions of a module of the standard library, as they were."""

    module: ModuleType
    names: tuple[str, ...]
    values: tuple[Any, ...]
    look: itemgetter[Any]  # takes them all from the module at once: a dozen times faster than one by one


class State(NamedTuple):
    """A process as it was before the first run."""

    directory: str
    umask: int
    environ: dict[str, str]
    raw_environ: dict[bytes, bytes]
    signals: dict[int, Any]
    signal_mask: set[int]
    locale: str
    hooks: dict[str, Any]
    path: list[str]
    argv: list[str]
    recursion_limit: int
    switch_interval: float
    filters: list[Any]
    functions: list[Functions]
    limits: dict[int, tuple[int, int]]
    niceness: int
    descriptors: dict[int, int]  # 0, 1 and 2, each with a duplicate of what it was
    threads: frozenset[int]
    children: frozenset[int]


def take() -> State:
    """Return the present state of this process. Call it from the main thread while no other user thread runs."""
    return State(
        directory=_directory(),
        umask=_umask(),
        environ=dict(os.environ),
        raw_environ=dict(_raw_environ()),
        signals={int(number): _signal.getsignal(number) for number in signal.valid_signals() - _UNTOUCHABLE},
        signal_mask=_mask(),
        locale=_locale.setlocale(_locale.LC_ALL, None),
        hooks={name: getattr(sys, name) for name in _HOOKS},
        path=list(sys.path),
        argv=list(sys.argv),
        recursion_limit=sys.getrecursionlimit(),
        switch_interval=sys.getswitchinterval(),
        filters=list(warnings.filters),
        functions=_functions(),
        limits=_limits(),
        niceness=os.getpriority(os.PRIO_PROCESS, 0),
        descriptors={fd: _duplicate(fd) for fd in (0, 1, 2)},
        threads=frozenset(thread.ident or 0 for thread in threading.enumerate()),
        children=frozenset(_children()),
    )


def restore(state: State) -> list[str]:
    """Put everything back; return what could not be, or not for sure, as texts for a person: threads, patches, …"""
    left = _restore_functions(state)
    _restore_python(state)
    _restore_signals(state)
    left += [*_left_threads(state), *_left_children(state)]
    left += _restore_descriptors(state)
    left += _restore_process(state)
    left += _restore_limits(state)
    return left


def _directory() -> str:
    try:
        return os.getcwd()
    except OSError:  # somebody removed it
        return ""


def _raw_environ() -> dict[bytes, bytes]:
    """Return what os.environ holds, without the decoding of every name and value."""
    return os.environ._data  # type: ignore[attr-defined, no-any-return]


def _umask() -> int:
    mask = os.umask(0o077)  # it can only be read by setting it
    os.umask(mask)
    return mask


def _mask() -> set[int]:
    return set(_signal.pthread_sigmask(_signal.SIG_BLOCK, []))  # signal's own makes a member of an enum of each


def _duplicate(fd: int) -> int:
    import fcntl

    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100)  # out of the way of what user code opens
    except OSError:
        return -1


def _functions() -> list[Functions]:
    return [_functions_of(sys.modules[name]) for name in _PATCHED if name in sys.modules]


def _functions_of(module: ModuleType) -> Functions:
    public = {name: value for name, value in vars(module).items() if callable(value) and not name.startswith("_")}
    names = tuple(name for name in public if name not in _HOOKS)
    return Functions(module, names, tuple(public[name] for name in names), itemgetter(*names))


def _restore_functions(state: State) -> list[str]:
    """Put patched functions back. Who patches one patches others, which nobody knows of: that is reported as well."""
    return [text for functions in state.functions for text in _restore_patched(functions)]


def _restore_patched(functions: Functions) -> list[str]:
    present = functions.module.__dict__
    with contextlib.suppress(KeyError):
        if functions.look(present) == functions.values:
            return []
    kept = zip(functions.names, functions.values)
    patched = [(name, value) for name, value in kept if present.get(name) is not value]
    for name, value in patched:
        setattr(functions.module, name, value)
    return [f"another {functions.module.__name__}.{name}" for name, _ in patched]


def _limits() -> dict[int, tuple[int, int]]:
    import resource

    numbers = {getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}
    return {number: resource.getrlimit(number) for number in numbers}


def _restore_limits(state: State) -> list[str]:
    import resource

    try:
        for number, limits in state.limits.items():
            if resource.getrlimit(number) != limits:
                resource.setrlimit(number, limits)
        if os.getpriority(os.PRIO_PROCESS, 0) != state.niceness:
            os.setpriority(os.PRIO_PROCESS, 0, state.niceness)
    except (OSError, ValueError):  # what was lowered for good
        return ["other resource limits"]
    return []


def _restore_python(state: State) -> None:
    if warnings.filters != state.filters:
        warnings.filters[:] = state.filters  # type: ignore[index]  # a list; typeshed says Sequence
        getattr(warnings, "_filters_mutated", lambda: None)()
    for name, value in state.hooks.items():
        setattr(sys, name, value)
    sys.path[:] = state.path
    sys.argv[:] = state.argv
    sys.setrecursionlimit(state.recursion_limit)
    sys.setswitchinterval(state.switch_interval)
    with contextlib.suppress(KeyError):
        sys.modules["random"].seed()  # a seed that one run set must not make the next one predictable
    with contextlib.suppress(KeyError):
        sys.modules["socket"].setdefaulttimeout(None)


def _restore_signals(state: State) -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in state.signals.items():
        if handler is not None and _signal.getsignal(number) is not handler:
            _signal.signal(number, handler)
    if _mask() != state.signal_mask:
        signal.pthread_sigmask(signal.SIG_SETMASK, state.signal_mask)


def _restore_descriptors(state: State) -> list[str]:
    for fd, saved in state.descriptors.items():
        if saved >= 0 and _identity(fd) != _identity(saved):
            if _identity(saved) is None:
                return ["closed file descriptors"]
            os.dup2(saved, fd)
    return []


def _identity(fd: int) -> Optional[tuple[int, int]]:
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _restore_process(state: State) -> list[str]:
    if _raw_environ() != state.raw_environ:
        os.environ.clear()
        os.environ.update(state.environ)
    os.umask(state.umask)
    if _locale.setlocale(_locale.LC_ALL, None) != state.locale:
        _locale.setlocale(_locale.LC_ALL, state.locale)
    if state.directory and _directory() != state.directory:
        try:
            os.chdir(state.directory)
        except OSError:
            return [f"a working directory that is gone: {state.directory}"]
    return []


def _left_threads(state: State) -> list[str]:
    left = [thread for thread in threading.enumerate() if thread.ident not in state.threads]
    for thread in left:
        if thread is not threading.current_thread():
            thread.join(_JOIN_S)
    count = sum(thread.is_alive() for thread in left)
    return [_count(count, "thread", "threads")] if count else []


def _left_children(state: State) -> list[str]:
    if not _reap():
        return []
    count = len(set(_children()) - state.children)
    return [_count(count, "child process", "child processes")] if count else []


def _reap() -> bool:
    """Take leave of ended children, adopted ones included: zombies would pile up. Tell whether any child is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _children() -> list[int]:
    try:
        return [int(pid) for task in os.listdir("/proc/self/task") for pid in _children_of_task(task)]
    except OSError:  # no /proc, or a kernel that does not list children
        return processes.children(os.getpid())


def _children_of_task(task: str) -> list[str]:
    with open(f"/proc/self/task/{task}/children", encoding="ascii") as file:
        return file.read().split()


def _count(number: int, one: str, many: str) -> str:
    return f"1 {one}" if number == 1 else f"{number} {many}"
