"""J07, N08: a file that somebody edited by hand is shown as far as it goes; nothing is raised and nothing is obeyed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.conftest import tries
from tests.fuzz.hostile import TEXTS
from tests.fuzz.test_fuzz_command_line import check_answer, here

LOOKS = (
    "ls", "ls --json", "ls --search x", "show 1", "show 1 --json --all", "show 4", "show 1 fetch", "logs 1",
    "logs 1 --json", "wait 1 2 3", "db check", "db status", "workflows list",
)  # fmt: skip
CHANGES = (
    "resume 5", "retry 2 --same-code", "retry 4 --same-code --detach", "rerun 4 --same-code", "cancel 4 5 --yes",
    "pause 5",
)  # fmt: skip
TABLES = ("runs", "steps", "attempts", "logs", "events", "engines", "payloads", "sources", "snapshots", "meta")
_TEXTS = TEXTS.map(lambda text: text.encode("utf-8", "replace").decode()) | st.sampled_from(
    [
        "[]",
        "{}",
        "null",
        '{"type":1,"message":[]}',
        '{"timeout_ms":"x"}',
        '{"a":{"b":1}}',
        "[" * 5000,
        '"' + "é" * 300,
        "NaN",
    ]
)
_INTEGERS = st.integers(-(1 << 63), (1 << 63) - 1) | st.sampled_from([-1, 0, 1, 1 << 53])
_VALUES: dict[str, Any] = {"TEXT": _TEXTS, "INTEGER": _INTEGERS, "BLOB": st.binary(max_size=20)}

__all__ = ["here"]  # the fixture


def _columns(path: Path) -> list[tuple[str, str, str]]:
    """Return table, name and type of every column that can be edited."""
    connection = apsw.Connection(str(path))
    found = [
        (table, str(name), str(kind))
        for table in TABLES
        for _, name, kind, *_ in connection.execute(f"PRAGMA table_info({table})").fetchall()
    ]
    connection.close()
    return found


def _edit(path: Path, table: str, column: str, value: Any) -> None:
    """Change a column of every row, as somebody might who knows better than constraints and triggers."""
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF").fetchall()
    triggers = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}").fetchall()
    connection.execute(f"UPDATE OR IGNORE {table} SET {column} = ?", (value,)).fetchall()
    for _, sql in triggers:
        connection.execute(str(sql)).fetchall()
    connection.close()


def test_j07_rows_that_were_edited_by_hand_never_raise(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = _columns(here / "template")
    edits = st.sampled_from(columns).flatmap(lambda each: st.tuples(st.just(each[:2]), _VALUES[each[2]]))

    @tries(50)
    @given(st.lists(edits, min_size=1, max_size=2), st.permutations(LOOKS), st.sampled_from(CHANGES))
    def look(changes: list[tuple[tuple[str, str], Any]], commands: list[str], change: str) -> None:
        for old in here.glob("flow.db*"):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        shutil.copy(here / "template", here / "flow.db")
        for (table, column), value in changes:
            _edit(here / "flow.db", table, column, value)
        for command in commands[:4]:
            check_answer(command.split(), monkeypatch)
        check_answer(change.split(), monkeypatch, internal=True)  # what it changes may not fit together any more

    look()
