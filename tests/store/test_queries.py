"""Named SQL: every block is used, planned and prepared once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import flowctl.store
from flowctl.store import Store
from flowctl.store.queries import load, parse, read_data

FOLDER = Path(flowctl.store.__file__).parent
NOUNS = sorted(file.stem for file in FOLDER.glob("*.sql"))
# What is searched without an index, as for a max(), is scanned too.
HOT = re.compile(r"SCAN (?!\(|CONSTANT|meta|engines|workflows|payloads|sources|snapshots)|SEARCH \w+$")
BLOCKS = [(noun, name) for noun in NOUNS for name in load(noun)]
JSON_PARAMETERS = {"tags": "{}"} | dict.fromkeys(("keys", "failed", "engines", "due", "schedules", "workflows"), "[]")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One empty file for all: nothing here changes it."""
    with Store.open(tmp_path_factory.mktemp("queries") / "flow.db") as opened:
        yield opened


def parameters(sql: str, number: int) -> dict[str, Any]:
    texts = {"namespace", "name", "key", "workflow", "search", "search_json", "state", "step", "hash", "token", "code"}
    values: dict[str, Any] = dict.fromkeys(re.findall(r":([a-z_]+)", sql), number)
    values |= dict.fromkeys(values.keys() & texts, f"text {number}")
    return values | {name: JSON_PARAMETERS[name] for name in values.keys() & JSON_PARAMETERS.keys()}


def comments(noun: str, name: str) -> str:
    """Return the comments of a block, which the loader leaves out."""
    found = re.search(rf"^-- name: {name}$\n((?:-- .*\n)*)", read_data(f"{noun}.sql"), re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(("noun", "name"), BLOCKS)
def test_f09_no_block_scans_a_table_that_grows_unless_its_comment_says_why(store: Store, noun: str, name: str) -> None:
    sql = load(noun)[name]
    plan = [row[3] for row in store.connection.rows(f"EXPLAIN QUERY PLAN {sql}", parameters(sql, 1))]
    scans = [line for line in plan if HOT.match(line) and "VIRTUAL TABLE" not in line]
    assert [] == scans or "-- plan: " in comments(noun, name), plan


@pytest.mark.parametrize(
    ("noun", "name", "place"),
    [
        ("runs", "find_state", "runs_state (namespace=? AND state=?"),
        ("runs", "numbers_state", "runs_state (namespace=? AND state=?"),
        ("runs", "claimable_family", "runs_root (root_id=? AND state=?"),
        ("runs", "next_wake_family", "runs_root (root_id=? AND state=?"),
        ("runs", "family_moves", "runs_root (root_id=? AND state=?"),
        ("steps", "replaced", "steps_superseded (run_id=? AND key=?"),
    ],
)
def test_f09_the_state_is_looked_up_in_the_index_so_that_finished_runs_and_steps_cost_nothing(
    store: Store, noun: str, name: str, place: str
) -> None:
    sql = load(noun)[name]
    plan = [row[3] for row in store.connection.rows(f"EXPLAIN QUERY PLAN {sql}", parameters(sql, 1))]
    assert any(place in line for line in plan), plan


# Not the index: FTS5 prepares statements of its own, each time anew where a transaction was undone before.
@pytest.mark.parametrize(("noun", "name"), [block for block in BLOCKS if block[0] not in ("verify", "search")])
def test_no_block_is_compiled_again_at_each_execution(store: Store, noun: str, name: str) -> None:
    prepared: list[int] = []

    def count(action: int, *_: object) -> int:
        prepared.append(action)
        return 0

    sql, raw = load(noun)[name], store.connection.raw
    raw.authorizer = count
    raw.execute("PRAGMA foreign_keys = OFF").fetchall()
    for number in (1, 2, 3):
        prepared.clear()
        raw.execute("SAVEPOINT attempt").fetchall()
        prepared.clear()
        try:
            raw.execute(sql, parameters(sql, number)).fetchall()
        except Exception:  # noqa: BLE001 - whether the row is accepted is not the question
            assert raw.in_transaction
        seen = len(prepared)
        raw.execute("ROLLBACK TO attempt").fetchall()
        raw.execute("RELEASE attempt").fetchall()
    raw.authorizer = None
    assert 0 == seen


@pytest.mark.parametrize(("noun", "name"), BLOCKS)
def test_every_block_is_used(noun: str, name: str) -> None:
    source = (FOLDER / f"{noun}.py").read_text()
    assert re.search(rf'"{name}"', source) or (noun == "store" and f"count_{name[6:]}" == name)


@pytest.mark.parametrize(("noun", "name"), BLOCKS)
def test_parameters_are_named_and_never_positional(noun: str, name: str) -> None:
    assert "?" not in load(noun)[name]


def test_a_part_stands_in_for_its_text() -> None:
    text = "-- part: guard\nepoch = :epoch\n\n-- name: one\n-- said to the reader\nSELECT 1 WHERE {guard}\n"
    assert {"one": "SELECT 1 WHERE epoch = :epoch"} == parse(text)


def test_the_store_is_imported_without_what_is_slow_or_dangerous() -> None:
    script = "import sys, flowctl.store; print(*sys.modules, sep='\\n')"
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COV")}  # coverage loads sqlite3
    command = [sys.executable, "-c", script]
    loaded = subprocess.run(command, env=plain, capture_output=True, text=True, check=True).stdout.split()
    unwanted = {
        "apsw.ext",
        "apsw.bestpractice",
        "sqlite3",
        "importlib.resources",
        "asyncio",
        "logging",
        "tempfile",
        "rich",
    }
    assert set() == unwanted & set(loaded)
    assert {"apsw", "flowctl.store.runs"} <= set(loaded)
