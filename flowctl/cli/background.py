"""The daemon as a process: signals, its log, and what it tells whoever started it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flowctl.cli import callers
from flowctl.cli.invocation import Invocation
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.config import Config, load_config
from flowctl.core.errors import FlowctlError
from flowctl.core.model import FINAL_STATES

if TYPE_CHECKING:
    from flowctl.engine.daemon import Duty
    from flowctl.engine.daemon_lock import DaemonFacts
    from flowctl.engine.observer import Change
    from flowctl.engine.service import Notifier
    from flowctl.engine.supervisor import Supervisor
    from flowctl.store import Store


STOP_NOW_S = 5.0  # for what the daemon does after its grace
EXIT_S = 1.0  # for the end of a process that has let go of its lock


@dataclass(frozen=True, slots=True)
class Work:
    """What a daemon process is to do."""

    schedules: bool  # and the other duties; without them it only works on runs, beside the daemon
    queues: tuple[str, ...]
    labels: tuple[str, ...]
    concurrency: int

    @property
    def words(self) -> list[str]:
        """Return the options of `daemon run` that mean the same."""
        words = [word for name in self.queues for word in ("--queue", name)]
        words += [word for name in self.labels for word in ("--label", name)]
        return [*words, "--concurrency", str(self.concurrency)]


def serve(invocation: Invocation, work: Work, ready_fd: int | None, log: Path | None) -> int:
    """Be the daemon until a signal ends it. SIGTERM and SIGINT drain, a second one stops at once; SIGHUP reloads.

    Raises Busy when there is a daemon already, and Moved when the database is moved or deleted meanwhile.
    """
    try:
        return _serve(invocation, work, partial(_report, ready_fd), log)
    except FlowctlError as error:
        _report(ready_fd, {"message": error.message, "hint": error.hint, "exit_code": error.exit_code})
        raise


def _serve(invocation: Invocation, work: Work, report: Callable[[dict[str, object]], None], log: Path | None) -> int:
    from flowctl.engine.claiming import Role
    from flowctl.engine.daemon import GRACE_S, POLL_S, Daemon
    from flowctl.engine.engine import Engine
    from flowctl.engine.journal import Journal
    from flowctl.engine.service import Notifier
    from flowctl.engine.supervisor import Supervisor
    from flowctl.engine.surroundings import doubts

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # whoever sees the lock may send it: it is heeded later
    config = load_config(os.environ)
    journal, notifier = Journal(SYSTEM_CLOCK, log), Notifier(os.environ, SYSTEM_CLOCK)
    role = Role("daemon", work.labels, work.queues or None, work.concurrency, POLL_S, GRACE_S)
    with (
        invocation.writing(create=True) as store,
        _only_one(store, work),
        _duties(store, work, config, journal.say) as duties,
    ):
        supervisor = Supervisor(config, callers.umask)
        engine = Engine(store, supervisor, observer=partial(_note, journal.say), role=role)
        with engine, Daemon(engine, duties, journal.say) as daemon:
            reload = partial(_reload, supervisor, notifier, journal.say)
            subject = "daemon" if work.schedules else "engine"
            with _signals(daemon.stop, reload, daemon.wake) as heed, _noted(store, subject):
                daemon.between = partial(_between, heed, notifier.alive)
                journal.say(f"started: {_described(work)} of {store.path}")
                for text in doubts(store.path):
                    journal.say(f"warning: {store.path} {text}")
                report({})
                notifier.tell("READY=1", f"MAINPID={os.getpid()}")
                daemon.serve()
                notifier.tell("STOPPING=1")
    journal.say("stopped")
    return 0


@contextmanager
def _noted(store: Store, subject: str) -> Iterator[None]:
    """Note in the audit log that this process begins, by whose command, and that it ends; between, it is the actor."""
    with store.transaction():
        store.events.note(subject, f"started (pid {os.getpid()})", SYSTEM_CLOCK.now())
    store.connection.actor = f"{subject} (pid {os.getpid()})"
    yield
    with suppress(FlowctlError), store.transaction():  # that it is gone is seen by its lock too
        store.events.note(subject, f"stopped (pid {os.getpid()})", SYSTEM_CLOCK.now())


@contextmanager
def _duties(store: Store, work: Work, config: Config, say: Callable[[str], None]) -> Iterator[list[Duty]]:
    """Give the daemon what it does beside runs, and end what that has begun."""
    if not work.schedules:
        yield []
        return
    from flowctl.engine.conditions import Gate
    from flowctl.engine.indexing import Indexing
    from flowctl.engine.notifier import Notifier
    from flowctl.engine.retention import Retention
    from flowctl.engine.scheduler import Scheduler
    from flowctl.engine.watching import Reloader

    notifier, reloader, gate = Notifier(store), Reloader(store, say), Gate(store)
    try:
        index = [Indexing(store)] if config.search else []
        yield [Scheduler(store, SYSTEM_CLOCK), notifier, Retention(store, SYSTEM_CLOCK), reloader, gate, *index]
    finally:
        notifier.close()
        reloader.close()
        gate.close()


@contextmanager
def _only_one(store: Store, work: Work) -> Iterator[None]:
    """Hold the daemon's lock, unless this process only works beside the daemon."""
    from flowctl.engine.daemon_lock import DaemonLock

    if not work.schedules:
        yield
        return
    with DaemonLock(store.path, SYSTEM_CLOCK.now(), work.words):
        yield


def _described(work: Work) -> str:
    parts = ["daemon" if work.schedules else "engine without schedules", f"pid {os.getpid()}"]
    parts += [f"queues {', '.join(work.queues)}"] if work.queues else []
    parts += [f"labels {', '.join(work.labels)}"] if work.labels else []
    return ", ".join(parts)


def _note(say: Callable[[str], None], change: Change) -> None:
    from flowctl.engine.observer import RunChanged

    if isinstance(change, RunChanged) and (change.state in FINAL_STATES or change.state in ("blocked", "fenced")):
        why = f": {change.reason}" if change.reason else ""
        say(f"run {change.run_id} {change.workflow} {change.state}{why}")


def _between(*actions: Callable[[], None]) -> None:
    for action in actions:
        action()


def _reload(supervisor: Supervisor, notifier: Notifier, say: Callable[[str], None]) -> None:
    notifier.reloading()
    try:
        supervisor.configure(load_config(os.environ))
    except FlowctlError as error:
        say(f"the configuration stays as it was: {error.message}")
    else:
        say("configuration read again")
    notifier.tell("READY=1")


@contextmanager
def _signals(
    stop: Callable[[], None], reload: Callable[[], None], wake: Callable[[], None]
) -> Iterator[Callable[[], None]]:
    """Have signals wake the loop; yield what it has to call between its turns to heed them."""
    asked: list[int] = []

    def on_stop(_number: int, _frame: object) -> None:
        stop()

    def on_hup(number: int, _frame: object) -> None:
        asked.append(number)
        wake()

    def heed() -> None:
        if asked:
            asked.clear()
            reload()

    handlers = {signal.SIGTERM: on_stop, signal.SIGINT: on_stop, signal.SIGHUP: on_hup}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    try:
        yield heed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _report(ready_fd: int | None, facts: dict[str, object]) -> None:
    """Tell the process that has started this one that it is ready, or why not."""
    if ready_fd is not None:
        with suppress(OSError):
            os.write(ready_fd, json.dumps(facts).encode() + b"\n")
            os.close(ready_fd)


def start(invocation: Invocation, words: Sequence[str]) -> int:
    """Start the daemon as a process of its own and return its number once it is ready.

    Raises the error that it ended with.
    """
    from flowctl.engine.daemon_lock import already_running, running_daemon
    from flowctl.engine.journal import journal_path

    facts = running_daemon(invocation.db)
    if facts is not None:
        raise already_running(facts)
    with invocation.writing(create=True) as store:
        database = store.path
    ours, theirs = os.pipe()
    log = journal_path(database)
    process = _spawn([f"--db={database}", "daemon", "run", f"--ready-fd={theirs}", f"--log={log}", *words], log, theirs)
    with open(ours, encoding="utf-8") as answer:
        text = answer.readline()
    if text:
        _raise_if_failed(json.loads(text))
        return process.pid
    code = process.wait()
    raise FlowctlError(f"the daemon ended with exit code {code} before it was ready", f"see {log}")


def _spawn(words: list[str], log: Path, ready_fd: int) -> subprocess.Popen[bytes]:
    """Start flowctl in a session of its own, without a terminal."""
    from flowctl.engine.interpreter import own_program
    from flowctl.engine.journal import open_journal

    out = open_journal(log)
    try:
        return subprocess.Popen(
            [*own_program(), *words],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            pass_fds=[ready_fd],
            cwd="/",
            umask=callers.umask,
            start_new_session=True,
        )
    finally:
        os.close(ready_fd)
        os.close(out)


def _raise_if_failed(facts: dict[str, object]) -> None:
    if facts:
        error = FlowctlError(str(facts["message"]), str(facts["hint"]))
        error.exit_code = int(str(facts["exit_code"]))
        raise error


def stop(invocation: Invocation, *, at_once: bool) -> DaemonFacts | None:
    """End the daemon, and return which it was; None when none runs.

    At once means: without waiting for bodies that run, and with SIGKILL when that does not help. Raises FlowctlError
    when it has not ended within its grace, and NotPermitted when the database is named by a link.
    """
    from flowctl.engine.daemon import GRACE_S
    from flowctl.engine.daemon_lock import running_daemon
    from flowctl.store.files import check_name

    check_name(invocation.db)
    facts = running_daemon(invocation.db)
    if facts is None:
        return None
    with suppress(FlowctlError), invocation.writing() as store, store.transaction():  # a full disk keeps none alive
        store.events.note("daemon", f"told to stop (pid {facts.pid})", SYSTEM_CLOCK.now())
    _signal(facts.pid, signal.SIGTERM)
    if at_once:  # by another signal: a second SIGTERM in the same moment would be one with the first
        _signal(facts.pid, signal.SIGINT)
    if _has_ended(invocation, facts.pid, STOP_NOW_S if at_once else GRACE_S + STOP_NOW_S):
        return facts
    if at_once:
        _signal(facts.pid, signal.SIGKILL)
        if _has_ended(invocation, facts.pid, STOP_NOW_S):
            return facts
    raise FlowctlError(f"the daemon (pid {facts.pid}) does not end", "flowctl daemon stop --now")


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _has_ended(invocation: Invocation, pid: int, seconds: float) -> bool:
    from flowctl.engine.daemon_lock import running_daemon

    overdue = SYSTEM_CLOCK.monotonic() + seconds
    while (running := running_daemon(invocation.db)) is not None and running.pid == pid:
        if SYSTEM_CLOCK.monotonic() > overdue:
            return False
        time.sleep(0.02)
    overdue = SYSTEM_CLOCK.monotonic() + EXIT_S
    while _exists(pid) and SYSTEM_CLOCK.monotonic() < overdue:  # its lock is free a moment before the process is gone
        time.sleep(0.01)
    return True


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # the number is another's by now
        return False
    return True
