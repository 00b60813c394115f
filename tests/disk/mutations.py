"""Everything that changes a file: how it is before, and the change, made in a store that is opened for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from flowctl.core.clock import SystemClock
from flowctl.core.model import Claim, NewSchedule, NewWorkflow, Snapshot, code_of
from flowctl.core.zones import local_zone_name
from flowctl.engine import commands, recovery, schedules
from flowctl.engine.claim import EngineLock
from flowctl.engine.engine import Engine
from flowctl.engine.scheduler import Scheduler
from flowctl.engine.supervisor import Supervisor
from flowctl.store import Store
from tests.store.scene import SNAPSHOT, Scene, error, new_run, new_step

NOW = 2_000_000
CLAIM = Claim(1, 1)  # what `Scene.held` gives for the first run
SPILL_BYTES = 2_000  # what the sweep makes of the limit, so that a large payload takes few writes
LARGE = f'"{"x" * SPILL_BYTES}"'
NEWER = {"/flows/digest.py": "def digest(): return 2\n"}
NEWER_SNAPSHOT = Snapshot(code_of("/flows/digest.py", NEWER), "/flows/digest.py", NEWER)
WORKFLOW = NewWorkflow("digest", "/flows/digest.py", "digest", {}, {}, "", SNAPSHOT.code, "/flows")
SOON = 1_800_000_000_000  # schedules are not planned by a clock that was never set
SCHEDULE = NewSchedule("tidy", "cron", "* * * * *", '{"argv":["true"]}', "/work", zone="UTC")
OTHER_SCHEDULE = SCHEDULE._replace(expression="*/5 * * * *")
HANDLER = {"on_failure": {"workflow": "mourn", "path": "/flows/digest.py", "function": "mourn", "parameter": "failure"}}


class FrozenClock(SystemClock):
    """A clock that stands still, so that two goes write the same."""

    def now(self) -> int:
        return NOW


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


def _tick(store: Store, minutes: int) -> None:
    """Let a scheduler look so many minutes later, at a time that it takes for one."""
    Scheduler(store, FrozenClock(), "boot-1").tick(SOON + minutes * 60_000)


# -- how a file is before -------------------------------------------------------------------------------------------


def _nothing(scene: Scene) -> None:
    pass


def _at_home(scene: Scene, zone: str | None = None) -> None:
    with scene.store.transaction():
        scene.store.schedules.set_local_zone(zone or local_zone_name())


def _scheduled(scene: Scene) -> None:
    _at_home(scene)
    schedules.add(scene.store, SCHEDULE, SOON)


def _elsewhere(scene: Scene) -> None:
    _at_home(scene, "Nowhere")
    schedules.add(scene.store, SCHEDULE._replace(zone=""), SOON)


def _at_boot(scene: Scene) -> None:
    _at_home(scene)
    schedules.add(scene.store, SCHEDULE._replace(expression="@reboot"), SOON)


def _after_another(scene: Scene) -> None:
    _at_home(scene)
    scene.submit(schedule="tidy", after_id=9)  # which is gone


def _paused_schedule(scene: Scene) -> None:
    _scheduled(scene)
    schedules.pause(scene.store, "default", "tidy", SOON)


def _orphaned_schedule(scene: Scene) -> None:
    _at_home(scene)
    schedules.add(scene.store, SCHEDULE._replace(workflow="gone"), SOON)


def _queued(scene: Scene) -> None:
    scene.submit()
    scene.engine()
    _engines_stop(scene)


def _engines_stop(scene: Scene) -> None:
    """So that no command finds an engine that it takes for dead."""
    with scene.store.transaction():
        for engine in scene.store.engines.running():
            scene.store.engines.stop(engine.id, scene.now)


def _held(scene: Scene) -> None:
    scene.held()


def _with_body(scene: Scene) -> None:
    scene.begin(scene.held(), "fetch", 1)


def _with_failure(scene: Scene) -> None:
    """A step that waits for its next attempt."""
    _with_body(scene)
    scene.write(lambda: scene.store.steps.fail_attempt(CLAIM, "fetch", error(), scene.now, scene.now))


def _released(scene: Scene, state: str, **fields: object) -> None:
    scene.release(scene.held(), state, **fields)
    _engines_stop(scene)


def _paused(scene: Scene) -> None:
    _released(scene, "paused", reason="paused by a person")


def _sleeping(scene: Scene) -> None:
    claim = scene.held()
    scene.begin(claim, "sleep", 1, kind="sleep", wake_at=NOW)
    scene.release(claim, "sleeping", wake_at=NOW)
    _engines_stop(scene)


def _family(scene: Scene) -> None:
    """A parent that waits for its child, which sleeps and has one of its own."""
    claim = scene.held()
    scene.begin(claim, "child", 1, kind="child")
    scene.release(claim, "waiting")
    child = scene.submit(parent_id=1, parent_step="child", root_id=1)
    scene.submit(parent_id=child, parent_step="inner", root_id=1)
    _engines_stop(scene)


def _failed(scene: Scene) -> None:
    claim = scene.held()
    scene.begin(claim, "fetch", 1)
    scene.succeed(claim, "fetch")
    scene.begin(claim, "parse", 2)
    scene.fail(claim, "parse")
    scene.finish(claim, "failed", failed_steps=["parse"])
    _engines_stop(scene)


def _retried(scene: Scene) -> None:
    """A failed run that was given newer code, and is claimed again."""
    _failed(scene)
    store = scene.store
    scene.write(lambda: store.snapshots.put(NEWER_SNAPSHOT, scene.now))
    scene.write(lambda: store.runs.retry(1, scene.now, replay="newest", code=NEWER_SNAPSHOT.code))
    scene.claim(1)


def _orphaned(scene: Scene) -> None:
    """The runs of a dead engine: one of each kind that recovery treats in its own way."""
    engine, store = scene.engine(), scene.store
    for kind in ("free", "cancel", "pause", "block", "crashed"):
        run = scene.submit(options=HANDLER if kind == "crashed" else {})
        with store.transaction():
            store.runs.claim(run, engine, scene.now)
            if kind == "cancel":
                store.runs.request(run, "cancel", scene.now)
            if kind == "pause":
                store.runs.request(run, "pause", scene.now)
            if kind == "crashed":
                store.connection.write("UPDATE runs SET crashes = 9 WHERE id = :run", {"run": run})
        scene.begin(Claim(run, 1), "pay", 1, on_crash="block" if kind == "block" else "rerun")


def _registered(scene: Scene) -> None:
    scene.write(lambda: scene.store.workflows.add(WORKFLOW, scene.now))


# -- changes that take more than a line -----------------------------------------------------------------------------


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


MUTATIONS = (
    # a person's commands
    Mutation("submit", _nothing, lambda store: commands.submit(store, new_run(), NEWER_SNAPSHOT, NOW)),
    Mutation("submit with a key", _queued, lambda store: commands.submit(store, new_run(key="k"), SNAPSHOT, NOW)),
    Mutation(
        "submit a large input", _queued, lambda store: commands.submit(store, new_run(input=LARGE), SNAPSHOT, NOW)
    ),
    Mutation("cancel", _queued, lambda store: commands.cancel(store, 1, NOW)),
    Mutation("cancel a family", _family, lambda store: commands.cancel(store, 1, NOW)),
    Mutation("pause", _sleeping, lambda store: commands.pause(store, 1, NOW)),
    Mutation("resume", _paused, lambda store: commands.resume(store, 1, NOW)),
    Mutation("steal", _with_body, _steal),
    Mutation("retry", _failed, lambda store: commands.retry(store, 1, NOW, replay="newest", snapshot=NEWER_SNAPSHOT)),
    Mutation(
        "retry from a step", _failed, lambda store: commands.retry(store, 1, NOW, replay="pinned", from_step="fetch")
    ),
    Mutation("rerun", _failed, lambda store: commands.rerun(store, 1, NOW, NEWER_SNAPSHOT)),
    Mutation("workflows add", _nothing, _written(lambda store: store.workflows.add(WORKFLOW, NOW))),
    Mutation("workflows remove", _registered, _written(lambda store: store.workflows.remove("default", "digest"))),
    Mutation("backup", _failed, _backup),
    # engines
    Mutation("engine start", _queued, _start_engine),
    Mutation("engine retire", _with_body, lambda store: recovery.retire(store, 1, NOW)),
    Mutation("recovery", _orphaned, lambda store: recovery.recover_store(store, NOW)),
    Mutation("recovery, then cancel", _orphaned, lambda store: commands.cancel(store, 1, NOW), 2),
    # what an engine records
    Mutation("claim", _queued, _written(lambda store: store.runs.claim(1, 1, NOW))),
    Mutation("begin a step", _held, _written(lambda store: store.steps.begin(CLAIM, new_step("fetch", 1), NOW))),
    Mutation(
        "begin a large step",
        _held,
        _written(lambda store: store.steps.begin(CLAIM, new_step("fetch", 1, input=LARGE), NOW)),
    ),
    Mutation("next attempt", _with_failure, _written(lambda store: store.steps.start_attempt(CLAIM, "fetch", NOW))),
    Mutation("succeed", _with_body, _written(lambda store: store.steps.succeed(CLAIM, "fetch", "1", NOW))),
    Mutation("succeed with much", _with_body, _written(lambda store: store.steps.succeed(CLAIM, "fetch", LARGE, NOW))),
    Mutation("fail", _with_body, _written(lambda store: store.steps.fail(CLAIM, "fetch", error(), NOW))),
    Mutation(
        "fail an attempt",
        _with_body,
        _written(lambda store: store.steps.fail_attempt(CLAIM, "fetch", error(), NOW, NOW)),
    ),
    Mutation("interrupt", _with_body, _written(lambda store: store.steps.interrupt(CLAIM, NOW))),
    Mutation("append to the log", _with_body, _written(_log)),
    Mutation("sleep", _held, _written(_begin_sleep)),
    Mutation("suspend", _with_failure, _written(lambda store: store.runs.release(CLAIM, NOW, "sleeping", wake_at=NOW))),
    Mutation(
        "create a child",
        _held,
        _written(lambda store: store.runs.create(new_run(parent_id=1, parent_step="child", root_id=1), NOW)),
    ),
    Mutation("wake a parent", _family, _written(lambda store: store.runs.wake(1, NOW))),
    Mutation("finish", _held, _written(lambda store: store.runs.finish(CLAIM, NOW, "succeeded", output="1"))),
    Mutation("fail a run and retry it", _with_body, _written(_fail_and_retry)),
    Mutation("cancel a held run", _with_body, _written(_cancel_run)),
    Mutation("request", _held, _written(lambda store: store.runs.request(1, "pause", NOW))),
    # schedules
    Mutation("schedules add", _nothing, lambda store: schedules.add(store, SCHEDULE, NOW, {"PATH": "/bin"})),
    Mutation("schedules update", _scheduled, lambda store: schedules.update(store, OTHER_SCHEDULE, NOW)),
    Mutation("schedules remove", _scheduled, lambda store: schedules.remove(store, "default", ["tidy"], NOW)),
    Mutation("schedules pause", _scheduled, lambda store: schedules.pause(store, "default", "tidy", NOW)),
    Mutation("schedules resume", _paused_schedule, lambda store: schedules.resume(store, "default", "tidy", NOW)),
    Mutation("schedules trigger", _scheduled, lambda store: schedules.trigger(store, "default", "tidy", NOW)),
    Mutation(
        "schedules backfill", _scheduled, lambda store: schedules.backfill(store, "default", "tidy", [1_000], NOW)
    ),
    Mutation("a boot fires", _at_boot, lambda store: _tick(store, 0)),
    Mutation("another time zone", _elsewhere, lambda store: _tick(store, 0)),
    Mutation("a slot fires", _scheduled, lambda store: _tick(store, 1)),
    Mutation("a slot of a missing workflow", _orphaned_schedule, lambda store: _tick(store, 1)),
    Mutation("a run that waited is woken", _after_another, lambda store: _tick(store, 0)),
    Mutation("slots are caught up", _scheduled, lambda store: _tick(store, 30)),
    Mutation("take back code", _retried, _written(lambda store: store.runs.take_back_code(Claim(1, 2), NOW))),
)
