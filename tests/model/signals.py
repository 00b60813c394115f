"""The part of the model that is about signals: kept in their order, and each taken once."""

from __future__ import annotations

from flowctl.core.errors import Conflict
from flowctl.core.model import Claim
from tests.model.steps import Steps
from tests.model.tables import BY, FINAL, OPEN, Row


class Signals(Steps):
    """The signals to every run, and who waits for them."""

    def send_signal(self, run: int, name: str, value: str) -> int:
        """Send a signal to a run that has not ended, and let it go on if it waits for it."""
        row = self.run(run)
        if row["state"] in FINAL:
            raise Conflict("it takes no signal")
        sent = {"run_id": run, "name": name, "value": value, "sender": BY, "sent_at": self.now}
        self.signals.append(sent | {"taken_by": None, "taken_at": None})
        if any(
            (step["kind"], step["name"]) == ("signal", name) and step["state"] in OPEN for step in self.current(run)
        ):
            self.wake(run)
        return len(self.signals)

    def take_signal(self, claim: Claim, key: str, name: str) -> bool:
        """Give the oldest signal of a name to a step, whose outcome it is; False when there is none."""
        signal = self.oldest_signal(claim.run_id, name)
        if signal is None:
            return False
        step = self._open(claim, key, lambda step: step["state"] == "running")
        self._record(claim, step, "succeeded", output=signal["value"])
        signal.update(taken_by=key, taken_at=max(self.now, signal["sent_at"]))
        return True

    def oldest_signal(self, run: int, name: str) -> Row | None:
        """Return the oldest signal of a name that no step has taken."""
        untaken = (each for each in self.signals if each["taken_by"] is None)
        return next((each for each in untaken if (each["run_id"], each["name"]) == (run, name)), None)

    def wake(self, run: int) -> bool:
        """Make a waiting or sleeping run due."""
        row = self.runs.get(run)
        if row is None or row["state"] not in ("waiting", "sleeping"):
            return False
        self.move(row, "queued", wake_at=None, reason=None)
        return True
