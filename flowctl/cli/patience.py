"""What a person is told of a run here that does not begin because of its queue."""

from __future__ import annotations

from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING

from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import Busy, DiskTrouble
from flowctl.engine.queues import held_up

if TYPE_CHECKING:
    from flowctl.cli.foreground import Narrator
    from flowctl.store import Store

LOOK_S = 1.0


class Patience:
    """Says once what a run waits for, when it has waited for a second."""

    def __init__(self, store: Store, narrator: Narrator) -> None:
        self._store = store
        self._narrator = narrator
        self._run_id = 0
        self._look_at = inf

    def watch(self, run_id: int) -> None:
        """Watch this run from now on."""
        self._run_id = run_id
        self._look_at = SYSTEM_CLOCK.monotonic() + LOOK_S

    def idle(self) -> None:
        """Let the narrator draw; say what the run waits for, if it is time and there is something to say."""
        self._narrator.redraw()
        monotonic = SYSTEM_CLOCK.monotonic()
        if monotonic >= self._look_at:
            self._look_at = monotonic + LOOK_S
            with suppress(Busy, DiskTrouble):  # it is looked at again
                self._look()

    def _look(self) -> None:
        reason = held_up(self._store, self._store.runs.get(self._run_id), SYSTEM_CLOCK.now())
        if reason is not None:
            self._look_at = inf
            self._narrator.say(f"run {self._run_id} waits: {reason}; ctrl-C pauses it")
