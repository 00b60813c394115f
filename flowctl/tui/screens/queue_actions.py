"""What can be done to a queue, a breaker and the daemon."""

from __future__ import annotations

from typing import NamedTuple

from flowctl.core.breakers import Breaker
from flowctl.core.model import Queue
from flowctl.tui.actions import Action


class Chosen(NamedTuple):
    """What an action may be done to: the queue or breaker under the cursor, and the daemon, if one works."""

    id: str
    queue: Queue | None
    breaker: Breaker | None
    daemon: bool


def _pausable(chosen: Chosen) -> str | None:
    if chosen.queue is None:
        return "no queue is chosen"
    return f"queue {chosen.id} is paused already" if chosen.queue.paused_at is not None else None


def _resumable(chosen: Chosen) -> str | None:
    if chosen.queue is None:
        return "no queue is chosen"
    return None if chosen.queue.paused_at is not None else f"queue {chosen.id} is not paused"


def _resettable(chosen: Chosen) -> str | None:
    if chosen.breaker is None:
        return "no breaker is chosen: Tab goes to their list"
    return f"breaker {chosen.id} is closed" if chosen.breaker.state == "closed" else None


def _startable(chosen: Chosen) -> str | None:
    return "the daemon is running already" if chosen.daemon else None


def _stoppable(chosen: Chosen) -> str | None:
    return None if chosen.daemon else "no daemon runs"


QUEUE_ACTIONS = (
    Action("pause", "p", "Pause", ("queues set", "--pause"), _pausable),
    Action("resume", "u", "Resume", ("queues set", "--resume"), _resumable),
    Action("reset", "b", "Reset breaker", ("breakers reset",), _resettable),
    Action("daemon_start", "s", "Start daemon", ("daemon start",), _startable, alone=True),
    Action("daemon_stop", "t", "Stop daemon", ("daemon stop",), _stoppable, destroys=True, alone=True),
    Action("daemon_restart", "T", "Restart daemon", ("daemon restart",), _stoppable, destroys=True, alone=True),
)
