"""Runs that an executor begins before they are claimed, so that one quick run follows another at once.

An offered run stays queued. An executor that works is offered the next run: that is claimed in the transaction that
records the end of the present one, and its workflow function begins right after the present run's, so the first
messages of both travel together. An executor that idles begins the run at once, ahead of its claim, which is made in
the transaction that records its first message. Until it is claimed, a run may be cancelled, or another engine may take
it; the body of a step waits for the record of its input as ever, unless it is pure. The executor is told nothing that
is on record, so only a run without a record fits.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from flowctl.engine.places import target_of
from flowctl.engine.session import Session, run_message
from flowctl.engine.supervisor import Offer

if TYPE_CHECKING:
    from flowctl.core.model import Run
    from flowctl.engine.engine import Engine
    from flowctl.engine.supervisor import Executor
    from flowctl.store import Store

QUICK_S = 0.02  # an executor whose last run took longer is not offered the next
WITHDRAW_S = 0.1  # a run whose executor is not free by then may begin elsewhere
AHEAD_S = 0.02  # a run that was begun ahead and has said nothing by then is claimed all the same


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
            session.executor.offer = _offer(engine, run, engine.monotonic + WITHDRAW_S)
            session.outbox.append(run_message(run, engine.store.file_id, engine.now))


def _offer(engine: Engine, run: Run, until: float = inf) -> Offer:
    return Offer(run.id, run.attempt, (run.namespace, run.queue), engine.now, until)


def _may_go_on(executor: Executor | None) -> bool:
    return executor is not None and executor.quick and executor.offer is None and not executor.stray


def _fits(store: Store, run: Run, executor: Executor | None) -> bool:
    """Tell whether a run that has nothing on record can begin in an executor as it is."""
    return (
        executor is not None
        and run.epoch == 0
        and run.forked_from is None  # its executor has to be told what it shares with its source
        and run.options.keys().isdisjoint(("isolation", "timeout_ms"))
        and executor.loaded == (run.code, run.path)
        and executor.target == target_of(store, run)
    )


def accept(engine: Engine, executor: Executor) -> bool:
    """Claim the run that an executor goes on with, whose own has just ended. False: the executor may not go on."""
    offer = executor.offer
    if offer is None:
        return not executor.stray
    run = _claim(engine, offer)
    if run is None:
        return False
    executor.offer = None
    engine.add(run).go_on(executor)
    engine.look_for_runs()
    return True


def _claim(engine: Engine, offer: Offer) -> Run | None:
    if engine.store.queues.find(*offer.lane) is not None:  # it has been given limits since
        return None
    return engine.claims.claim(offer.run_id, offer.made_at, offer.attempt)


def begin_ahead(engine: Engine, run_id: int) -> bool:
    """Have an idle executor begin a due run, if its runs have been quick. Belongs into the engine's transaction."""
    run = engine.store.runs.get(run_id)
    executor = engine.supervisor.take(target_of(engine.store, run), (run.code, run.path))
    if executor is None or not executor.quick or not _fits(engine.store, run, executor):
        return False
    if engine.store.queues.find(run.namespace, run.queue) is not None:  # its limits count what is claimed
        return False
    executor.offer = _offer(engine, run)
    session = engine.sessions[run.id] = Session(engine, run)
    session.begin_ahead(executor, AHEAD_S)
    return True


def claim_begun(executor: Executor) -> None:
    """Claim the run that an executor has begun ahead, before what it says is applied."""
    session = executor.session
    if isinstance(session, Session) and session.phase == "ahead":
        take_up(session)


def take_up(session: Session) -> None:
    """Claim a run that was begun ahead. When it cannot be had any more, its executor is not kept."""
    assert session.executor is not None
    if accept(session.engine, session.executor):
        session.phase = "over"  # another session has begun, of the run as it was claimed
    else:
        drop(session)


def drop(session: Session) -> None:
    """Part with a run that was begun ahead, and end its executor."""
    session.phase = "over"
    executor, session.executor = session.executor, None
    if executor is not None:
        executor.offer = None
    session.engine.after(lambda: session.engine.close_session(session, executor, keep=False))


def begin_again(session: Session) -> None:
    """Claim a run whose executor has died ahead of that, and begin it anew: it may be what ends its executors."""
    drop(session)
    run = _claim(session.engine, _offer(session.engine, session.run))
    if run is not None:
        session.engine.begin(run)


def withdraw(engine: Engine) -> None:
    """Let others have the runs whose executors were not free soon. Such an executor is not kept."""
    for session in engine.sessions.values():
        executor = session.executor
        if executor is not None and executor.offer is not None and engine.monotonic >= executor.offer.until:
            executor.offer = None
            executor.stray = True
            engine.look_for_runs()
