"""Runs that are worked on here and now: progress, ctrl-C, the output, the exit code."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, Self

from flowctl.cli.instants import local, short
from flowctl.cli.invocation import Invocation
from flowctl.cli.lines import LineNarrator, error_summary
from flowctl.cli.render import run_duration
from flowctl.cli.terminal import is_terminal
from flowctl.cli.words import advice, exit_code, icon
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import Conflict

if TYPE_CHECKING:
    from flowctl.cli.patience import Patience
    from flowctl.core.model import Run
    from flowctl.engine.engine import Engine
    from flowctl.engine.observer import Change
    from flowctl.engine.supervisor import Supervisor
    from flowctl.store import Store

INTERRUPTED = 130


class Narrator(Protocol):
    """What tells a person how runs are going."""

    def watch(self, run_id: int) -> Self:
        """Watch this run while the context is entered."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def hear(self, change: Change) -> None:
        """Take in a change."""

    def say(self, text: str) -> None:
        """Say a line that stays."""

    def redraw(self) -> None:
        """Show the present moment; called at least ten times a second."""


Prepare = Callable[[int], Sequence[int]]


def work_here(
    invocation: Invocation,
    store: Store,
    supervisor: Supervisor,
    prepare: Prepare,
    *,
    exclusive: bool = False,
    lasting: bool = False,
) -> int:
    """Work on runs, one after the other, until each is final, paused or blocked; print what they returned.

    `prepare` makes or changes the runs for the engine with that number, which alone may claim them, and returns theirs.
    With `exclusive`, a run that another process works on is refused instead of waited for.
    Returns the exit code of the first that did not succeed. Ctrl-C pauses them, a second one at once. With `lasting`,
    the caller goes on afterwards: a ctrl-C that came when the runs had ended is raised for it as KeyboardInterrupt.
    """
    from flowctl.cli.patience import Patience
    from flowctl.engine.engine import Engine

    narrator = _narrator(invocation, store)
    patience = Patience(store, narrator)
    engine = Engine(store, supervisor, observer=narrator.hear, on_idle=patience.idle)
    with _named(store), engine, _stopping(engine.stop) as stopped:
        numbers = prepare(engine.id)
        codes = _follow(invocation, engine, narrator, patience, numbers, exclusive, stopped)
        codes += _leave_paused(invocation, store, numbers[len(codes) :])
    if lasting and stopped() and INTERRUPTED not in codes:
        raise KeyboardInterrupt
    return next((code for code in codes if code), 0)


def _follow(
    invocation: Invocation,
    engine: Engine,
    narrator: Narrator,
    patience: Patience,
    numbers: Sequence[int],
    exclusive: bool,
    stopped: Callable[[], bool],
) -> list[int]:
    """Work on runs until a person stops that; return the exit codes of those that were begun."""
    codes: list[int] = []
    for number in numbers:
        if stopped():
            break
        try:
            _announce_wait(invocation, engine.store.runs.get(number))
            patience.watch(number)
            with narrator.watch(number):
                run = engine.follow(number, exclusive=exclusive)
        except Conflict as error:
            if len(numbers) == 1:
                raise
            invocation.terminal.warn(f"flowctl: {error.message}")
            codes.append(error.exit_code)
        else:
            codes.append(_report(invocation, engine.store, run, alone=len(numbers) == 1))
    return codes


@contextmanager
def _named(store: Store) -> Iterator[None]:
    """Have the audit log name this process, too, for what its engine does."""
    before = store.connection.actor
    store.connection.actor = f"{before} (pid {os.getpid()})"
    yield
    store.connection.actor = before


def _leave_paused(invocation: Invocation, store: Store, numbers: Sequence[int]) -> list[int]:
    """Pause runs that were not begun before a person stopped, else a daemon would begin them; return exit codes."""
    from flowctl.engine.session import STOPPED

    if not numbers:
        return []
    with store.transaction():
        for number in numbers:
            store.runs.pause_idle(number, SYSTEM_CLOCK.now(), STOPPED)
    invocation.terminal.warn(f"not begun: flowctl resume {' '.join(map(str, numbers))}")
    return [INTERRUPTED]


def _announce_wait(invocation: Invocation, run: Run) -> None:
    """Say it when nothing will happen for a while: until a run is due there is nothing else to see."""
    if run.state in ("queued", "sleeping") and run.wake_at is not None and run.wake_at > SYSTEM_CLOCK.now():
        invocation.terminal.say(f"run {run.id} {run.workflow} goes on at {local(run.wake_at)}; ctrl-C pauses it")


def _narrator(invocation: Invocation, store: Store) -> Narrator:
    terminal = invocation.terminal
    if not terminal.animates or invocation.verbose:
        return LineNarrator(terminal, verbose=invocation.verbose)
    from flowctl.cli.live import LiveNarrator
    from flowctl.cli.progress import Progress

    return LiveNarrator(terminal, lambda: Progress(lambda number: store.runs.get(number).parent_step), SYSTEM_CLOCK)


@contextmanager
def _stopping(stop: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Stop when a person presses ctrl-C, closes the terminal, or ends this process.

    A signal that nohup or a shell has this process ignore stays ignored.
    """
    received: list[int] = []

    def on_signal(number: int, _frame: object) -> None:
        received.append(number)
        stop()

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    heeded = [number for number in signals if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, on_signal) for number in heeded}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _report(invocation: Invocation, store: Store, run: Run, *, alone: bool) -> int:
    """Print what a run returned, and how it stands."""
    terminal = invocation.terminal
    _conclude(invocation, run)
    if invocation.json:
        from flowctl.cli.show import run_json

        with store.reading():
            text = run_json(store, run)
        terminal.data_json(text) if alone else terminal.json_line(text)
    elif run.output is not None and not (run.output == "null" and is_terminal_output()):
        terminal.data_json(run.output) if alone else terminal.json_line(run.output)
    return exit_code(run)


def is_terminal_output() -> bool:
    """Tell whether a person sees what is written to stdout."""
    import sys

    return is_terminal(sys.stdout)


def _conclude(invocation: Invocation, run: Run) -> None:
    terminal, head = invocation.terminal, f"{icon(run.state, stderr=True)} run {run.id} {run.workflow} {run.state}"
    if run.state == "succeeded":
        terminal.say(f"{head} in {short(run_duration(run))}")
    elif run.state == "failed":
        terminal.warn(f"{head}: {error_summary(run.error or '{}')}")
        terminal.warn(f"  flowctl show {run.id}     what happened\n  flowctl retry {run.id}    go on from there")
    elif run.state == "paused":
        terminal.warn(f"{head}: flowctl resume {run.id}")
    elif run.state == "blocked":
        terminal.warn(f"{head}: {run.reason}\n  {advice(run)}")
    elif run.state == "waiting":
        terminal.warn(f"{head} {run.reason}, which cannot go on by itself: flowctl ls")
    elif run.state in ("sleeping", "queued"):
        terminal.warn(f"{head} until {local(run.wake_at)}: flowctl resume {run.id}")
    else:
        terminal.warn(head)
