"""Whether scheduled work gets done: five questions, for a probe that asks every minute."""

from __future__ import annotations

from typing import NamedTuple

from flowctl.core.errors import FlowctlError
from flowctl.core.instants import short
from flowctl.core.text import plural
from flowctl.engine.daemon_lock import running_daemon
from flowctl.engine.why import stalled_ms
from flowctl.store import Store, files

LAG_MS = 60_000
FREE_BYTES = 100_000_000


class Vital(NamedTuple):
    """One question, and its answer."""

    check: str
    ok: bool
    message: str


def vitals(store: Store, now: int) -> list[Vital]:
    """Return whether the file can be read, a daemon lives, the disk has room, and schedules and runs are in time."""
    try:
        found = [_readable(store), _daemon(store), _disk(store), _lag(store, now), _begun(store, now)]
    except FlowctlError as error:
        found = [Vital("database", False, error.message)]
    return found


def _readable(store: Store) -> Vital:
    engines = len(store.engines.running())
    return Vital("database", True, f"{plural(engines, 'engine')} {'is' if engines == 1 else 'are'} recorded")


def _daemon(store: Store) -> Vital:
    daemon = running_daemon(store.path)
    text = "no daemon runs: flowctl daemon start" if daemon is None else f"process {daemon.pid}"
    return Vital("daemon", daemon is not None, text)


def _disk(store: Store) -> Vital:
    free, log = files.free_space(store.path), files.size(store.path + "-wal")
    needed = max(FREE_BYTES, 2 * log)
    return Vital("disk", free >= needed, f"{free:,} bytes are left, {needed:,} should be")


def _lag(store: Store, now: int) -> Vital:
    late = [(now - next_at, name) for _, name, next_at in store.metrics.schedules() if now - next_at >= LAG_MS]
    if not late:
        return Vital("schedules", True, "all are in time")
    longest, name = max(late)
    return Vital(
        "schedules", False, f"{len(late)} {'is' if len(late) == 1 else 'are'} late, {name} by {short(longest)}"
    )


def _begun(store: Store, now: int) -> Vital:
    """Tell whether runs begin that nothing keeps from it: a daemon that hangs holds its lock all the same."""
    waits = [(stalled_ms(store, store.runs.get(run), now), run) for run in store.evidence.ready()]
    longest, run = max(waits, default=(0, 0))
    if longest < LAG_MS:
        return Vital("runs", True, "none waits without a reason")
    text = f"run {run} is ready for {short(longest)}, and the daemon has not begun it: it hangs, or cannot write"
    return Vital("runs", False, text)
