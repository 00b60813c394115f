"""Restoring a backup, and what the check of a file says of the newer tables."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowctl.core.errors import ClaimLost, Conflict, Damaged, NotFound, UsageError
from flowctl.core.model import Claim, NewEngine, Queue
from flowctl.store import Store
from flowctl.store.restore import restore
from tests.engine.living import add_schedule, add_slot, live_engine
from tests.store.scene import Scene

NOW = 1_800_000_000_000


def nobody() -> None:
    """Refuse nothing: no engine is alive."""


def backed_up(path: Path, action: Callable[[Scene], Any] = lambda scene: None) -> Path:
    """Make a file with a queued run, back it up, and do something more in the file."""
    backup = path.with_suffix(".backup")
    with Store.open(path) as store:
        scene = Scene(store)
        scene.submit()
        store.backup(backup)
        action(scene)
    return backup


def test_c10_no_claim_of_the_time_before_a_restoration_is_valid_again(tmp_path: Path) -> None:
    path = tmp_path / "flow.db"

    def claim_twice(scene: Scene) -> None:
        scene.release(scene.claim(1), "queued")
        scene.claim(1)

    backup = backed_up(path, claim_twice)
    done = restore(str(path), str(backup), nobody, NOW, "ann: flowctl db restore")
    assert (str(path), f"{path}.before-restore", 1) == done
    with Store.open(path) as store:
        scene = Scene(store)
        (event,) = store.events.of_subject("database")
        assert (NOW, f"restored from {backup}", "ann: flowctl db restore") == (event.at, event.reason, event.actor)
        assert (0, "queued") == (store.runs.get(1).epoch, store.runs.get(1).state)
        claim = scene.claim(1)
        assert claim.epoch > 2
        with pytest.raises(ClaimLost), store.transaction():
            store.runs.release(Claim(1, 2), scene.now, "queued")
        assert [] == store.check(full=True)
    with Store.open(f"{path}.before-restore") as before:
        assert 2 == before.runs.get(1).epoch
        assert [] == before.check(full=True)


def test_c10_epochs_begin_far_above_when_the_present_file_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "flow.db"
    backup = backed_up(path)
    path.write_bytes(b"ruined" * 1_000)
    restore(str(path), str(backup), nobody, NOW)
    assert b"ruined" * 1_000 == Path(f"{path}.before-restore").read_bytes()
    with Store.open(path) as store:
        assert Scene(store).claim(1).epoch > 1_000_000


def test_j20_a_restoration_is_refused_while_an_engine_works_and_possible_when_it_has_ended(
    flowctl: Any, tmp_path: Path
) -> None:
    path = tmp_path / "flow.db"
    backup = backed_up(path)
    with Store.open(path) as store:
        with live_engine(Scene(store)):
            refused = flowctl("--db", path, "db", "restore", backup, "--yes", code=5)
            assert "an engine works with" in refused.stderr
    flowctl("--db", path, "db", "restore", backup, code=2)  # nobody can be asked
    said = flowctl("--db", path, "db", "restore", backup, "--yes", "--json").json
    assert {"path": str(path), "kept_as": f"{path}.before-restore", "runs": 1} == said
    assert 0o600 == path.stat().st_mode & 0o777
    flowctl("--db", path, "db", "restore", backup, "--yes")
    assert Path(f"{path}.before-restore-2").exists()
    path.unlink()
    flowctl("--db", path, "db", "restore", backup)
    assert 1 == flowctl("--db", path, "db", "status", "--json").json["counts"]["runs"]
    left = {"flow.db", "flow.backup", "flow.db.before-restore", "flow.db.before-restore-2"}
    assert left == {each.name for each in tmp_path.glob("flow.*") if not each.name.startswith(("flow.db-", ".xdg"))}


def test_j20_an_engine_that_begins_meanwhile_is_seen_before_anything_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "flow.db"
    backup = backed_up(path)

    def refuse() -> None:
        raise Conflict("an engine works with it")

    before = path.read_bytes()
    with pytest.raises(Conflict):
        restore(str(path), str(backup), refuse, NOW)
    assert before == path.read_bytes()
    assert not Path(f"{path}.before-restore").exists()


def test_j20_a_backup_that_is_damaged_or_none_at_all_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "flow.db"
    backup = backed_up(path)
    before = path.read_bytes()
    bad, foreign, empty = tmp_path / "bad.db", tmp_path / "foreign.db", tmp_path / "empty.db"
    shutil.copy(backup, bad)
    connection = sqlite3.connect(bad)
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("DROP TRIGGER runs_input")
    connection.execute("UPDATE runs SET input = '{}'")
    connection.execute(
        "CREATE TRIGGER runs_input BEFORE UPDATE OF id, namespace, input, input_crc, input_hash, created_at ON runs"
        " BEGIN SELECT RAISE(ABORT, 'the input of a run does not change'); END"
    )
    connection.commit()
    connection.close()
    sqlite3.connect(foreign).execute("CREATE TABLE t (x)").connection.close()
    empty.touch()
    for each in (bad, foreign, empty):
        with pytest.raises(Damaged):
            restore(str(path), str(each), nobody, NOW)
    with pytest.raises(NotFound):
        restore(str(path), str(tmp_path / "nothing.db"), nobody, NOW)
    with pytest.raises(UsageError):
        restore(str(path), str(path), nobody, NOW)
    assert before == path.read_bytes()
    assert not Path(f"{path}.before-restore").exists()
    assert not Path(f"{path}.restoring").exists()


def test_j19_a_backup_of_a_file_that_is_written_to_is_whole_and_restores(tmp_path: Path) -> None:
    path = tmp_path / "flow.db"
    with Store.open(path) as store, Store.open(path) as other:
        scene, elsewhere = Scene(store), Scene(other)
        done = []
        for number in range(20):
            done.append(elsewhere.finish(elsewhere.held()).id)
            if number == 10:
                store.backup(tmp_path / "copy.db")
                known = list(done)
        assert 20 == len(scene.store.runs.family(0) or done)
    os.unlink(path)
    for side in ("-wal", "-shm"):
        Path(f"{path}{side}").unlink(missing_ok=True)
    assert 11 == restore(str(path), str(tmp_path / "copy.db"), nobody, NOW).runs
    with Store.open(path) as store:
        assert ["succeeded"] * 11 == [store.runs.get(run).state for run in known]


def test_runs_are_exported_as_json_lines_with_their_steps(flowctl: Any) -> None:
    import json

    for text in ("one", "two"):
        flowctl("exec", "--name", text, "--", "echo", text)
    lines = [json.loads(line) for line in flowctl("db", "export").stdout.splitlines()]
    assert [(2, "two"), (1, "one")] == [(line["run"], line["workflow"]) for line in lines]
    assert ["succeeded"] == [step["state"] for step in lines[0]["steps"]]
    assert lines[0]["finished_at"].endswith("Z")
    assert [1] == [json.loads(line)["run"] for line in flowctl("db", "export", "--workflow", "one").stdout.splitlines()]


# -- invariants of the newer tables


@pytest.fixture
def scene(tmp_path: Path) -> Any:
    with Store.open(tmp_path / "flow.db") as store:
        yield Scene(store)


def checks(scene: Scene) -> list[str]:
    return [each.check for each in scene.store.check()]


def test_a_slot_that_fired_a_run_of_another_schedule_is_found(scene: Scene) -> None:
    schedule = add_schedule(scene, next_at=scene.now)
    add_slot(scene, schedule, 1, "fired", run=scene.submit(schedule="nightly", due_at=1))
    add_slot(scene, schedule, 2, "fired", run=99)
    assert [] == checks(scene)
    add_slot(scene, schedule, 3, "fired", run=scene.submit())
    assert ["slots_of_runs"] == checks(scene)


def test_a_schedule_that_waits_for_a_decided_slot_is_found(scene: Scene) -> None:
    schedule = add_schedule(scene, next_at=scene.now)
    add_slot(scene, schedule, scene.now - 1, "skipped", "overlap")
    assert [] == checks(scene)
    add_slot(scene, schedule, scene.now, "skipped", "overlap")
    assert ["next_slot"] == checks(scene)


def test_a_queue_with_more_runs_than_it_allows_is_found_unless_its_limit_was_lowered(scene: Scene) -> None:
    def allow(concurrency: int) -> None:
        with scene.store.transaction():
            scene.store.queues.set(Queue("default", "default", concurrency=concurrency), scene.now)

    allow(2)
    scene.now += 1
    scene.held(), scene.held()
    assert [] == checks(scene)
    scene.now += 1
    allow(1)
    assert [] == checks(scene)
    scene.now += 1
    scene.held()
    assert ["queue_limits"] == checks(scene)


def test_a_run_that_is_reserved_for_an_engine_that_has_stopped_is_found(scene: Scene) -> None:
    with scene.store.transaction():
        engine = scene.store.engines.start(NewEngine("x", "foreground", 1, "boot"), scene.now)
    scene.submit(followed_by=engine)
    assert [] == checks(scene)
    with scene.store.transaction():
        scene.store.engines.stop(engine, scene.now)
    assert ["reserved_by_a_running_engine"] == checks(scene)
