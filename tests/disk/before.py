"""How a file is before it is changed: one function for each, on a new file."""

from __future__ import annotations

from flowctl.core.clock import SystemClock
from flowctl.core.keeping import Retained
from flowctl.core.model import HELD_AT as HELD_AT
from flowctl.core.model import Claim, NewSchedule, NewWorkflow, Queue, Snapshot, code_of
from flowctl.core.notices import Channel, NewNotice, Standing
from flowctl.core.zones import local_zone_name
from flowctl.engine import schedules
from flowctl.engine.scheduler import Scheduler
from flowctl.store import Store
from flowctl.store.runs import Due
from tests.store.scene import SNAPSHOT, Scene, error

NOW = 2_000_000
CLAIM = Claim(1, 1)  # what `Scene.held` gives for the first run
SPILL_BYTES = 2_000  # what the sweep makes of the limit, so that a large payload takes few writes
LARGE = f'"{"x" * SPILL_BYTES}"'
NEWER = {"/flows/digest.py": "def digest(): return 2\n"}
NEWER_SNAPSHOT = Snapshot(code_of("/flows/digest.py", NEWER), "/flows/digest.py", NEWER)
WORKFLOW = NewWorkflow("digest", "/flows/digest.py", "digest", {}, {}, "", SNAPSHOT.code, "/flows")
SOON = 1_800_000_000_000  # schedules are not planned by a clock that was never set
SCHEDULE = NewSchedule("tidy", "cron", "* * * * *", '{"argv":["true"]}', "/work", zone="UTC")
CHANNEL = Channel(0, "default", "desk", "desktop", {}, None, 1, NOW)
NOTICE = NewNotice(1, "run 1", "failed", 1, "digest failed")
STANDING = Standing("run 1", "blocked", NOW, NOW)
MAIL = Queue("default", "mail", rate=1, rate_ms=60_000)
HANDLER = {"on_failure": {"workflow": "mourn", "path": "/flows/digest.py", "function": "mourn", "parameter": "failure"}}


class FrozenClock(SystemClock):
    """A clock that stands still, so that two goes write the same."""

    def now(self) -> int:
        return NOW


def tick(store: Store, minutes: int) -> None:
    """Let a scheduler look so many minutes later, at a time that it takes for one."""
    Scheduler(store, FrozenClock(), "boot-1").tick(SOON + minutes * 60_000)


def nothing(scene: Scene) -> None:
    pass


def at_home(scene: Scene, zone: str | None = None) -> None:
    with scene.store.transaction():
        scene.store.schedules.set_local_zone(zone or local_zone_name())


def scheduled(scene: Scene) -> None:
    at_home(scene)
    schedules.add(scene.store, SCHEDULE, SOON)


def elsewhere(scene: Scene) -> None:
    at_home(scene, "Nowhere")
    schedules.add(scene.store, SCHEDULE._replace(zone=""), SOON)


def at_boot(scene: Scene) -> None:
    at_home(scene)
    schedules.add(scene.store, SCHEDULE._replace(expression="@reboot"), SOON)


def after_another(scene: Scene) -> None:
    at_home(scene)
    scene.submit(schedule="tidy", after_id=9)  # which is gone


def paused_schedule(scene: Scene) -> None:
    scheduled(scene)
    schedules.pause(scene.store, "default", "tidy", SOON)


def orphaned_schedule(scene: Scene) -> None:
    at_home(scene)
    schedules.add(scene.store, SCHEDULE._replace(workflow="gone"), SOON)


def unarmed(scene: Scene) -> None:
    scheduled(scene)
    scene.write(lambda: scene.store.doctor.rearm(1, None))


def queued(scene: Scene) -> None:
    scene.submit()
    scene.engine()
    engines_stop(scene)


def engines_stop(scene: Scene) -> None:
    """So that no command finds an engine that it takes for dead."""
    with scene.store.transaction():
        for engine in scene.store.engines.running():
            scene.store.engines.stop(engine.id, scene.now)


def held(scene: Scene) -> None:
    scene.held()


def with_body(scene: Scene) -> None:
    scene.begin(scene.held(), "fetch", 1)


def with_failure(scene: Scene) -> None:
    """A step that waits for its next attempt."""
    with_body(scene)
    scene.write(lambda: scene.store.steps.fail_attempt(CLAIM, "fetch", error(), scene.now, scene.now))


def released(scene: Scene, state: str, **fields: object) -> None:
    scene.release(scene.held(), state, **fields)
    engines_stop(scene)


def paused(scene: Scene) -> None:
    released(scene, "paused", reason="paused by a person")


def sleeping(scene: Scene) -> None:
    claim = scene.held()
    scene.begin(claim, "sleep", 1, kind="sleep", wake_at=NOW)
    scene.release(claim, "sleeping", wake_at=NOW)
    engines_stop(scene)


def family(scene: Scene) -> None:
    """A parent that waits for its child, which sleeps and has one of its own."""
    claim = scene.held()
    scene.begin(claim, "child", 1, kind="child")
    scene.release(claim, "waiting")
    child = scene.submit(parent_id=1, parent_step="child", root_id=1)
    scene.submit(parent_id=child, parent_step="inner", root_id=1)
    engines_stop(scene)


def failed(scene: Scene) -> None:
    claim = scene.held()
    scene.begin(claim, "fetch", 1)
    scene.succeed(claim, "fetch")
    scene.begin(claim, "parse", 2)
    scene.fail(claim, "parse")
    scene.finish(claim, "failed", failed_steps=["parse"])
    engines_stop(scene)


def retried(scene: Scene) -> None:
    """A failed run that was given newer code, and is claimed again."""
    failed(scene)
    store = scene.store
    scene.write(lambda: store.snapshots.put(NEWER_SNAPSHOT, scene.now))
    scene.write(lambda: store.runs.retry(1, scene.now, replay="newest", code=NEWER_SNAPSHOT.code))
    scene.claim(1)


def orphaned(scene: Scene) -> None:
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


def registered(scene: Scene) -> None:
    scene.write(lambda: scene.store.workflows.add(WORKFLOW, scene.now))


def with_channel(scene: Scene) -> None:
    scene.write(lambda: scene.store.notices.add_channel(CHANNEL, scene.now))


def with_notice(scene: Scene) -> None:
    with_channel(scene)
    scene.write(lambda: scene.store.notices.add(NOTICE, scene.now, scene.now))
    scene.write(lambda: scene.store.notices.put_standing(1, STANDING))


def limited(scene: Scene) -> None:
    scene.submit(queue=MAIL.name)
    scene.write(lambda: scene.store.queues.set(MAIL, scene.now))


def kept(scene: Scene) -> None:
    scene.write(lambda: scene.store.retention.set(Retained("default", "digest", keep_runs=1), scene.now))


def outdated(scene: Scene) -> None:
    """Something of everything that retention deletes: a family of two among it."""
    with_notice(scene)
    scene.write(lambda: scene.store.notices.sent(1, scene.now))
    limited(scene)
    scene.write(lambda: scene.store.queues.begin(Due(1, "default", MAIL.name), 60_000, scene.now))
    claim = scene.claim(1)
    scene.begin(claim, "fetch", 1)
    scene.write(lambda: scene.store.steps.fail_attempt(claim, "fetch", error(), scene.now, scene.now))
    scene.write(lambda: scene.store.logs.append(1, "fetch", 1, scene.now, "stdout", None, "said"))
    child = scene.claim(scene.submit(parent_id=1, parent_step="child", root_id=1, input=LARGE))
    scene.finish(child)
    scene.fail(claim, "fetch")
    scene.finish(claim, "failed")
    engines_stop(scene)
    scheduled(scene)
    tick(scene.store, 1)  # a slot
