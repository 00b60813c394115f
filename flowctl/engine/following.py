"""Working on one run and its family, as `flowctl run` and `flowctl resume` do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowctl.core.errors import Conflict
from flowctl.core.model import FINAL_STATES, Run
from flowctl.engine import recovery
from flowctl.engine.session import STOPPED

if TYPE_CHECKING:
    from flowctl.engine.engine import Engine

SETTLED = FINAL_STATES | {"paused", "blocked"}


class Following:
    """One run that an engine follows until it is final, paused or blocked, or waits for a child that is."""

    def __init__(self, engine: Engine, run_id: int, *, exclusive: bool = False) -> None:
        """Take up the run and its family, what dead engines had of it included.

        A run that another engine has is waited for; with `exclusive` that raises Conflict, and so does its loss.
        """
        run = engine.store.runs.get(run_id)
        self._engine = engine
        self._run_id = run_id
        self._exclusive = exclusive
        self._root = run.root_id or run.id
        self._first_epoch = run.epoch
        engine.claims.follow(self._root)
        recovery.recover(engine)

    def turn(self) -> Run | None:
        """Do what is due now, and return the run once there is nothing left to do for it here. Raises Conflict."""
        engine = self._engine
        engine.tick()
        if engine.busy:
            return None
        run = engine.store.runs.get(self._run_id)
        self._refuse_elsewhere(run)
        if engine.stopping:
            self._pause_family()
            return engine.store.runs.get(self._run_id)
        return run if self._stands_still(run) and not engine.claims.due(engine.clock.now(), 1) else None

    def _refuse_elsewhere(self, run: Run) -> None:
        engine = self._engine
        if engine.claims.has_lost(run.id):
            raise Conflict(f"run {run.id} was taken over by another process", f"flowctl show {run.id}")
        if self._exclusive and not engine.claims.has_had(run.id) and not engine.stopping:
            if run.state == "running" and run.engine_id != engine.id:
                raise Conflict(f"run {run.id} is being worked on by another process", f"flowctl logs {run.id} -f")
            if run.state in SETTLED and run.epoch != self._first_epoch:
                raise Conflict(f"run {run.id} went on in another process and is {run.state}", f"flowctl show {run.id}")

    def _stands_still(self, run: Run) -> bool:
        """Tell whether a run is settled, or waits for children of which each is paused, blocked or so waiting too."""
        if run.state == "cancelled" and run.root_id is None and self._engine.store.runs.family_moves(self._root):
            return False  # its children undo what they have done
        return run.state in SETTLED or (run.state == "waiting" and not self._engine.store.runs.family_moves(self._root))

    def _pause_family(self) -> None:
        engine = self._engine
        with engine.store.transaction():
            for run in engine.store.runs.family(self._root):
                engine.store.runs.pause_idle(run.id, engine.clock.now(), STOPPED)
