"""Retention: what was kept long enough goes, whole families at a time, and nothing that anybody still needs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import apsw
import pytest

from flowctl.core.errors import Busy, Conflict
from flowctl.core.keeping import DAY_MS, Retained
from flowctl.core.model import Claim, NewEngine, Queue
from flowctl.engine.retention import AGAIN_MS, AS_SET, Retention, Wanted, next_night, prune
from flowctl.store import Store
from flowctl.store.payloads import pack
from flowctl.store.unreferenced import Unreferenced
from tests.conftest import ROOT
from tests.store.scene import SNAPSHOT, Scene, new_run

SLOW = 0.02  # seconds that each look at the clock takes: a transaction gets one
CHILD = """
import sys
from flowctl.engine.retention import AS_SET, prune
from flowctl.store import Store
from tests.engine.test_retention import SLOW, Clock
with Store.open(sys.argv[1]) as store:
    for _ in prune(store, int(sys.argv[2]), AS_SET, Clock(SLOW)):
        pass
"""
LARGE_ERROR = '{"type":"E","message":"' + "x" * 300_000 + '"}'
LARGE = '"' + "x" * 300_000 + '"'


class Clock:
    """A clock that stands still, or takes so many seconds for each look."""

    def __init__(self, step: float = 0.0) -> None:
        self._monotonic, self._step = 0.0, step

    def now(self) -> int:
        return 0

    def monotonic(self) -> float:
        self._monotonic += self._step
        return self._monotonic

    def fraction(self) -> float:
        return 0.5


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "flow.db") as opened:
        yield opened


@pytest.fixture
def scene(store: Store) -> Scene:
    return Scene(store)


def done(scene: Scene, state: str = "succeeded", steps: int = 1, **fields: Any) -> int:
    """Record a finished run with steps, a failed attempt and a line of output each."""
    claim = scene.held(**fields)
    for number in range(1, steps + 1):
        scene.begin(claim, f"s{number}", number)
        with scene.store.transaction():
            scene.store.steps.fail_attempt(claim, f"s{number}", '{"type":"E","message":""}', scene.now, scene.now)
            scene.store.steps.start_attempt(claim, f"s{number}", scene.now)
        scene.succeed(claim, f"s{number}")
        log(scene, claim, f"s{number}")
    scene.finish(claim, state)
    return claim.run_id


def log(scene: Scene, claim: Claim, step: str) -> None:
    with scene.store.transaction():
        scene.store.connection.write(
            "INSERT INTO logs (run_id, step, at, stream, text) VALUES (:run, :step, 0, 'stdout', 'said')",
            {"run": claim.run_id, "step": step},
        )


def pruned(scene: Scene, wanted: Wanted = AS_SET, step: float = 0.0) -> int:
    """Prune, check that the file is sound, and return how many transactions and reads it took."""
    turns = sum(1 for _ in prune(scene.store, scene.now, wanted, Clock(step)))
    assert [] == scene.store.check(full=True)
    return turns


def runs(scene: Scene) -> list[int]:
    return [row[0] for row in scene.store.connection.rows("SELECT id FROM runs ORDER BY id")]


def count(scene: Scene, table: str) -> int:
    return int(scene.store.connection.value(f"SELECT count(*) FROM {table}"))


def test_a_run_goes_90_days_after_its_end_and_a_failed_one_after_180(scene: Scene) -> None:
    succeeded, failed, cancelled = done(scene), done(scene, "failed"), done(scene, "cancelled")
    scene.now += 90 * DAY_MS
    pruned(scene)
    assert [succeeded, failed, cancelled] == runs(scene)
    scene.now += 1
    pruned(scene)
    assert [failed] == runs(scene)
    scene.now += 90 * DAY_MS
    pruned(scene)
    assert [] == runs(scene)
    assert [0, 0, 0] == [count(scene, table) for table in ("steps", "attempts", "logs")]


def test_beyond_the_newest_runs_of_its_workflow_a_run_goes_unless_it_failed(scene: Scene) -> None:
    failed, *others = [done(scene, "failed"), done(scene), done(scene), done(scene)]
    other = done(scene, workflow="other")
    with scene.store.transaction():
        scene.store.retention.set(Retained("default", "digest", keep_runs=2), scene.now)
    pruned(scene)
    assert [failed, *others[1:], other] == runs(scene)
    with scene.store.transaction():
        assert scene.store.retention.reset("default", "digest")
        scene.store.retention.set(Retained("default", "digest", keep_runs=0), scene.now)
    pruned(scene)
    assert [failed, other] == runs(scene)


def test_a_workflow_has_settings_of_its_own_and_a_pruning_may_be_asked_for_other_ones(scene: Scene) -> None:
    done(scene), done(scene, "failed"), done(scene, workflow="other")
    with scene.store.transaction():
        scene.store.retention.set(Retained("default", "digest", keep_ms=DAY_MS), scene.now)
    scene.now += DAY_MS + 1
    pruned(scene)
    assert [2, 3] == runs(scene)
    scene.now += DAY_MS
    pruned(scene)
    assert [3] == runs(scene)
    pruned(scene, Wanted("elsewhere", keep_ms=0))
    pruned(scene, Wanted("default", "digest", keep_ms=0))
    assert [3] == runs(scene)
    pruned(scene, Wanted("default", "other", keep_ms=0))
    assert [] == runs(scene)


def test_j21_active_runs_stay_and_so_do_the_families_of_active_runs_and_what_a_waiting_run_waits_for(
    scene: Scene,
) -> None:
    queued, sleeping, gone = scene.submit(), scene.held(), done(scene)
    scene.release(sleeping, "sleeping", wake_at=scene.now + 500 * DAY_MS)
    parent, awaited = done(scene), done(scene)
    child = scene.submit(root_id=parent, parent_id=parent, parent_step="s1")
    later = scene.submit(after_id=awaited)
    scene.now += 400 * DAY_MS
    pruned(scene)
    assert [queued, sleeping.run_id, parent, awaited, child, later] == runs(scene)
    assert gone not in runs(scene)
    scene.finish(scene.claim(child))
    with scene.store.transaction():
        assert 1 == scene.store.runs.wake_after(scene.now)
    pruned(scene, Wanted(keep_ms=0))
    scene.now += 1
    pruned(scene, Wanted(keep_ms=0))
    assert [queued, sleeping.run_id, later] == runs(scene)


def test_j21_what_goes_on_again_in_the_meantime_may_not_go(scene: Scene) -> None:
    ended, queued, running = done(scene, "failed"), scene.submit(), scene.held()
    assert [True, False, False] == [scene.store.retention.may_go(each) for each in (ended, queued, running.run_id)]
    with scene.store.transaction():
        scene.store.runs.retry(ended, scene.now, replay="pinned")
    assert not scene.store.retention.may_go(ended)


def test_n18_other_writers_have_their_turn_in_the_middle_of_a_large_family(scene: Scene) -> None:
    large = done(scene, steps=250)
    scene.now += 100 * DAY_MS
    left = []
    for _ in prune(scene.store, scene.now, Wanted(), Clock(SLOW)):
        left.append(count(scene, "logs") + count(scene, "attempts") + count(scene, "steps"))
        with Store.open(scene.store.path, busy_timeout=0) as other, other.transaction():
            other.events.note("machine", "woke up", scene.now)
    assert [650, 550, 450, 350, 250, 150, 50, 0] == left[:8]
    assert large not in runs(scene)
    assert [] == scene.store.check()


def test_j21_a_family_that_is_half_gone_is_not_retried_and_goes_with_the_next_pruning(scene: Scene) -> None:
    failed = done(scene, "failed", steps=150)
    scene.now += 181 * DAY_MS
    batches = prune(scene.store, scene.now, Wanted(), Clock(SLOW))
    for _ in range(4):  # logs, attempts, and the first steps
        next(batches)
    batches.close()
    assert 0 < scene.store.steps.count(failed) < 150
    assert [] == scene.store.check()
    with pytest.raises(Conflict, match="is being pruned"), scene.store.transaction():
        scene.store.runs.retry(failed, scene.now, replay="pinned")
    scene.now -= 100 * DAY_MS  # even if it were not to go any more
    pruned(scene)
    assert [] == runs(scene)


def test_j21_a_pruning_that_is_killed_at_any_batch_leaves_a_sound_file_and_the_next_one_ends_it(
    tmp_path: Path,
) -> None:
    for number in range(1, 5):
        path = tmp_path / f"{number}.db"
        with Store.open(path) as store:
            scene = Scene(store)
            active = scene.held()
            done(scene, steps=60)
            done(scene, steps=60)
            now = scene.now + 91 * DAY_MS
        env = {**os.environ, "FLOWCTL_TESTING": "1", "FLOWCTL_FAILPOINT": f"prune-batch@{number}:kill"}
        child = subprocess.run([sys.executable, "-c", CHILD, path, str(now)], env=env, cwd=ROOT, check=False)
        assert -signal.SIGKILL == child.returncode
        with Store.open(path) as store:
            scene = Scene(store)
            scene.now = now
            assert [] == store.check(full=True)
            assert 3 >= len(runs(scene)) >= 1
            pruned(scene)
            assert [active.run_id] == runs(scene)
            assert store.runs.get(active.run_id).state == "running"


def test_two_never_prune_at_once(scene: Scene) -> None:
    batches = prune(scene.store, scene.now, Wanted(), Clock())
    next(batches)
    with pytest.raises(Busy, match="another process is pruning"):
        next(prune(scene.store, scene.now, Wanted(), Clock()))
    assert [] == [*batches][99:]
    pruned(scene)


def test_n18_a_pruning_makes_the_file_smaller(scene: Scene) -> None:
    for number in range(40):
        done(scene, input=LARGE.replace("x", "y", number), input_hash=bytes([number] * 16))
    scene.store.connection.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    before = os.path.getsize(scene.store.path)
    scene.now += 91 * DAY_MS
    pruned(scene)
    scene.store.connection.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    assert before > 12_000_000
    assert os.path.getsize(scene.store.path) < 500_000


def test_n18_an_older_file_whose_free_pages_cannot_be_given_back_is_pruned_too(tmp_path: Path) -> None:
    with Store.open(tmp_path / "flow.db") as store:
        raw = store.connection.raw
        raw.limit(apsw.SQLITE_LIMIT_ATTACHED, 1)  # VACUUM needs it
        raw.execute("PRAGMA auto_vacuum = NONE").fetchall()
        raw.execute("PRAGMA journal_mode = DELETE").fetchall()
        raw.execute("VACUUM").fetchall()
    with Store.open(tmp_path / "flow.db") as store:
        assert 0 == store.connection.value("PRAGMA auto_vacuum")
        scene = Scene(store)
        done(scene, input=LARGE)
        scene.now += 91 * DAY_MS
        pruned(scene)
        assert [] == runs(scene)


def test_payloads_code_and_environments_go_with_the_last_run_that_refers_to_them(scene: Scene) -> None:
    from flowctl.core.model import Snapshot

    other = Snapshot("c" * 64, "/flows/other.py", {"/flows/other.py": "other"})
    with scene.store.transaction():
        scene.store.snapshots.put(other, scene.now)
        environment = scene.store.environments.put({"A": "1"})
    first = done(scene, input=LARGE, code=other.code, environment=environment)
    second = done(scene, input=LARGE, workflow="kept")
    tables = ("payloads", "snapshots", "sources", "environments")
    pruned(scene, Wanted(workflow="digest", keep_runs=0))
    assert [second] == runs(scene)
    assert [1, 1, 1, 0] == [count(scene, table) for table in tables]
    assert LARGE == scene.store.runs.get(second).input
    pruned(scene, Wanted(keep_runs=0))
    assert [0, 0, 0, 0] == [count(scene, table) for table in tables]
    assert first < second


def _succeed(scene: Scene, claim: Claim) -> None:
    scene.succeed(claim, "late", LARGE)


def _begin(scene: Scene, claim: Claim) -> None:
    scene.begin(claim, "new", 2, input=LARGE)


def _fail(scene: Scene, claim: Claim) -> None:
    with scene.store.transaction():
        scene.store.steps.fail_attempt(claim, "late", LARGE_ERROR, scene.now, scene.now)


def _submit(scene: Scene, claim: Claim) -> None:
    scene.submit(input=LARGE)


def _finish(scene: Scene, claim: Claim) -> None:
    scene.succeed(claim, "late")
    scene.finish(claim, output=LARGE)


@pytest.mark.parametrize("change", [_succeed, _begin, _fail, _submit, _finish])
def test_a_payload_that_is_referred_to_again_in_the_middle_of_a_pruning_stays(scene: Scene, change: Any) -> None:
    done(scene, input=LARGE)
    running = scene.held(workflow="other")
    scene.begin(running, "late", 1)
    with scene.store.transaction():  # what failed attempts recorded, and nothing refers to now
        scene.store.payloads.spill(pack(LARGE_ERROR)[0], LARGE_ERROR)
    scene.now += 1
    with scene.store.retention.pruning():
        assert scene.store.retention.may_go(1)
        assert scene.store.retention.delete_run(1, 100)
    found = Unreferenced(scene.store.connection)
    assert [] != [*found.walk()]
    change(scene, running)
    with scene.store.retention.pruning():
        assert found.delete(lambda: False)
    assert [] == scene.store.check(full=True)
    assert 1 == count(scene, "payloads")


def test_variables_that_were_stored_for_a_run_that_is_about_to_be_made_stay(scene: Scene) -> None:
    with scene.store.transaction():
        scene.store.environments.put({"A": "1"})
    found = Unreferenced(scene.store.connection)
    assert [] == [*found.walk()]
    with scene.store.transaction():
        scene.store.environments.put({"A": "2"})
    with scene.store.retention.pruning():
        assert found.delete(lambda: False)
    assert [None, True] == [scene.store.environments.find({"A": each}) and True for each in ("1", "2")]


def test_b06_a_key_may_be_used_anew_once_its_run_was_pruned(scene: Scene) -> None:
    first = done(scene, key="K")
    with scene.store.transaction():
        assert (first, False) == scene.store.runs.create(new_run(key="K"), scene.now)
    pruned(scene, Wanted(keep_runs=0))
    with scene.store.transaction():
        scene.store.snapshots.put(SNAPSHOT, scene.now)
        assert (first + 1, True) == scene.store.runs.create(new_run(key="K"), scene.now)


def test_old_slots_messages_starts_engines_and_notes_go_too(scene: Scene) -> None:
    fill(scene.store)
    pruned(scene)
    before = [count(scene, table) for table in ("slots", "notices", "starts", "engines")]
    assert [1_000, 2, 1, 2] == before
    scene.now += 366 * DAY_MS
    pruned(scene)
    assert [0, 1, 0, 1] == [count(scene, table) for table in ("slots", "notices", "starts", "engines")]
    assert [] == scene.store.events.of_subject("machine")


def fill(store: Store) -> None:
    """Record a schedule with 1,200 slots, two messages of which one is not sent yet, two starts and two engines."""
    write = store.connection.write
    with store.transaction():
        write(
            "INSERT INTO schedules (namespace, name, kind, expression, zone, catch_up, catch_up_cap, overlap, input,"
            " options, directory, source, planned_to, created_at, changed_at) VALUES"
            " ('default', 'nightly', 'every', '1s', '', 'latest', 1, 'skip', '{}', '{}', '/', 'person', 0, 0, 0)"
        )
        write(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)"
            " INSERT INTO slots SELECT 1, i * 1000, 'skipped', 'overlap', NULL, 0 FROM n"
        )
        write(
            "INSERT INTO channels (id, namespace, name, kind, settings, created_at)"
            " VALUES (1, 'default', 'me', 'desktop', '{}', 0)"
        )
        for next_at in (None, 9):
            write(
                "INSERT INTO notices (channel_id, subject, kind, text, created_at, next_at)"
                " VALUES (1, 'run 1', 'failed', '', 0, :next_at)",
                {"next_at": next_at},
            )
        store.queues.set(Queue("default", "slow", rate=1, rate_ms=900_000), 0)
        write("INSERT INTO starts VALUES ('default', 'slow', 1, 7), ('default', 'slow', 200000, 8)")
        store.events.note("machine", "slept", 1)
        for token in ("one", "two"):
            engine = store.engines.start(NewEngine(token, "foreground", 1, "boot"), 0)
        store.engines.stop(engine, 1)


def made(scene: Scene) -> None:
    """Let the file be as old as the scene."""
    with scene.store.transaction():
        scene.store.connection.write("UPDATE meta SET value = :now WHERE key = 'created_at'", {"now": str(scene.now)})


def test_the_daemon_prunes_each_night_a_batch_a_turn(scene: Scene) -> None:
    done(scene)
    night = next_night(scene.now, scene.now + 1)
    assert 3 == datetime.fromtimestamp(night / 1000).hour
    made(scene)
    duty = Retention(scene.store, Clock())
    assert night == duty.tick(night - 1)
    now = night + 200 * DAY_MS
    turns = [duty.tick(now)]
    while turns[-1] < now + 1_000:
        turns.append(duty.tick(turns[-1]))
    assert len(turns) > 2
    assert [] == runs(scene)
    assert now == scene.store.retention.pruned_at()
    assert 3 == datetime.fromtimestamp(turns[-1] / 1000).hour
    assert now < turns[-1] <= now + DAY_MS


def test_a_pruning_that_the_file_is_too_busy_for_is_tried_again_in_a_minute(scene: Scene) -> None:
    now = scene.now + 200 * DAY_MS
    with Store.open(scene.store.path, busy_timeout=0) as store:
        made(scene)
        done(scene)
        duty = Retention(store, Clock())
        scene.store.connection.rows("BEGIN IMMEDIATE")
        assert now + AGAIN_MS == duty.tick(now)
        scene.store.connection.rows("ROLLBACK")
        while now < scene.now + 200 * DAY_MS + 3_000:
            now = duty.tick(now)
        assert [] == runs(scene)


def test_a_person_prunes_sets_and_shows_how_long_runs_are_kept(flowctl: Any, tmp_path: Path) -> None:
    for text in ("one", "two", "three"):
        flowctl("exec", "--name", "talk", "--", "echo", text)
    assert {"dry_run": True, "pruned": []} == flowctl("db", "prune", "--dry-run", "--json").json
    for way in ("--dry-run", "--yes"):
        said = flowctl("db", "prune", way, "--workflow", "tlak", code=4).stderr
        assert "there is no workflow tlak\n  did you mean talk?" in said
    flowctl("db", "retention", "talk", "--keep-runs", "2", "--keep", "30d")
    said = flowctl("db", "retention", "--json").json
    assert {"workflow": None, "keep_ms": 90 * DAY_MS, "keep_runs": 200, "keep_failed_ms": 180 * DAY_MS} == said[0]
    assert {"workflow": "talk", "keep_ms": 30 * DAY_MS, "keep_runs": 2, "keep_failed_ms": 60 * DAY_MS} == said[1]
    assert {"pruned": [{"workflow": "talk", "runs": 1}], "dry_run": True} == flowctl(
        "db", "prune", "--dry-run", "--json"
    ).json
    refused = flowctl("db", "prune", code=2)
    assert "nobody can be asked whether to delete 1 run of 1 workflow for good" in refused.stderr
    assert 3 == len(flowctl("ls", "--json").json)
    assert "1  talk" in flowctl("db", "prune", "--yes").stdout
    assert [3, 2] == [run["run"] for run in flowctl("ls", "--json").json]
    assert "nothing is to go" in flowctl("db", "prune").stderr
    assert 200 == flowctl("db", "retention", "talk", "--default", "--json").json[0]["keep_runs"]
    flowctl("db", "prune", "--keep", "0s", "--workflow", "talk", "--yes")
    assert [] == flowctl("ls", "--json").json
    assert flowctl("db", "check", "--full", "--json").json["ok"]
    flowctl("db", "retention", "--keep", "1d", code=2)
    flowctl("db", "retention", "talk", "--keep", "1d", "--default", code=2)
