"""Circuit breakers: their states, the failures that count, and the runs that wait for them."""

from __future__ import annotations

from typing import Any

from flowctl.core.breakers import Breaker
from flowctl.store.connection import Connection
from flowctl.store.queries import load

SQL = load("breakers")


class Breakers:
    """The breakers of one file. Writes belong inside `store.transaction()`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, namespace: str, name: str) -> Breaker | None:
        """Return a breaker, None for one that has seen no failure."""
        row = self._connection.row(SQL["find"], {"namespace": namespace, "name": name})
        return None if row is None else Breaker(*row)

    def all(self, namespace: str) -> list[Breaker]:
        """Return every breaker that has seen a failure."""
        return [Breaker(*row) for row in self._connection.rows(SQL["all"], {"namespace": namespace})]

    def put(self, breaker: Breaker) -> None:
        """Record how a breaker is."""
        self._connection.write(SQL["put"], breaker._asdict())

    def probing(self, breaker: Breaker) -> bool:
        """Tell whether the run of a probe is still under way, in the hands that began the probe."""
        fields = {"run": breaker.probe_run, "epoch": breaker.probe_epoch}
        return breaker.probe_run is not None and self._connection.row(SQL["probing"], fields) is not None

    def fail(self, breaker: Breaker, run_id: int, step: str, attempt: int, now: int) -> None:
        """Count a failed attempt, and forget those that count no more."""
        lane = _lane(breaker)
        self._connection.write(SQL["fail"], lane | {"run": run_id, "step": step, "attempt": attempt, "now": now})
        self._connection.change(SQL["forget"], lane | _window(breaker, now))

    def recent(self, breaker: Breaker, now: int) -> int:
        """Return how many failures count now."""
        return int(self._connection.value(SQL["recent"], _lane(breaker) | _window(breaker, now)))

    def clear(self, breaker: Breaker) -> None:
        """Forget all failures."""
        self._connection.change(SQL["clear"], _lane(breaker))

    def wait(self, namespace: str, name: str, run_id: int) -> None:
        """Note that a run waits for a breaker."""
        self._connection.write(SQL["wait"], {"namespace": namespace, "name": name, "run": run_id})

    def awaited(self, run_id: int) -> list[str]:
        """Return the names of the breakers that a run waits for."""
        return [row[0] for row in self._connection.rows(SQL["awaited"], {"run": run_id})]

    def went_on(self, namespace: str, name: str, run_id: int) -> None:
        """Note that a run does not wait for a breaker any more."""
        self._connection.change(SQL["went_on"], {"namespace": namespace, "name": name, "run": run_id})

    def take_waiting(self, breaker: Breaker) -> list[int]:
        """Return the runs that wait for a breaker, which they do no more."""
        rows = self._connection.rows(SQL["waiting"], _lane(breaker))
        self._connection.change(SQL["wait_no_more"], _lane(breaker))
        return [row[0] for row in rows]


def _lane(breaker: Breaker) -> dict[str, Any]:
    return {"namespace": breaker.namespace, "name": breaker.name}


def _window(breaker: Breaker, now: int) -> dict[str, int]:
    """Return which failures count. One that lies further ahead than the window is of a clock that was set back."""
    return {"since": now - breaker.window_ms, "until": now + breaker.window_ms}
