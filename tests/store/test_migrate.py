"""Migrations: a backup first, one transaction each, old or new and never between."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import apsw
import pytest

from flowctl.core.errors import UsageError
from flowctl.store import Store, migrate
from flowctl.store.queries import read_data
from tests.store.scene import Children, Scene

SECOND = """
ALTER TABLE workflows ADD COLUMN owner TEXT;
CREATE TABLE owners (name TEXT PRIMARY KEY) STRICT;
INSERT INTO owners VALUES ('me');
UPDATE runs SET tags = '{"migrated":"yes"}';
CREATE INDEX workflows_owner ON workflows (owner);
"""
THIRD = """
CREATE TABLE teams (name TEXT PRIMARY KEY) STRICT;
INSERT INTO teams SELECT name FROM owners;
"""


@pytest.fixture
def old(path: Path) -> Path:
    """A file of version 1 with a run in it."""
    with Store.open(path) as store:
        Scene(store).submit()
    return path


@pytest.fixture
def newer(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two more migrations, as a later release would bring."""
    first = read_data("migrations/0001_create_core.sql")
    texts = {"migrations/0002.sql": SECOND, "migrations/0003.sql": THIRD}
    prints = [migrate.fingerprint(migrate.objects_of(script)) for script in (first + SECOND, first + SECOND + THIRD)]
    later = tuple(migrate.Migration(n, f"000{n}.sql", p) for n, p in zip((2, 3), prints, strict=True))
    monkeypatch.setattr(migrate, "MIGRATIONS", migrate.MIGRATIONS[:1] + later)
    monkeypatch.setattr(migrate, "read_data", lambda name: texts.get(name) or read_data(name))
    monkeypatch.setattr(migrate, "schema_text", lambda: first + SECOND + THIRD)


def facts(path: Path | str) -> tuple[int, bool, bool, str]:
    """Return version, what each migration leaves, and the tags of the run, as another program sees them."""
    connection = apsw.Connection(str(path))
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema").fetchall()}
    version = connection.execute("PRAGMA user_version").fetchall()[0][0]
    tags = connection.execute("SELECT tags FROM runs").fetchall()[0][0]
    connection.close()
    return version, {"owners", "workflows_owner"} <= tables, "teams" in tables, tags


OLD = (1, False, False, "{}")
MIDDLE = (2, True, False, '{"migrated":"yes"}')
NEW = (3, True, True, '{"migrated":"yes"}')


@pytest.mark.usefixtures("newer")
def test_j15_an_older_file_is_backed_up_and_brought_up_to_date(old: Path) -> None:
    with Store.open(old, actor="ann: flowctl ls") as store:
        assert [] == store.check(full=True)
        (event,) = store.events.of_subject("database")
        assert ("migrated to version 3", "ann: flowctl ls") == (event.reason, event.actor)
    assert NEW == facts(old)
    backup = f"{old}.before-3"
    assert 0o600 == stat.S_IMODE(os.stat(backup).st_mode)
    assert OLD == facts(backup)


@pytest.mark.usefixtures("newer")
def test_j15_an_older_file_is_not_changed_by_a_reader(old: Path) -> None:
    with pytest.raises(UsageError) as caught:
        Store.open(old, read_only=True)
    assert "flowctl db migrate" in caught.value.hint
    assert OLD == facts(old)
    assert not Path(f"{old}.before-3").exists()


@pytest.mark.usefixtures("newer")
def test_j15_a_file_that_is_up_to_date_is_not_backed_up(old: Path) -> None:
    Store.open(old).close()
    os.unlink(f"{old}.before-3")
    Store.open(old).close()
    assert not Path(f"{old}.before-3").exists()


@pytest.mark.usefixtures("newer")
def test_j15_a_migration_that_fails_leaves_the_old_file(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = SECOND + "INSERT INTO owners VALUES ('me');"
    monkeypatch.setattr(migrate, "read_data", lambda name: broken)
    with pytest.raises(apsw.ConstraintError):
        Store.open(old)
    assert OLD == facts(old)


def die_before(number: int, path: Path) -> Any:
    """Return what opens the file and is killed before its statement of that number: BEGIN, COMMIT and all count."""

    def open_and_die() -> str:
        count = 0

        def trace(*_: Any) -> bool:
            nonlocal count
            count += 1
            if count == number:
                os.kill(os.getpid(), 9)
            return True

        apsw.connection_hooks.append(lambda connection: setattr(connection, "exec_trace", trace))
        Store.open(path).close()
        return "survived"

    return open_and_die


@pytest.mark.usefixtures("newer")
def test_j15_killed_at_any_statement_the_file_is_old_or_new_and_never_between(old: Path, children: Children) -> None:
    original, seen = old.read_bytes(), []
    for number in range(1, 200):
        for leftover in old.parent.glob("flow.db*"):
            leftover.unlink()
        old.write_bytes(original)
        old.chmod(0o600)
        if children.run(die_before(number, old)) == "survived":
            break
        seen.append(facts(old))
        assert seen[-1] in (OLD, MIDDLE, NEW)
        if seen[-1] != OLD:
            assert OLD == facts(f"{old}.before-3")
        with Store.open(old) as store:  # and the next one goes on from there
            assert [] == store.check(full=True)
        assert NEW == facts(old)
    assert {OLD, MIDDLE, NEW} == set(seen)
    assert len(seen) > 20


def test_j15_killed_at_any_statement_a_new_file_is_whole_or_not_there(path: Path, children: Children) -> None:
    seen = []
    for number in range(1, 200):
        if children.run(die_before(number, path)) == "survived":
            break
        seen.append(path.exists())
        with Store.open(path) as store:
            assert [] == store.check(full=True)
        for leftover in path.parent.glob("flow.db*"):
            leftover.unlink()
    assert {False, True} == set(seen)
    assert len(seen) > 20


@pytest.mark.usefixtures("newer")
def test_j16_ten_processes_that_start_at_once_migrate_once(old: Path, children: Children) -> None:
    def start() -> int:
        begun = 0

        def trace(_: Any, sql: str, __: Any) -> bool:
            nonlocal begun
            begun += "ALTER TABLE" in sql
            return True

        apsw.connection_hooks.append(lambda connection: setattr(connection, "exec_trace", trace))
        Store.open(old).close()
        return begun

    assert 1 == sum(children.race([start] * 10))
    assert NEW == facts(old)
    assert OLD == facts(f"{old}.before-3")
