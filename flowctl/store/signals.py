"""Signals: messages to runs, in their order, each taken once."""

from __future__ import annotations

from flowctl.core.errors import ClaimLost
from flowctl.core.model import Claim
from flowctl.core.signals import Signal
from flowctl.store.connection import Connection
from flowctl.store.payloads import Payloads, pack
from flowctl.store.queries import load

SQL = load("signals")


class Signals:
    """The signals of one file. Writes belong inside `store.transaction()`."""

    def __init__(self, connection: Connection, payloads: Payloads) -> None:
        self._connection = connection
        self._payloads = payloads

    def send(self, run_id: int, name: str, value: str, sender: str, now: int) -> int:
        """Record a signal to a run, and return its number. Nobody is told: wake the run if it waits for it."""
        stored, crc = pack(value)
        assert stored is value, "a signal does not spill"
        fields = {"run": run_id, "name": name, "value": value, "value_crc": crc, "sender": sender, "now": now}
        (created,) = self._connection.write(SQL["send"], fields)
        return int(created[0])

    def oldest(self, run_id: int, name: str) -> Signal | None:
        """Return the oldest signal of that name which no step has taken."""
        row = self._connection.row(SQL["oldest"], {"run": run_id, "name": name})
        return None if row is None else Signal(*row)

    def take(self, claim: Claim, signal: Signal, step: str, now: int) -> None:
        """Give a signal to a step: in the transaction that records the step, and to no other. Raises ClaimLost."""
        fields = {"run": claim.run_id, "epoch": claim.epoch, "signal": signal.id, "step": step, "now": now}
        if not self._connection.change(SQL["take"], fields):
            raise ClaimLost(f"run {claim.run_id} is no longer held at epoch {claim.epoch}")

    def of_run(self, run_id: int) -> list[Signal]:
        """Return all signals of a run, the oldest first."""
        return [Signal(*row) for row in self._connection.rows(SQL["of_run"], {"run": run_id})]

    def waiting(self, run_id: int, name: str) -> tuple[str, str] | None:
        """Return key and input of the step that waits for a signal of that name."""
        row = self._connection.row(SQL["waiting"], {"run": run_id, "name": name})
        return None if row is None else (row[0], self._payloads.unpack(row[1]))

    def awaited(self, run_id: int) -> list[str]:
        """Return the names of the signals that a run waits for."""
        return [row[0] for row in self._connection.rows(SQL["awaited"], {"run": run_id})]
