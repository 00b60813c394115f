"""Runs that an executor is handed while its present run still works, so that one quick run follows another at once.

An offered run stays queued. It is claimed in the transaction that records the end of the present run; until then it may
be cancelled, or another engine may take it. Its workflow function begins right after the present run's, so the first
messages of both travel together; the body of a step waits for the record of its input as ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowctl.engine.places import target_of
from flowctl.engine.session import run_message
from flowctl.engine.supervisor import Offer

if TYPE_CHECKING:
    from flowctl.core.model import Run
    from flowctl.engine.engine import Engine
    from flowctl.engine.supervisor import Executor
    from flowctl.store import Store

QUICK_S = 0.02  # an executor whose last run took longer is not offered the next
WITHDRAW_S = 0.1  # a run whose executor is not free by then may begin elsewhere


def offered(engine: Engine) -> set[int]:
    """Return the numbers of the runs that are on offer."""
    executors = (session.executor for session in engine.sessions.values())
    return {executor.offer.run_id for executor in executors if executor is not None and executor.offer is not None}


def make(engine: Engine) -> None:
    """Offer due runs to executors whose runs have been quick. Belongs into the engine's transaction."""
    sessions = engine.sessions.values()
    quick = [session for session in sessions if session.phase == "running" and _may_go_on(session.executor)]
    for run_id in engine.claims.offerable(engine.now, len(quick)) if quick else ():
        run = engine.store.runs.get(run_id)
        session = next((session for session in quick if _fits(engine.store, run, session.executor)), None)
        if session is not None and session.executor is not None:
            quick.remove(session)
            session.executor.offer = Offer(
                run.id, (run.namespace, run.queue), engine.now, engine.monotonic + WITHDRAW_S
            )
            session.outbox.append(run_message(run, engine.store.file_id, engine.now))


def _may_go_on(executor: Executor | None) -> bool:
    return executor is not None and executor.quick and executor.offer is None and not executor.stray


def _fits(store: Store, run: Run, executor: Executor | None) -> bool:
    """Tell whether a run that has never begun can begin in an executor as it is."""
    return (
        executor is not None
        and run.epoch == 0
        and run.options.keys().isdisjoint(("isolation", "timeout_ms"))
        and executor.loaded == (run.code, run.path)
        and executor.target == target_of(store, run)
    )


def accept(engine: Engine, executor: Executor) -> bool:
    """Claim the run that an executor goes on with, whose own has just ended. False: the executor may not go on."""
    offer = executor.offer
    if offer is None:
        return not executor.stray
    if engine.store.queues.find(*offer.lane) is not None:  # it has been given limits since
        return False
    run = engine.claims.claim(offer.run_id, offer.made_at)
    if run is None:
        return False
    executor.offer = None
    engine.add(run).go_on(executor)
    engine.look_for_runs()
    return True


def withdraw(engine: Engine) -> None:
    """Let others have the runs whose executors were not free soon. Such an executor is not kept."""
    for session in engine.sessions.values():
        executor = session.executor
        if executor is not None and executor.offer is not None and engine.monotonic >= executor.offer.until:
            executor.offer = None
            executor.stray = True
            engine.look_for_runs()
