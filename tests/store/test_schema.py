"""The schema: one text, reached by every road, that refuses nonsense."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import apsw
import pytest

from flowctl.core.errors import Conflict
from flowctl.store import Store, migrate
from flowctl.store.queries import read_data
from tests.store.scene import Scene, error


def migrated() -> str:
    return "".join(read_data(f"migrations/{migration.file}") for migration in migrate.MIGRATIONS)


def test_the_schema_equals_the_sum_of_the_migrations() -> None:
    assert migrate.objects_of(migrate.schema_text()) == migrate.objects_of(migrated())


def test_every_migration_names_the_fingerprint_of_the_schema_it_leaves() -> None:
    script = ""
    for migration in migrate.MIGRATIONS:
        script += read_data(f"migrations/{migration.file}")
        assert migration.fingerprint == migrate.fingerprint(migrate.objects_of(script))


def test_a_fresh_file_has_the_schema_of_schema_sql(store: Store) -> None:
    assert migrate.objects_of(migrate.schema_text()) == migrate.objects(store.connection)
    assert migrate.APPLICATION_ID == store.connection.value("PRAGMA application_id")
    assert migrate.latest() == store.connection.value("PRAGMA user_version")


def test_the_fingerprint_ignores_comments_and_white_space_and_nothing_else() -> None:
    plain = migrate.objects_of("CREATE TABLE a (b TEXT NOT NULL, c INT CHECK (c > 0)) STRICT;")
    spaced = migrate.objects_of("CREATE TABLE a (\n  b TEXT  NOT NULL, -- why\n  c INT CHECK (c > 0)\n) STRICT;")
    other = migrate.objects_of("CREATE TABLE a (b TEXT NOT NULL, c INT CHECK (c > 1)) STRICT;")
    assert migrate.fingerprint(plain) == migrate.fingerprint(spaced)
    assert migrate.fingerprint(plain) != migrate.fingerprint(other)


def test_every_table_is_strict(store: Store) -> None:
    tables = store.connection.raw.execute(
        "SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND type = 'table'"
    ).fetchall()
    assert [] == [name for name, strict in tables if not strict and not name.startswith("sqlite_")]


def test_run_numbers_are_never_reused(scene: Scene) -> None:
    assert 1 == scene.submit()
    with scene.store.transaction():
        scene.store.connection.write("DROP TRIGGER runs_kept")
        scene.store.connection.write("DROP TRIGGER events_kept")
        scene.store.connection.write("DELETE FROM events")
        scene.store.connection.write("DELETE FROM runs")
    assert 2 == scene.submit()


RUN_RULES = [
    "state = 'running', started_at = 1",  # without an engine
    "state = 'succeeded', output = '1', finished_at = 1",  # without a beginning
    "state = 'succeeded', started_at = 1, finished_at = 1",  # without an output
    "state = 'cancelled', started_at = 9, finished_at = 8",
    "output = '1'",  # before its end
    "error = '{}'",
    "dropped_at = 1",  # a failure that is none
    "state = 'sleeping'",  # without an instant
    "state = 'blocked'",  # without a reason
    "state = 'failed', finished_at = 1",  # without an error
    "state = 'cancelled'",  # without an end
    "state = 'paused', wake_at = 5",  # nobody looks for it
    "state = 'asleep'",
    "finished_at = 1",
    "attempt = 0",
    "crashes = -1",
    "tags = '[]'",
    "parent_id = 1",
    "request = 'stop'",
]


@pytest.mark.parametrize("change", RUN_RULES)
def test_a_run_whose_columns_contradict_each_other_is_refused(scene: Scene, change: str) -> None:
    scene.submit()
    with scene.store.transaction(), pytest.raises(apsw.ConstraintError, match="CHECK constraint failed"):
        scene.store.connection.write(f"UPDATE runs SET {change}")


STEP_RULES = [
    "output = '1'",  # before its end
    "error = '{}'",
    "shared_id = 1",
    "said_by = 'ada'",
    "state = 'succeeded', finished_at = started_at",
    "state = 'failed', finished_at = started_at",
    "state = 'cancelled'",
    "state = 'done', finished_at = started_at",
    "finished_at = started_at",
    "state = 'cancelled', finished_at = begun_at - 1",
    "attempt = 0",
]


@pytest.mark.parametrize("change", STEP_RULES)
def test_a_step_whose_columns_contradict_each_other_is_refused(scene: Scene, change: str) -> None:
    scene.begin(scene.held(), "fetch", 1)
    with scene.store.transaction(), pytest.raises(apsw.ConstraintError):
        scene.store.connection.write(f"UPDATE steps SET {change}")


@pytest.mark.parametrize(
    ("state", "error", "finished_at"),
    [("running", None, 1), ("failed", None, 1), ("cancelled", "{}", 1), ("succeeded", None, 1), ("cancelled", None, 0)],
)
def test_an_attempt_whose_columns_contradict_each_other_is_refused(
    scene: Scene, state: str, error: str | None, finished_at: int
) -> None:
    run = scene.submit()
    with scene.store.transaction(), pytest.raises(apsw.ConstraintError, match="CHECK constraint failed"):
        scene.store.connection.write(
            "INSERT INTO attempts (run_id, key, attempt, state, error, started_at, finished_at) "
            "VALUES (:run, 'fetch', 1, :state, :error, 1, :finished_at)",
            {"run": run, "state": state, "error": error, "finished_at": finished_at},
        )


BREAKER = "breakers (namespace, name, failures, window_ms, cooldown_ms, changed_at, state"


@pytest.mark.parametrize(
    "insertion",
    [
        "events (run_id, at, epoch, attempt) VALUES (1, 1, 0, 1)",  # without a state
        "events (run_id, at, state, attempt) VALUES (1, 1, 'queued', 1)",  # without an epoch
        "events (at, reason, subject, state) VALUES (1, 'stopped', 'daemon', 'queued')",  # of no run
        "events (at, reason, subject, epoch) VALUES (1, 'stopped', 'daemon', 0)",
        f"{BREAKER}, opened_at) VALUES ('default', 'mail', 5, 60000, 30000, 1, 'ajar', 1)",
        f"{BREAKER}, opened_at) VALUES ('default', 'mail', 5, 60000, 30000, 1, 'closed', 1)",
        f"{BREAKER}, opened_at) VALUES ('default', 'mail', 5, 60000, 30000, 1, 'half_open', 1)",  # without a probe
    ],
)
def test_an_event_or_a_breaker_whose_columns_contradict_each_other_is_refused(scene: Scene, insertion: str) -> None:
    scene.submit()
    with scene.store.transaction(), pytest.raises(apsw.ConstraintError, match="CHECK constraint failed"):
        scene.store.connection.write(f"INSERT INTO {insertion}")


def test_a_step_of_an_unknown_kind_is_refused(scene: Scene) -> None:
    claim = scene.held()
    with pytest.raises(apsw.ConstraintError):
        scene.begin(claim, "fetch", 1, kind="dance")


def test_no_list_is_built_to_check_the_columns_of_a_step(store: Store) -> None:
    change = "UPDATE steps SET kind = 'step', state = 'running', on_crash = 'rerun' WHERE id = 1"
    done = [opcode for _, opcode, *_ in store.connection.raw.execute(f"EXPLAIN {change}")]
    assert "TypeCheck" in done
    assert "OpenEphemeral" not in done


def finished(scene: Scene) -> None:
    claim = scene.held(input=f'"{"x" * 300_000}"')
    scene.begin(claim, "fetch", 1)
    scene.succeed(claim, "fetch", '"first"')
    scene.begin(claim, "parse", 2)
    scene.fail(claim, "parse")
    scene.finish(claim, "failed", failed_steps=["parse"])
    scene.finish(scene.held())


CHANGES = [
    "UPDATE steps SET output = '\"second\"' WHERE key = 'fetch'",
    "UPDATE steps SET state = 'cancelled', output = NULL WHERE key = 'fetch'",
    "UPDATE steps SET input = '{}' WHERE key = 'fetch'",
    "UPDATE steps SET finished_at = finished_at + 1",
    "UPDATE steps SET attempt = 2",
    "UPDATE steps SET superseded_at = 5, output = '2' WHERE key = 'fetch'",
    "DELETE FROM steps WHERE key = 'fetch'",
    "REPLACE INTO steps SELECT * FROM steps WHERE key = 'fetch'",
    "UPDATE attempts SET error = '{}'",
    "DELETE FROM attempts",
    "UPDATE runs SET output = '2' WHERE state = 'succeeded'",
    "UPDATE runs SET state = 'queued', output = NULL, finished_at = NULL, attempt = 2 WHERE state = 'succeeded'",
    "UPDATE runs SET error = '{}' WHERE state = 'failed'",
    "UPDATE runs SET state = 'queued', error = NULL, finished_at = NULL WHERE state = 'failed'",
    "UPDATE runs SET input = '{}'",
    "UPDATE runs SET id = id + 100",
    "DELETE FROM runs",
    "UPDATE events SET state = 'failed'",
    "DELETE FROM events",
    "UPDATE payloads SET text = ''",
    "DELETE FROM payloads",
    "UPDATE sources SET text = ''",
    "UPDATE snapshots SET path = ''",
]


@pytest.mark.parametrize("change", CHANGES)
def test_b10_what_is_recorded_does_not_change_by_sql_either(scene: Scene, change: str) -> None:
    finished(scene)
    with pytest.raises(Conflict), scene.store.transaction():
        scene.store.connection.write(change)


UNDER_WAY = [
    "UPDATE steps SET input = '{}' WHERE key = 'open'",
    "UPDATE steps SET progress = '{}' WHERE key = 'aside'",
    "UPDATE steps SET superseded_at = 10 WHERE key = 'aside'",
    "UPDATE steps SET progress = '{}' WHERE key = 'done'",
    "UPDATE signals SET value = '2'",
    "UPDATE signals SET taken_at = 10 WHERE taken_by IS NOT NULL",
    "DELETE FROM signals",
]


@pytest.mark.parametrize("change", UNDER_WAY)
def test_b10_what_is_recorded_of_a_run_under_way_does_not_change_by_sql_either(scene: Scene, change: str) -> None:
    claim = scene.held()
    for seq, key in enumerate(("open", "aside", "done"), 1):
        scene.begin(claim, key, seq)
    scene.succeed(claim, "done")
    scene.write(lambda: scene.store.connection.write("UPDATE steps SET superseded_at = started_at WHERE key = 'aside'"))
    for value in ("1", "true"):
        scene.write(lambda value=value: scene.store.signals.send(claim.run_id, "go", value, "ada", scene.now))
    first = scene.store.signals.oldest(claim.run_id, "go")
    assert first is not None
    scene.write(lambda: scene.store.signals.take(claim, first, "open", scene.now))
    with pytest.raises(Conflict), scene.store.transaction():
        scene.store.connection.write(change)


def test_b10_a_retry_may_set_a_recorded_step_aside_but_not_bring_it_back(scene: Scene) -> None:
    finished(scene)
    scene.write(lambda: scene.store.connection.write("UPDATE steps SET superseded_at = 9 WHERE key = 'fetch'"))
    with pytest.raises(Conflict), scene.store.transaction():
        scene.store.connection.write("UPDATE steps SET superseded_at = NULL WHERE key = 'fetch'")


def test_b07_a_run_has_one_final_event_for_each_attempt(scene: Scene) -> None:
    run = scene.finish(scene.held(), "failed", error=error("first"))
    scene.write(lambda: scene.store.runs.retry(run.id, scene.now, replay="newest"))
    scene.finish(scene.claim(run.id))
    events = [(event.attempt, event.state) for event in scene.store.events.of_run(run.id)]
    assert [(1, "queued"), (1, "running"), (1, "failed"), (2, "queued"), (2, "running"), (2, "succeeded")] == events


@pytest.mark.parametrize(
    ("fields", "change"),
    [
        ({"key": "today"}, "key = 'today'"),
        ({"parent_id": 1, "root_id": 1, "parent_step": "child"}, "parent_id = 1, root_id = 1, parent_step = 'child'"),
    ],
)
def test_no_two_runs_have_one_key_or_are_the_child_of_one_step(
    scene: Scene, fields: dict[str, Any], change: str
) -> None:
    scene.submit()
    scene.submit(**fields)
    other = scene.submit()
    with scene.store.transaction(), pytest.raises(apsw.ConstraintError, match="UNIQUE constraint failed"):
        scene.store.connection.write(f"UPDATE runs SET {change} WHERE id = {other}")


def test_every_change_of_state_and_every_new_hold_is_an_event(scene: Scene) -> None:
    run = scene.submit()

    def events() -> int:
        return int(scene.store.connection.value("SELECT count(*) FROM events WHERE run_id = :run", {"run": run}))

    with scene.store.transaction():
        scene.store.connection.write("UPDATE runs SET epoch = epoch + 1")
        assert 2 == events()
        scene.store.connection.write("UPDATE runs SET state = 'paused'")
        assert 3 == events()
        scene.store.connection.write("UPDATE runs SET state = 'paused', epoch = epoch, queue = 'mail'")
        assert 3 == events()


@pytest.mark.parametrize("ended", ["failed", "cancelled", "succeeded"])
@pytest.mark.parametrize(
    ("change", "allowed"),
    [
        ("state = 'queued', attempt = attempt + 1", {"failed", "cancelled"}),
        ("state = 'queued'", set()),
        ("state = 'queued', attempt = attempt + 2", set()),
        ("state = 'paused', attempt = attempt + 1", set()),
    ],
)
def test_a_run_that_has_ended_goes_on_as_another_attempt_or_not_at_all(
    scene: Scene, ended: Any, change: str, allowed: set[str]
) -> None:
    scene.finish(scene.held(), ended)
    cleared = "output = NULL, error = NULL, finished_at = NULL, failed_steps = '[]'"
    refused = pytest.raises(Conflict, match="a finished run does not change")
    with scene.store.transaction(), nullcontext() if ended in allowed else refused:
        scene.store.connection.write(f"UPDATE runs SET {change}, {cleared}")
