"""Queues for people: how full each is, how its limits are changed, and what keeps a run from beginning."""

from __future__ import annotations

from typing import Any, NamedTuple

from flowctl.core.model import Queue, Run
from flowctl.store import Store

SHOWN = 5  # runs that are named


class QueueView(NamedTuple):
    """A queue, its limits and what is in it."""

    queue: Queue
    running: int = 0
    queued: int = 0  # ready to begin
    oldest_at: int | None = None  # since when the first of these waits


def list_queues(store: Store, namespace: str, now: int) -> list[QueueView]:
    """Return every queue that has limits, or runs that are not final, by name."""
    limits = {queue.name: queue for queue in store.queues.all() if queue.namespace == namespace}
    loads = {load.queue: load for load in store.queues.loads(namespace, now)}
    views = []
    for name in sorted(limits.keys() | loads.keys()):
        counts = loads[name][1:] if name in loads else ()
        views.append(QueueView(limits.get(name) or Queue(namespace, name), *counts))
    return views


def change_queue(store: Store, namespace: str, name: str, changes: dict[str, Any], now: int) -> QueueView:
    """Change limits of a queue, live: runs that have begun go on. `changes` are fields of Queue and their values."""
    with store.transaction():
        queue = (store.queues.find(namespace, name) or Queue(namespace, name))._replace(**changes)
        if queue == Queue(namespace, name):
            store.queues.remove(namespace, name)
        else:
            store.queues.set(queue, now)
        store.events.note(f"queue {name}", f"changed: {', '.join(changes)}", now)
    found = {view.queue.name: view for view in list_queues(store, namespace, now)}
    return found.get(name, QueueView(queue))


def held_up(store: Store, run: Run, now: int) -> str | None:
    """Return what in its queue keeps a queued run from beginning now, as the end of a sentence; None: nothing."""
    queue = store.queues.find(run.namespace, run.queue)
    if run.state != "queued" or queue is None:
        return None
    if queue.paused_at is not None:
        return f"queue {queue.name} is paused"
    running = [each.id for each in store.runs.running() if (each.namespace, each.queue) == (run.namespace, run.queue)]
    if queue.concurrency is not None and len(running) >= queue.concurrency:
        return f"queue {queue.name} is full ({_named(running)})"
    if queue.rate is not None and store.queues.starts(queue, queue.rate_ms or 0, now) >= queue.rate:
        return f"queue {queue.name} has begun {queue.rate} runs within {(queue.rate_ms or 0) / 1000:g} s"
    return _held_by_key(store, run, queue, running)


def _held_by_key(store: Store, run: Run, queue: Queue, running: list[int]) -> str | None:
    if queue.key is None or queue.key_limit is None:
        return None
    own = store.runs.attribute(run.id, queue.key)
    same = [each for each in running if own is not None and store.runs.attribute(each, queue.key) == own]
    if len(same) < queue.key_limit:
        return None
    return f"queue {queue.name} is full for its {queue.key} ({_named(same)})"


def _named(runs: list[int]) -> str:
    shown = ", ".join(map(str, sorted(runs)[:SHOWN]))
    more = f" and {len(runs) - SHOWN} more" if len(runs) > SHOWN else ""
    return f"run{'s' if len(runs) > 1 else ''} {shown}{more}"
