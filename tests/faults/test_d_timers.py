"""D. Timers: the longest sleeps, very many at once, and how late the due ones are."""

from __future__ import annotations

import os
from collections.abc import Callable
from math import inf
from pathlib import Path
from random import Random

from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.model import Claim, NewRun, Queue
from flowctl.engine.admission import Admission, Keys
from flowctl.engine.claiming import Role
from flowctl.engine.engine import Engine
from flowctl.engine.retention import Wanted, prune
from flowctl.engine.status import memory_of
from flowctl.engine.supervisor import Supervisor
from flowctl.store import Store
from flowctl.store.runs import Reach
from tests.faults.hosted import MovedClock, hosted
from tests.simulation.hosts import TURN_S
from tests.simulation.programs import Call, Program
from tests.simulation.stage import Stage, stage
from tests.simulation.supervision import ScriptedSupervisor
from tests.store.scene import Scene, new_run

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
SLEEPERS = 10_000
LIMIT = 40
TIMERS = 500
LATE_MS = 250

NAP = """
@step
def woken() -> str:
    note("woken")
    return "woken"

@workflow
def nap() -> str:
    sleep("90d")
    return woken()
"""


def test_d02_a_sleep_of_ninety_days_outlives_pruning_and_restarts(
    write: Callable[[str, str], Path], ledger: Callable[[], list[str]]
) -> None:
    clock = MovedClock()
    with hosted() as host:
        number = host.submit(write("nap.py", NAP))
        for days, state in ((0, "sleeping"), (45, "sleeping"), (89, "sleeping"), (90, "succeeded")):
            clock.offset = days * DAY_MS + (60_000 if days == 90 else 0)
            with Engine(host.store, Supervisor(), clock=clock) as engine:  # another process, as it were
                engine.drain()
            for _ in prune(host.store, clock.now(), Wanted(keep_ms=1, keep_runs=0), SYSTEM_CLOCK):
                pass
            if state == "sleeping":
                assert (state, []) == (host.store.runs.get(number).state, ledger())
        assert ["woken"] == ledger()
        assert [] == host.store.check(full=True)


def test_d10_ten_thousand_sleepers_that_are_due_at_once_keep_to_the_limit(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with Store.open(tmp_path / "flow.db") as store:
        scene = Scene(store)
        due = scene.now + HOUR_MS
        with store.transaction():
            store.queues.set(Queue("default", "mail", concurrency=LIMIT), scene.now)
            sleepers = [store.runs.create(new_run(queue="mail", wake_at=due), scene.now)[0] for _ in range(SLEEPERS)]
        engine, keys, begun = scene.engine(), Keys(store), list[int]()
        scene.now = due
        before = memory_of(os.getpid()) or 0
        while chosen := begin_due(scene, engine, keys):
            begun += chosen
            assert len(store.runs.running()) == len(chosen) <= LIMIT
            with store.transaction():
                for run in chosen:
                    store.runs.finish(Claim(run, 1), scene.now, "succeeded", output="1")
        assert sleepers == sorted(begun)
        assert (memory_of(os.getpid()) or 0) - before < 50_000_000


def begin_due(scene: Scene, engine: int, keys: Keys) -> list[int]:
    """Claim what may begin, as an engine with more room than the queue does; the rest lines up."""
    with scene.store.transaction():
        chosen = Admission(scene.store, scene.now, keys).choose(Reach(engine), 2 * LIMIT)
        for run in chosen:
            assert scene.store.runs.claim(run, engine, scene.now) is not None
        scene.store.runs.line_up(scene.now)
    return chosen


def test_d11_of_five_hundred_timers_next_to_none_is_late(tmp_path: Path) -> None:
    random = Random(11)
    with stage(tmp_path, [Program("main", {}, (Call("work"),))]) as scene:
        store, machine = scene.client.store, scene.machine
        first = store.runs.get(scene.submit("main"))
        due = {}
        for _ in range(TIMERS):
            wake_at = machine.clock.now() + HOUR_MS + random.randrange(60_000)
            new = NewRun(
                first.workflow, first.path, first.function, first.code, first.directory, first.input, first.input_hash,
                wake_at=wake_at,
            )  # fmt: skip
            with store.transaction():
                due[store.runs.create(new, machine.clock.now())[0]] = wake_at
        work(scene)
        late = sorted((store.runs.get(run).started_at or 0) - wake_at for run, wake_at in due.items())
    assert 0 <= late[0] <= late[TIMERS * 99 // 100] <= LATE_MS


def work(scene: Stage) -> None:
    """Let one engine, which never polls, work until nothing is left to do."""
    machine, heard = scene.machine, list[bool]()
    supervisor = ScriptedSupervisor(machine, "engine1", lambda _: None, lambda: heard.append(True))
    role = Role("daemon", poll_s=inf)
    with Engine(scene.client.store, supervisor, clock=machine.clock, role=role) as engine:
        engine.look_for_runs()
        while True:
            heard.clear()
            engine.listen(0.0)
            engine.tick()
            until = machine.clock.seconds + max(engine.timeout(), TURN_S)
            while not heard and (at := machine.agenda.next_at()) is not None and at <= until:
                machine.agenda.advance()
            if not heard and until == inf:
                return
            machine.clock.seconds = machine.clock.seconds if heard else until
