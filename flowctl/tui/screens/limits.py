"""The limits of a queue, to be changed."""

from __future__ import annotations

from flowctl.core.errors import UsageError
from flowctl.core.model import Queue
from flowctl.tui.actions import Command
from flowctl.tui.screens.form import Form, Values
from flowctl.tui.widgets.field import Field


class Limits(Form):
    """One field for each limit; what is changed becomes the command."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue.name
        concurrency, rate, key = _texts(queue)
        fields = [
            Field("--concurrency", "at once", concurrency, "so many runs at once: 4"),
            Field("--rate", "rate", rate, "so many begin within a time: 10/60s, 100/1h"),
            Field("--key-limit", "of each key", key, "so many at once of each: tags.NAME=1, input.NAME=1"),
        ]
        super().__init__(f"Limits of queue {queue.name}", fields, "What is empty has no limit.")

    def command(self, values: Values) -> Command:
        """Return the `flowctl queues set` for what was changed."""
        changed = [f"{name}={text.strip() or 'none'}" for name, text in values.items() if text != self._first[name]]
        if not changed:
            raise UsageError("nothing is changed")
        return Command(("queues", "set", *changed, "--", self._queue))


def _texts(queue: Queue) -> tuple[str, str, str]:
    """Return the limits as the command line takes them."""
    period = queue.rate_ms or 0
    return (
        "" if queue.concurrency is None else str(queue.concurrency),
        "" if queue.rate is None else f"{queue.rate}/{_period(period)}",
        "" if queue.key is None else f"{queue.key}={queue.key_limit}",
    )


def _period(ms: int) -> str:
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)):
        if ms % size == 0:
            return f"{ms // size}{unit}"
    return f"{ms}ms"
