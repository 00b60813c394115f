"""How the daemon looks to a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowctl.cli.instants import local, short
from flowctl.cli.render import megabytes
from flowctl.cli.terminal import Terminal

if TYPE_CHECKING:
    from flowctl.engine.status import DaemonStatus, EngineFacts


def show_daemon(terminal: Terminal, facts: DaemonStatus) -> None:
    """Print how the daemon is, and what else works on the file."""
    if facts.pid is None:
        terminal.data("no daemon runs: flowctl daemon start")
    else:
        terminal.data(f"running, pid {facts.pid}, version {facts.version}, for {short(facts.uptime_ms)}")
    lines = {
        "runs": f"{facts.running:,} running, {facts.due:,} due",
        "schedules": _schedules(facts),
        "memory": megabytes(facts.memory_bytes) if facts.memory_bytes is not None else "",
        "database": f"{facts.db}, {megabytes(facts.db_bytes)} and {megabytes(facts.wal_bytes)} of log",
    }
    for name, text in lines.items():
        if text:
            terminal.data(f"  {name:<10} {text}")
    for engine in facts.engines:
        terminal.data(f"  {'engine':<10} {_engine(engine)}")


def _schedules(facts: DaemonStatus) -> str:
    fired = f"last fired at {local(facts.last_fire_at)}" if facts.last_fire_at is not None else "none has fired yet"
    return f"{fired}, {short(facts.lag_ms)} late" if facts.lag_ms >= 1000 else fired


def _engine(engine: EngineFacts) -> str:
    queues = "every queue" if engine.queues is None else f"queues {', '.join(engine.queues)}"
    labels = f", labels {', '.join(engine.labels)}" if engine.labels else ""
    return f"{engine.kind}, pid {engine.pid}, {queues}{labels}, {engine.running} running"
