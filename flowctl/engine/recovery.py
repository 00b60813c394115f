"""After an engine's death: its processes are ended first, then its runs are free to be claimed again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowctl.core.model import EngineRow, Run
from flowctl.core.policy import CRASH_LIMIT, unknown_outcome
from flowctl.engine import closing
from flowctl.engine.claim import boot_id, doorbell_path, engine_alive, lock_path
from flowctl.engine.families import cancel_elsewhere
from flowctl.sdk import processes
from flowctl.store import Store

if TYPE_CHECKING:
    from flowctl.engine.engine import Engine


def recover(engine: Engine) -> None:
    """Free the runs of every engine that is dead."""
    if recover_store(engine.store, engine.clock.now()):
        engine.look_for_runs()


def recover_store(store: Store, now: int) -> bool:
    """End what dead engines left running, then put their runs back where they can go on. Tell whether any was dead.

    Nothing waits for a lease: an engine is dead when its lock is free or the machine has booted since.
    """
    dead = [engine for engine in store.engines.running() if not engine_alive(store.path, engine)]
    if not dead:
        return False
    for engine in dead:
        end_processes(engine)
    with store.transaction():
        for engine in dead:
            _retire(store, engine.id, now, "its engine died")
    for engine in dead:
        for name in (lock_path(store.path, engine.token), doorbell_path(store.path, engine.token)):
            name.unlink(missing_ok=True)
    return True


def retire(store: Store, engine_id: int, now: int) -> None:
    """Record that an engine has stopped, its processes being dead, and free the runs that an error left it with."""
    with store.transaction():
        _retire(store, engine_id, now, "its engine stopped")


def _retire(store: Store, engine_id: int, now: int, what: str) -> None:
    for run in store.runs.orphans([engine_id]):
        _free(store, run.id, now, what)
    store.runs.unfollow(engine_id, now)
    store.engines.stop(engine_id, now)


def steal(store: Store, run: Run, now: int) -> None:
    """Take a run, and all others it has or watches, from an engine that is alive but stuck.

    Its executors are killed, the engine itself is left alone. When it wakes, its writes carry an old epoch and change
    nothing. The killing is inside the transaction, so that an engine that is not stuck after all cannot record the
    deaths as failures.
    """
    with store.transaction():
        for engine in store.engines.running():
            if engine.id in (run.engine_id, run.followed_by):
                processes.kill_engine(engine.token)
                for held in store.runs.orphans([engine.id]):
                    _free(store, held.id, now, "it was taken from its engine")
                store.runs.unfollow(engine.id, now)


def end_processes(engine: EngineRow) -> None:
    """Kill everything that the engine's executors started. After a reboot there is nothing."""
    if engine.boot_id == boot_id():
        processes.kill_engine(engine.token)


def _free(store: Store, run_id: int, now: int, what: str) -> None:
    run = store.runs.get(run_id)  # as it is now: its parent, freed just before, may have asked it to cancel
    unknown = [
        step
        for step in store.steps.unfinished(run.id)
        if step.on_crash == "block" and step.state == "running" and step.wake_at is None
    ]
    if run.request == "cancel":
        store.runs.orphan(run.id, run.epoch, now, "queued", what)
        cancel_all(store, with_children(store, run.id), now, undo=run.crashes + 1 < CRASH_LIMIT)
    elif unknown:
        reason = unknown_outcome(unknown[0].key, what)
        store.runs.orphan(run.id, run.epoch, now, "blocked", reason)
    elif run.crashes + 1 >= CRASH_LIMIT:
        reason = f"flowctl died {run.crashes + 1} times in a row while it ran this"
        store.runs.orphan(run.id, run.epoch, now, "failed", reason)
        _give_up(store, run.id, now)
    elif run.request == "pause":
        store.runs.orphan(run.id, run.epoch, now, "paused", what)
    else:
        store.runs.orphan(run.id, run.epoch, now, "queued", what)


def _give_up(store: Store, run_id: int, now: int) -> None:
    """Do for a run that has failed here what an engine does for one that fails in its hands."""
    run, *below = with_children(store, run_id)
    cancel_all(store, below, now)
    if run.error is not None and "on_failure" in run.options:
        store.runs.create(closing.failure_handler(run, run.error), now)
    _wake_parent(store, run, now)


def cancel_all(store: Store, runs: list[Run], now: int, *, undo: bool = True) -> None:
    """Cancel idle runs, and ask the engines of the others to. Those with something to undo do that first."""
    for run in runs:
        if cancel_elsewhere(store, run, now, undo=undo) == "cancelled":
            _wake_parent(store, run, now)


def with_children(store: Store, run_id: int) -> list[Run]:
    """Return the run, its children, theirs, and so on: parents before children."""
    family = [store.runs.get(run_id)]
    for run in family:
        family += store.runs.children(run.id)
    return family


def _wake_parent(store: Store, run: Run, now: int) -> None:
    if run.parent_id is not None:
        store.runs.wake(run.parent_id, now)
