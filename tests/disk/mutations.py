"""Everything that changes a file: how it is before, and the change, made in a store that is opened for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from flowctl.core.keeping import Retained
from flowctl.core.model import Claim
from flowctl.engine import commands, doctor, notifier, queues, recovery, schedules
from flowctl.engine.claim import EngineLock
from flowctl.engine.engine import Engine
from flowctl.engine.retention import HOLD_S, NOTES_MS, SLOTS_MS, Wanted, prune
from flowctl.engine.supervisor import Supervisor
from flowctl.store import Store
from flowctl.store.runs import Due
from tests.disk import before, travel
from tests.disk.before import (
    CHANNEL,
    CLAIM,
    LARGE,
    NEWER_SNAPSHOT,
    NOTICE,
    NOW,
    SCHEDULE,
    SOON,
    STANDING,
    WORKFLOW,
    FrozenClock,
)
from tests.store.scene import SNAPSHOT, Scene, error, new_run, new_step

LONG_AFTER = SOON + SLOTS_MS + NOTES_MS
OTHER_SCHEDULE = SCHEDULE._replace(expression="*/5 * * * *")


class HurriedClock(FrozenClock):
    """A clock by which the time of a transaction is over after a look or two."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def monotonic(self) -> float:
        self._seconds += HOLD_S * 0.75
        return self._seconds


class Mutation(NamedTuple):
    """One change. `before` makes the file, which is closed then; `change` gets it opened anew."""

    name: str
    before: Callable[[Scene], object]
    change: Callable[[Store], object]
    commits: int = 1


def _written(change: Callable[[Store], object]) -> Callable[[Store], None]:
    """Do a change of the store in a transaction."""

    def inside(store: Store) -> None:
        with store.transaction():
            change(store)

    return inside


def _steal(store: Store) -> None:
    lock = EngineLock(store.path, store.engines.running()[0].token)  # it is alive, and stuck
    try:
        commands.steal(store, 1, NOW)
    finally:
        lock.release()


def _start_engine(store: Store) -> None:
    supervisor = Supervisor()
    supervisor.token = "started"
    engine = Engine(store, supervisor, clock=FrozenClock())
    try:
        engine.__enter__()
        engine._lock.release()  # its file is no part of the change, and one that is left by a failure is seen
    finally:
        supervisor.close()


def _backup(store: Store) -> None:
    store.backup(os.path.join(os.path.dirname(store.path), "copy.db"))


def _begin_sleep(store: Store) -> None:
    store.steps.begin(CLAIM, new_step("sleep", 1, kind="sleep", wake_at=NOW + 60_000), NOW)
    store.runs.release(CLAIM, NOW, "sleeping", wake_at=NOW + 60_000)


def _fail_and_retry(store: Store) -> None:
    store.steps.cancel(CLAIM, NOW)
    store.runs.finish(CLAIM, NOW, "failed", error=error(), reason="no")
    store.runs.retry(1, NOW, replay="pinned", wake_at=NOW + 1_000)


def _cancel_run(store: Store) -> None:
    store.steps.cancel(CLAIM, NOW)
    store.runs.finish(CLAIM, NOW, "cancelled", reason="cancelled")


def _log(store: Store) -> None:
    store.logs.append(1, "fetch", 1, NOW, "stdout", None, "x" * 10_000)


def _looked(store: Store) -> None:
    """Record how files look. That is a fact of the file itself, which is not compared: an event shows the commit."""
    store.schedules.set_files(1, "[]")
    store.events.note("schedule tidy", "looked", NOW)


def _notice(store: Store) -> None:
    store.notices.add(NOTICE, NOW, NOW)
    store.notices.put_standing(1, STANDING)
    store.notices.set_cursor(7)


def _delivered(store: Store, error: str | None) -> None:
    notifier.record(store, store.notices.due(NOW)[0], NOW, error)
    store.notices.drop_standing(1, "run 1")


def _prune(store: Store) -> None:
    for _ in prune(store, LONG_AFTER, Wanted(), HurriedClock()):
        pass


MUTATIONS = (
    # a person's commands
    Mutation("submit", before.nothing, lambda store: commands.submit(store, new_run(), NEWER_SNAPSHOT, NOW)),
    Mutation("submit with a key", before.queued, lambda store: commands.submit(store, new_run(key="k"), SNAPSHOT, NOW)),
    Mutation(
        "submit a large input", before.queued, lambda store: commands.submit(store, new_run(input=LARGE), SNAPSHOT, NOW)
    ),
    Mutation("cancel", before.queued, lambda store: commands.cancel(store, 1, NOW)),
    Mutation("cancel a family", before.family, lambda store: commands.cancel(store, 1, NOW)),
    Mutation("pause", before.sleeping, lambda store: commands.pause(store, 1, NOW)),
    Mutation("resume", before.paused, lambda store: commands.resume(store, 1, NOW)),
    Mutation("steal", before.with_body, _steal),
    Mutation(
        "retry", before.failed, lambda store: commands.retry(store, 1, NOW, replay="newest", snapshot=NEWER_SNAPSHOT)
    ),
    Mutation(
        "retry from a step",
        before.failed,
        lambda store: commands.retry(store, 1, NOW, replay="pinned", from_step="fetch"),
    ),
    Mutation("rerun", before.failed, lambda store: commands.rerun(store, 1, NOW, NEWER_SNAPSHOT)),
    Mutation("workflows add", before.nothing, _written(lambda store: store.workflows.add(WORKFLOW, NOW))),
    Mutation(
        "workflows remove", before.registered, _written(lambda store: store.workflows.remove("default", "digest"))
    ),
    Mutation("backup", before.failed, _backup),
    # engines
    Mutation("engine start", before.queued, _start_engine),
    Mutation("engine retire", before.with_body, lambda store: recovery.retire(store, 1, NOW)),
    Mutation("recovery", before.orphaned, lambda store: recovery.recover_store(store, NOW)),
    Mutation("recovery, then cancel", before.orphaned, lambda store: commands.cancel(store, 1, NOW), 2),
    # what an engine records
    Mutation("claim", before.queued, _written(lambda store: store.runs.claim(1, 1, NOW))),
    Mutation("begin a step", before.held, _written(lambda store: store.steps.begin(CLAIM, new_step("fetch", 1), NOW))),
    Mutation(
        "begin a large step",
        before.held,
        _written(lambda store: store.steps.begin(CLAIM, new_step("fetch", 1, input=LARGE), NOW)),
    ),
    Mutation(
        "next attempt", before.with_failure, _written(lambda store: store.steps.start_attempt(CLAIM, "fetch", NOW))
    ),
    Mutation("succeed", before.with_body, _written(lambda store: store.steps.succeed(CLAIM, "fetch", "1", NOW))),
    Mutation(
        "succeed with much", before.with_body, _written(lambda store: store.steps.succeed(CLAIM, "fetch", LARGE, NOW))
    ),
    Mutation("fail", before.with_body, _written(lambda store: store.steps.fail(CLAIM, "fetch", error(), NOW))),
    Mutation(
        "fail an attempt",
        before.with_body,
        _written(lambda store: store.steps.fail_attempt(CLAIM, "fetch", error(), NOW, NOW)),
    ),
    Mutation("interrupt", before.with_body, _written(lambda store: store.steps.interrupt(CLAIM, NOW))),
    Mutation("append to the log", before.with_body, _written(_log)),
    Mutation("sleep", before.held, _written(_begin_sleep)),
    Mutation(
        "suspend", before.with_failure, _written(lambda store: store.runs.release(CLAIM, NOW, "sleeping", wake_at=NOW))
    ),
    Mutation(
        "create a child",
        before.held,
        _written(lambda store: store.runs.create(new_run(parent_id=1, parent_step="child", root_id=1), NOW)),
    ),
    Mutation("wake a parent", before.family, _written(lambda store: store.runs.wake(1, NOW))),
    Mutation("finish", before.held, _written(lambda store: store.runs.finish(CLAIM, NOW, "succeeded", output="1"))),
    Mutation("fail a run and retry it", before.with_body, _written(_fail_and_retry)),
    Mutation("cancel a held run", before.with_body, _written(_cancel_run)),
    Mutation("request", before.held, _written(lambda store: store.runs.request(1, "pause", NOW))),
    # schedules
    Mutation("schedules add", before.nothing, lambda store: schedules.add(store, SCHEDULE, NOW, {"PATH": "/bin"})),
    Mutation("schedules update", before.scheduled, lambda store: schedules.update(store, OTHER_SCHEDULE, NOW)),
    Mutation("schedules remove", before.scheduled, lambda store: schedules.remove(store, "default", ["tidy"], NOW)),
    Mutation("schedules pause", before.scheduled, lambda store: schedules.pause(store, "default", "tidy", NOW)),
    Mutation("schedules resume", before.paused_schedule, lambda store: schedules.resume(store, "default", "tidy", NOW)),
    Mutation("schedules trigger", before.scheduled, lambda store: schedules.trigger(store, "default", "tidy", NOW)),
    Mutation(
        "schedules backfill", before.scheduled, lambda store: schedules.backfill(store, "default", "tidy", [1_000], NOW)
    ),
    Mutation("a boot fires", before.at_boot, lambda store: before.tick(store, 0)),
    Mutation("another time zone", before.elsewhere, lambda store: before.tick(store, 0)),
    Mutation("a slot fires", before.scheduled, lambda store: before.tick(store, 1)),
    Mutation("a slot of a missing workflow", before.orphaned_schedule, lambda store: before.tick(store, 1)),
    Mutation("a run that waited is woken", before.after_another, lambda store: before.tick(store, 0)),
    Mutation("slots are caught up", before.scheduled, lambda store: before.tick(store, 30)),
    Mutation("doctor --fix", before.unarmed, lambda store: doctor.fix(store, SOON)),
    # queues
    Mutation(
        "queues set",
        before.queued,
        lambda store: queues.change_queue(store, "default", "mail", {"concurrency": 1}, NOW),
    ),
    Mutation(
        "queues set to nothing",
        before.limited,
        lambda store: queues.change_queue(store, "default", "mail", {"rate": None, "rate_ms": None}, NOW),
    ),
    Mutation(
        "a start is counted",
        before.limited,
        _written(lambda store: store.queues.begin(Due(1, "default", "mail"), 60_000, NOW)),
    ),
    Mutation("a due run stands in its queue", before.sleeping, _written(lambda store: store.runs.line_up(NOW))),
    Mutation("reserve", before.queued, lambda store: commands.reserve(store, 1, 1, NOW)),
    # notifications
    Mutation("notify add", before.queued, _written(lambda store: store.notices.add_channel(CHANNEL, NOW))),
    Mutation(
        "notify remove", before.with_notice, _written(lambda store: store.notices.remove_channel("default", "desk"))
    ),
    Mutation("a notice", before.with_channel, _written(_notice)),
    Mutation("a notice is delivered", before.with_notice, _written(lambda store: _delivered(store, None))),
    Mutation("a notice is not delivered", before.with_notice, _written(lambda store: _delivered(store, "no"))),
    # retention
    Mutation(
        "workflows keep",
        before.nothing,
        _written(lambda store: store.retention.set(Retained("default", "digest", 1), NOW)),
    ),
    Mutation(
        "workflows keep as usual", before.kept, _written(lambda store: store.retention.reset("default", "digest"))
    ),
    Mutation("prune", before.outdated, _prune, 10),
    # time travel
    Mutation("fork", before.failed, travel.fork),
    Mutation("resolve one of two", travel.in_doubt, lambda store: travel.decide(store, "pay")),
    Mutation("let one of two run again", travel.in_doubt, lambda store: travel.decide(store, "pay", None)),
    Mutation("resolve a failure", travel.settled, lambda store: travel.decide(store, "parse")),
    Mutation("signal", before.sleeping, travel.send),
    Mutation("take a signal", travel.signalled, _written(travel.take)),
    Mutation("progress and external id", before.with_body, _written(travel.tell)),
    Mutation("a breaker opens", before.with_body, _written(travel.break_off)),
    Mutation("a breaker closes", before.with_body, _written(travel.mend)),
    Mutation("drop", before.failed, lambda store: commands.drop(store, 1, NOW)),
    Mutation("hold for a condition", before.held, _written(travel.hold)),
    Mutation("keep a version", before.registered, _written(travel.keep)),
    Mutation("index", before.failed, _written(travel.index)),
    Mutation("clear the index", travel.indexed, _written(lambda store: store.search.clear(NOW))),
    Mutation("judge", before.with_body, _written(lambda store: store.runs.judge(Claim(1, 1), NOW, error()))),
    Mutation("how files look", before.scheduled, _written(_looked)),
    Mutation("take back code", before.retried, _written(lambda store: store.runs.take_back_code(Claim(1, 2), NOW))),
)
