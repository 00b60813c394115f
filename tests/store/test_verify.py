"""The check of a whole file: nothing to say of a sound one, and each fault found by name."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from flowctl.store import Store, verify
from flowctl.store.connection import Connection
from tests.store.scene import Scene, error


def lived(scene: Scene) -> None:
    """Fill a file with something of everything."""
    done = scene.held(input=f'"{"x" * 300_000}"')
    scene.begin(done, "fetch", 1)
    scene.succeed(done, "fetch")
    scene.begin(done, "parse", 2)
    scene.write(lambda: scene.store.steps.fail_attempt(done, "parse", error(), scene.now, scene.now))
    scene.write(lambda: scene.store.steps.start_attempt(done, "parse", scene.now))
    scene.fail(done, "parse")
    scene.finish(done, "failed", failed_steps=["parse"])
    scene.write(lambda: scene.store.runs.retry(done.run_id, scene.now, replay="newest"))
    done = scene.claim(done.run_id)
    scene.begin(done, "parse", 2)
    scene.succeed(done, "parse")
    scene.finish(done)
    parent = scene.held()
    scene.begin(parent, "child", 1, kind="child")
    scene.submit(parent_id=parent.run_id, root_id=parent.run_id, parent_step="child")
    scene.release(parent, "waiting")
    asleep = scene.held()
    scene.begin(asleep, "sleep", 1, kind="sleep", wake_at=scene.now + 9)
    scene.release(asleep, "sleeping", wake_at=scene.now + 9)
    scene.begin(scene.held(), "fetch", 1)
    stopped = scene.held()
    scene.begin(stopped, "stopped", 1)
    scene.write(lambda: scene.store.steps.interrupt(stopped, scene.now))
    scene.write(lambda: scene.store.steps.start_attempt(stopped, "stopped", scene.now))
    scene.write(lambda: scene.store.steps.cancel(stopped, scene.now))
    scene.finish(stopped, "cancelled")
    fork = scene.submit(forked_from=done.run_id, forked_step="parse")
    scene.write(lambda: scene.store.steps.share(done.run_id, fork, 2))


def test_a_file_that_has_lived_is_sound(scene: Scene) -> None:
    lived(scene)
    assert [] == scene.store.check()
    assert [] == scene.store.check(full=True, now=scene.now)
    assert [] == scene.store.verify()


FAULTS = [  # what another program might do, and the check that finds it
    ("shared_steps", "UPDATE steps SET shared_id = 99 WHERE shared_id IS NOT NULL", "run 7 step fetch"),
    ("shared_steps", "UPDATE steps SET seq = 2 WHERE shared_id IS NOT NULL", "run 7 step fetch"),
    ("payloads", "UPDATE steps SET output_crc = 5 WHERE shared_id IS NOT NULL", "run 7 step fetch output"),
    ("payloads", "UPDATE steps SET output = '2' WHERE run_id = 1 AND key = 'fetch'", "run 1 step fetch output"),
    ("payloads", "UPDATE steps SET output_crc = NULL WHERE run_id = 1 AND key = 'fetch'", "run 1 step fetch output"),
    ("payloads", "UPDATE runs SET output = NULL, state = 'cancelled' WHERE id = 1", "run 1 output"),
    ("payloads", "UPDATE attempts SET error = '{}' WHERE key = 'parse' AND attempt = 1", "run 1 step parse attempt 1"),
    ("payloads", "UPDATE payloads SET text = text || ' '", "run 1 input"),
    ("payloads", "DELETE FROM payloads", "run 1 input"),
    ("sources", "UPDATE sources SET text = text || ' '", "source "),
    ("missing_sources", "DELETE FROM sources", ""),
    ("foreign_keys", "PRAGMA foreign_keys = OFF; UPDATE steps SET run_id = 99 WHERE run_id = 1", "steps row"),
    ("no_holes", "UPDATE steps SET seq = 7 WHERE run_id = 1 AND key = 'parse'", "run 1"),
    ("final_is_final", "UPDATE steps SET state = 'running', output = NULL, output_crc = NULL, finished_at = NULL"
     " WHERE run_id = 1 AND key = 'fetch'", "run 1 step fetch"),
    ("attempts_in_a_row", "DELETE FROM attempts WHERE attempt = 1", "run 1 step parse"),
    ("attempts_in_a_row", "UPDATE steps SET attempt = 9 WHERE key = 'sleep'", "run 4 step sleep"),
    ("failure_recorded", "DELETE FROM attempts WHERE attempt = 2", "run 1 step parse"),
    ("held_by_a_running_engine", "UPDATE engines SET stopped_at = 5", "run 5"),
    ("families", "UPDATE runs SET root_id = 1 WHERE id = 3", "run 3"),
    ("families", "UPDATE runs SET parent_id = 4 WHERE id = 3", "run 3"),
    ("failure_recorded", "DELETE FROM attempts WHERE key = 'stopped'", "run 6 step stopped"),
    ("final_is_final", "UPDATE steps SET state = 'interrupted', finished_at = NULL WHERE key = 'stopped'", "run 6"),
    ("one_after_the_other", "UPDATE steps SET started_at = 5 WHERE key = 'sleep'", "run 4 step sleep"),
    ("one_after_the_other", "UPDATE steps SET finished_at = begun_at, started_at = begun_at + 1 WHERE key = 'stopped'",
     "run 6 step stopped"),
    ("woken", "UPDATE steps SET wake_at = 5 WHERE key = 'stopped'", "run 6 step stopped"),
    ("attempts_of_steps", "UPDATE attempts SET key = 'other' WHERE key = 'stopped'", "run 6 step other"),
    ("interruptions_counted", "UPDATE steps SET crashes = 2 WHERE key = 'stopped'", "run 6 step stopped"),
    ("interruptions_counted", "DELETE FROM attempts WHERE state = 'interrupted'", "run 6 step stopped"),
    ("waiting_for_something", "UPDATE runs SET state = 'cancelled', finished_at = 2000000 WHERE id = 3", "run 2"),
    ("audit_log", "DELETE FROM events WHERE run_id = 5 AND state = 'running'", "run 5"),
    ("audit_log", "UPDATE runs SET epoch = 9 WHERE id = 5; DELETE FROM events WHERE epoch = 9", "run 5"),
    ("audit_begins", "DELETE FROM events WHERE run_id = 5 AND state = 'queued'", "run 5"),
    ("audit_moves", "UPDATE events SET epoch = 0 WHERE run_id = 1 AND state = 'failed'", "run 1"),
    ("audit_moves", "UPDATE events SET epoch = 9 WHERE run_id = 1 AND state = 'queued' AND attempt = 2", "run 1"),
    ("audit_moves", "UPDATE events SET attempt = 1 WHERE run_id = 1", "run 1"),
    ("audit_moves", "DELETE FROM events WHERE run_id = 1 AND attempt = 2 AND state = 'running'", "run 1"),
    ("future", "UPDATE runs SET changed_at = 90000000 WHERE id = 4", "run 4"),
    ("future", "UPDATE steps SET started_at = 90000000 WHERE key = 'sleep'", "run 4 step sleep"),
    ("future", "UPDATE events SET at = 90000000 WHERE run_id = 5", "run 5"),
    ("application_id", "PRAGMA application_id = 7", ""),
    ("user_version", "PRAGMA user_version = 7", ""),
    ("journal_mode", "PRAGMA journal_mode = DELETE", ""),
    ("schema", "CREATE TABLE planted (x)", "table planted"),
    ("schema", "DROP INDEX runs_state", "index runs_state"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "script", "subject"), FAULTS, ids=[f"{name} {n}" for n, (name, *_) in enumerate(FAULTS)]
)
def test_each_fault_is_found_by_its_check(path: Path, name: str, script: str, subject: str) -> None:
    with Store.open(path) as store:
        lived(Scene(store))
    other = apsw.Connection(str(path))
    other.create_scalar_function("actor", lambda: None, 0, flags=apsw.SQLITE_INNOCUOUS)
    triggers = other.execute(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND name <> 'runs_changed'"
    ).fetchall()
    for trigger, _ in triggers:
        other.execute(f"DROP TRIGGER {trigger}").fetchall()
    other.execute(script).fetchall()
    for _, sql in triggers:
        other.execute(sql).fetchall()
    other.close()
    connection = verify.Connection(str(path))  # what is not flowctl's would not be opened by the store
    findings = verify.check(connection, full=True, now=1_000_000)
    connection.close()
    assert any(name == finding.check and finding.subject.startswith(subject) for finding in findings), findings
    assert all(finding.message for finding in findings)


@pytest.mark.parametrize("name", ["one_outcome", "one_place"])
def test_j06_two_current_rows_of_one_step_are_found_when_the_index_is_gone(path: Path, name: str) -> None:
    with Store.open(path) as store:
        lived(Scene(store))
    other = apsw.Connection(str(path))
    other.create_scalar_function("actor", lambda: None, 0, flags=apsw.SQLITE_INNOCUOUS)
    other.execute("DROP INDEX steps_key; DROP INDEX steps_seq; DROP TRIGGER steps_recorded").fetchall()
    other.execute("UPDATE steps SET superseded_at = NULL").fetchall()
    other.close()
    connection = verify.Connection(str(path))
    found = {finding.check: finding.subject for finding in verify.check(connection, full=False)}
    connection.close()
    assert "run 1 step parse" == found[name]


@pytest.mark.parametrize("full", [False, True])
def test_j06_a_damaged_page_is_a_finding_and_not_an_error(path: Path, full: bool) -> None:
    with Store.open(path) as store:
        scene = Scene(store)
        for _ in range(50):
            scene.submit(input=f'"{"x" * 2_000}"')
        root = store.connection.value("SELECT rootpage FROM sqlite_schema WHERE name = 'runs'")
        page = store.connection.value("PRAGMA page_size")
    with open(path, "r+b") as file:
        file.seek((root - 1) * page)
        file.write(b"\xff" * 100)
    with Store.open(path) as store:
        checks = {finding.check for finding in store.check(full)}
    assert {"pages", "payloads"} <= checks


def test_only_the_full_check_compares_an_index_with_its_table(path: Path) -> None:
    with Store.open(path) as store:
        lived(Scene(store))
        root = store.connection.value("SELECT rootpage FROM sqlite_schema WHERE name = 'runs_workflow'")
        page = store.connection.value("PRAGMA page_size")
    content = path.read_bytes()
    start = (root - 1) * page
    index = content[start : start + page].replace(b"digest", b"digesu")
    path.write_bytes(content[:start] + index + content[start + page :])
    with Store.open(path) as store:
        assert [] == [finding for finding in store.check() if finding.check == "pages"]
        assert "pages" in {finding.check for finding in store.check(full=True)}


def test_n01_files_that_others_may_read_are_found(scene: Scene) -> None:
    os.chmod(scene.store.path, 0o640)
    os.chmod(scene.store.path + "-wal", 0o604)
    os.link(scene.store.path, scene.store.path + ".second")
    found = [(Path(finding.subject).name, finding.message[:13]) for finding in scene.store.check()]
    assert [("flow.db", "has mode 0640"), ("flow.db", "is not a file"), ("flow.db-wal", "has mode 0604")] == found


@pytest.mark.parametrize(
    ("name", "index", "script", "subject"),
    [
        ("one_key", "runs_key", "UPDATE runs SET key = 'nightly' WHERE id > 4", "run 7"),
        (
            "one_child",
            "runs_child",
            "UPDATE runs SET parent_id = 2, parent_step = 'child' WHERE id = 4",
            "run 2 step child",
        ),
    ],
)
def test_b05_two_runs_where_one_may_be_are_found_when_the_index_is_gone(
    path: Path, name: str, index: str, script: str, subject: str
) -> None:
    with Store.open(path) as store:
        lived(Scene(store))
    other = apsw.Connection(str(path))
    other.create_scalar_function("actor", lambda: None, 0, flags=apsw.SQLITE_INNOCUOUS)
    other.execute(f"DROP INDEX {index}; {script}").fetchall()
    other.close()
    connection = verify.Connection(str(path))
    found = {finding.check: finding.subject for finding in verify.check(connection, full=False)}
    connection.close()
    assert subject == found[name]


def test_j13_a_log_that_has_grown_out_of_bounds_is_found(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "_LONGEST_LOG", 1000)
    assert ["log_size"] == [finding.check for finding in scene.store.check()]


def test_j01_a_disk_without_room_for_the_log_is_found(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    found = os.statvfs(scene.store.path)
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result([*found[:4], 0, *found[5:]]))
    assert ["free_space"] == [finding.check for finding in scene.store.check()]


def test_ctrl_c_ends_a_check_although_much_is_left(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    pressed, begun = threading.Event(), []

    def first(_: Connection) -> Iterator[verify.Finding]:
        if threading.current_thread() is threading.main_thread():
            pressed.set()
            raise KeyboardInterrupt
        pressed.wait()
        yield from ()

    def later(_: Connection) -> Iterator[verify.Finding]:
        begun.append(time.sleep(0.05))
        yield from ()

    checks = {"first": first, "second": first} | {f"later {number}": later for number in range(100)}
    monkeypatch.setattr(verify, "_checks", lambda *_: checks)
    with pytest.raises(KeyboardInterrupt):
        scene.store.check()
    assert len(begun) < 50
