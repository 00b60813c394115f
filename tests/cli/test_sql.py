"""`flowctl sql`: what a person may ask, what he gets, and everything that is refused."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flowctl.core.instants import iso
from flowctl.core.model import Slot
from flowctl.store import Store
from tests.cli.conftest import Screen
from tests.conftest import Outcome
from tests.store.scene import Scene, error

MANY = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n{}) SELECT x FROM n"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A file with one run that succeeded, of two steps, and one whose second step failed twice."""
    with Store.open(tmp_path / "flow.db") as store:
        scene = Scene(store)
        claim = scene.held(workflow="hello", input='{"name":"Ann"}')
        for number, key in enumerate(("greet", "greet#2"), 1):
            scene.begin(claim, key, number)
            scene.succeed(claim, key)
        scene.finish(claim)
        claim = scene.held(workflow="fails")
        scene.begin(claim, "first", 1)
        scene.succeed(claim, "first")
        scene.begin(claim, "divide", 2)
        scene.write(lambda: store.steps.fail_attempt(claim, "divide", error(), scene.now, scene.now))
        scene.write(lambda: store.steps.start_attempt(claim, "divide", scene.now))
        scene.fail(claim, "divide")
        scene.finish(claim, "failed")
        yield scene


@pytest.fixture
def sql(quick: Callable[..., Outcome], scene: Scene) -> Callable[..., Outcome]:
    """Ask that file."""
    return lambda *words, code=0: quick("sql", *words, "--db", scene.store.path, code=code)


def test_a_query_over_runs_is_answered_as_json(sql: Callable[..., Outcome]) -> None:
    answer = sql("SELECT id, workflow, state, input ->> '$.name' AS name FROM runs ORDER BY id", "--json").json
    expected = [
        {"id": 1, "workflow": "hello", "state": "succeeded", "name": "Ann"},
        {"id": 2, "workflow": "fails", "state": "failed", "name": None},
    ]
    assert expected == answer


def test_the_views_have_every_attempt_once_the_last_ones_too(sql: Callable[..., Outcome]) -> None:
    answer = sql("SELECT run_id, key, attempt, state FROM attempts ORDER BY 1, 2, 3", "--json").json
    expected = [
        (1, "greet", 1, "succeeded"),
        (1, "greet#2", 1, "succeeded"),
        (2, "divide", 1, "failed"),
        (2, "divide", 2, "failed"),
        (2, "first", 1, "succeeded"),
    ]
    assert expected == [tuple(row.values()) for row in answer]


def test_each_instant_is_there_as_milliseconds_and_as_text(sql: Callable[..., Outcome]) -> None:
    (row,) = sql("SELECT created_at, created, finished - 0, wake FROM runs WHERE id = 1", "--json").json
    assert iso(row["created_at"]) == row["created"]
    assert row["wake"] is None


def test_a_payload_that_is_kept_apart_is_in_its_place(sql: Callable[..., Outcome], scene: Scene) -> None:
    large = json.dumps({"name": "x" * 300_000})
    claim = scene.held(input=large)
    scene.begin(claim, "fetch", 1, input=large)
    scene.finish(claim, output=large)
    query = "SELECT length(input ->> '$.name') AS i, length(output ->> '$.name') AS o FROM runs WHERE id = 3"
    assert [{"i": 300_000, "o": 300_000}] == sql(query, "--json").json
    query = "SELECT sum(length(input ->> '$.name')) AS total FROM steps WHERE run_id = 3"
    assert [{"total": 300_000}] == sql(query, "--json").json


def test_the_slots_have_the_name_of_their_schedule(
    sql: Callable[..., Outcome], quick: Callable[..., Outcome], scene: Scene
) -> None:
    quick("schedules", "add", "nightly", "--cron", "0 3 * * *", "--db", scene.store.path, "--", "true")
    scene.write(lambda: scene.store.schedules.fill(Slot(1, 5_000, "skipped", "overlap", None, 5_001)))
    expected = [{"schedule": "nightly", "due": "1970-01-01T00:00:05.000Z", "outcome": "skipped", "reason": "overlap"}]
    assert expected == sql("SELECT schedule, due, outcome, reason FROM slots", "--json").json


def test_the_events_tell_what_became_of_a_run(sql: Callable[..., Outcome]) -> None:
    answer = sql("SELECT state, time FROM events WHERE run_id = 1 ORDER BY id", "--json").json
    assert ["queued", "running", "succeeded"] == [row["state"] for row in answer]
    assert {"1970-01-01T00:16:40.000Z"} == {row["time"] for row in answer}


def test_a_table_is_aligned_and_says_null(sql: Callable[..., Outcome]) -> None:
    said = sql("SELECT id, workflow, finished_at - finished_at AS n, schedule FROM runs ORDER BY id").stdout
    assert "id  workflow  n  schedule\n 1  hello     0      null\n 2  fails     0      null\n" == said


def test_columns_of_one_name_are_told_apart(sql: Callable[..., Outcome]) -> None:
    assert [{"id": 1, "id_2": 2}] == sql("SELECT 1 AS id, 2 AS id", "--json").json


def test_bytes_are_hexadecimal_and_what_json_has_not_is_null(sql: Callable[..., Outcome]) -> None:
    assert [{"b": "00ff", "i": None}] == sql("SELECT x'00ff' AS b, -9e999 AS i", "--json").json


def test_n19_no_field_of_csv_is_taken_for_a_formula(sql: Callable[..., Outcome]) -> None:
    formulas = ["=cmd()", "+1", "-1+2", "@SUM(A1)", "\t=1", "\r=1", "\n=1"]
    values = ", ".join(f"({'||'.join(f'char({ord(char)})' for char in text)})" for text in formulas)
    said = sql(f'WITH v (text) AS (VALUES {values}) SELECT text, -5 AS "=n", 0.5 AS f FROM v', "--csv").stdout
    rows = list(csv.reader(io.StringIO(said)))
    assert ["text", "'=n", "f"] == rows[0]
    assert len(formulas) == len(rows) - 1
    assert {"'"} == {row[0][0] for row in rows[1:]}
    assert {("-5", "0.5")} == {tuple(row[1:]) for row in rows[1:]}


def test_csv_quotes_what_needs_it_and_leaves_null_empty(sql: Callable[..., Outcome]) -> None:
    said = sql("SELECT 'a,b' AS a, 'say \"hi\"' AS b, NULL AS c", "--csv").stdout
    assert 'a,b,c\n"a,b","say ""hi""",\n' == said
    assert "a\n" == sql("SELECT 1 AS a WHERE 0", "--csv").stdout


REFUSED = [
    "",
    "  -- nothing",
    "SELECT 1; SELECT 2",
    "selekt 1",
    "SELECT nope FROM runs",
    "SELECT * FROM nowhere",
    "SELECT ?",
    "SELECT :a",
    "SELECT json_extract('{', '$')",
    "SELECT zeroblob(100000000)",
    "SELECT CAST(x'ff' AS TEXT)",
    "DELETE FROM runs",
    "INSERT INTO main.events (at, subject, reason) VALUES (1, 'a', 'b')",
    "UPDATE main.runs SET reason = 'x'",
    "DROP VIEW runs",
    "DROP TABLE main.runs",
    "CREATE TEMP TABLE x (y)",
    "CREATE TABLE main.x (y)",
    "ATTACH 'x.db' AS x",
    "VACUUM",
    "VACUUM INTO 'x.db'",
    "REINDEX",
    "ANALYZE",
    "BEGIN IMMEDIATE",
    "SAVEPOINT x",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA query_only = OFF",
    "PRAGMA wal_checkpoint",
    "PRAGMA user_version = 7",
    "SELECT load_extension('x')",
    "SELECT text FROM environments",
    "SELECT text FROM main.sources",
    "SELECT value FROM meta",
    "SELECT sql FROM sqlite_schema",
    "WITH runs AS (SELECT text FROM main.environments) SELECT * FROM runs",
]  # fmt: skip


@pytest.mark.parametrize("query", REFUSED)
def test_n09_whatever_is_not_one_reading_query_over_the_views_is_refused_and_changes_nothing(
    sql: Callable[..., Outcome], tmp_path: Path, query: str
) -> None:
    before = sorted((path.name, path.read_bytes()) for path in tmp_path.glob("*.db"))
    outcome = sql(query, "--json", code=2)
    assert 2 == outcome.json["error"]["code"]
    assert 1 == len(outcome.json["error"]["message"].splitlines())
    assert before == sorted((path.name, path.read_bytes()) for path in tmp_path.glob("*.db"))


def test_a_query_that_takes_too_long_ends_with_exit_code_7(sql: Callable[..., Outcome]) -> None:
    outcome = sql(MANY.format(""), "--timeout", "0.1s", code=7)
    assert "was not answered within 0.1 s" in outcome.stderr
    sql(f"SELECT max(x) FROM ({MANY.format('')})", "--timeout", "0.1s", code=7)


def test_an_answer_that_would_fill_the_memory_is_refused(sql: Callable[..., Outcome]) -> None:
    large = "WITH RECURSIVE n (x) AS (SELECT zeroblob(9000000) UNION ALL SELECT x FROM n) SELECT x FROM n"
    assert "larger than 256 MB" in sql(large, code=2).stderr


def test_all_rows_come_unless_fewer_are_asked_for(sql: Callable[..., Outcome]) -> None:
    assert 1 + 3000 == len(sql(MANY.format(" LIMIT 3000")).stdout.splitlines())
    outcome = sql(MANY.format(" LIMIT 3000"), "--limit", "5")
    assert 1 + 5 == len(outcome.stdout.splitlines())
    assert "the first 5 rows; more with --limit" in outcome.stderr


def test_before_the_eyes_of_a_person_rows_and_cells_are_limited(
    scene: Scene, on_terminal: Callable[..., Screen]
) -> None:
    with on_terminal("sql", MANY.format(" LIMIT 3000"), "--db", "flow.db") as screen:
        assert "the first 1,000 rows" in screen.read_to_end()
    with on_terminal("sql", "SELECT printf('%.500c', 'x') AS wide", "--db", "flow.db") as screen:
        text = screen.read_to_end()
    assert "x" * 59 + "…" in text
    assert "x" * 60 not in text


def test_n11_what_a_terminal_would_obey_is_shown_and_not_obeyed(sql: Callable[..., Outcome]) -> None:
    query = "SELECT char(27) || '[2J' AS \"a\x1b[31m\""
    for words in ([], ["--csv"], ["--color", "always"]):
        assert "\x1b[2J" not in sql(query, *words).stdout
    assert [{"a\x1b[31m": "\x1b[2J"}] == json.loads(sql(query, "--json").stdout)
    assert "\x1b" not in sql(query, "--json").stdout


def test_csv_and_json_exclude_each_other(sql: Callable[..., Outcome]) -> None:
    assert "exclude each other" in sql("SELECT 1", "--csv", "--json", code=2).stderr


@pytest.mark.parametrize("view", ["steps", "attempts", "slots", "events"])
def test_the_columns_of_a_view_can_be_asked_for(sql: Callable[..., Outcome], view: str) -> None:
    assert "run_id" in {row["name"] for row in sql(f"PRAGMA table_info({view})", "--json").json}


def test_a_step_that_a_fork_shares_shows_what_its_source_has(sql: Callable[..., Outcome], scene: Scene) -> None:
    row = "run_id, seq, key, name, kind, state, attempt, first_attempt, input_crc, input_hash, output_crc, begun_at"
    scene.write(
        lambda: scene.store.connection.write(
            f"INSERT INTO steps ({row}, input, output, started_at, finished_at, on_crash, shared_id)"
            f" SELECT 2, 9, 'greet', name, kind, state, attempt, first_attempt, input_crc, input_hash, output_crc,"
            " begun_at, '', '', started_at, finished_at, on_crash, id FROM steps WHERE run_id = 1 AND key = 'greet'"
        )
    )
    answer = sql("SELECT input, output FROM steps WHERE key = 'greet'", "--json").json
    assert [{"input": '{"n":1}', "output": "1"}] * 2 == answer
