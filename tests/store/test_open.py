"""Opening: what is created, what is refused untouched, and who may read it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import apsw
import pytest

from flowctl.core.errors import (
    Damaged,
    FlowctlError,
    NewerFile,
    NotFound,
    NotPermitted,
    UsageError,
)
from flowctl.store import Store, files, migrate
from flowctl.store.connection import Connection
from tests.store.scene import Children, Scene, claimable, new_run


def mode(path: Path | str) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def made(path: Path) -> Path:
    """Create a database with one run and close it."""
    with Store.open(path) as store:
        Scene(store).submit()
    return path


def sql(path: Path, script: str) -> None:
    """Do what flowctl never would, as another program."""
    connection = apsw.Connection(str(path))
    connection.execute(script).fetchall()
    connection.close()


def refused(path: Path, kind: type[FlowctlError]) -> FlowctlError:
    """Open a file that must be refused and left as it is, and return the reason."""
    before = path.read_bytes(), sorted(os.listdir(path.parent))
    with pytest.raises(kind) as caught:
        Store.open(path)
    assert before == (path.read_bytes(), sorted(os.listdir(path.parent)))
    assert caught.value.hint
    return caught.value


# -- what is created


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_n01_all_files_are_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    os.umask(umask)
    path = tmp_path / "state" / "flowctl" / "flow.db"
    with Store.open(path) as store:
        Scene(store).submit()
        store.backup(tmp_path / "copy.db")
        assert {0o600} == {mode(f"{path}{side}") for side in ("", "-wal", "-shm")}
    assert 0o600 == mode(tmp_path / "copy.db")
    assert {0o700} == {mode(path.parent), mode(path.parent.parent)}


def test_n01_a_copy_with_a_loose_mode_is_made_private_when_it_is_opened(path: Path) -> None:
    made(path).chmod(0o644)
    with Store.open(path) as store:
        Scene(store).submit()
        assert {0o600} == {mode(f"{path}{side}") for side in ("", "-wal", "-shm")}


def test_creating_leaves_nothing_but_the_database(path: Path) -> None:
    made(path)
    assert ["flow.db"] == [name for name in os.listdir(path.parent) if name != ".xdg"]


def test_a_new_file_has_an_identity_of_its_own(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as one, Store.open(tmp_path / "b.db") as other:
        assert 32 == len(one.file_id)
        assert one.file_id != other.file_id


def test_reading_a_missing_database_creates_nothing(path: Path) -> None:
    for options in ({"read_only": True}, {"create": False}):
        with pytest.raises(NotFound):
            Store.open(path, **options)
    assert not path.exists()


def test_the_log_of_a_database_that_is_gone_is_not_taken_for_a_new_one(path: Path) -> None:
    Path(f"{path}-wal").write_bytes(b"pages of another file")
    with pytest.raises(Damaged):
        Store.open(path)
    assert not path.exists()


def test_j16_ten_processes_that_start_at_once_create_one_database(path: Path, children: Children) -> None:
    def start() -> str:
        with Store.open(path) as store:
            Scene(store).submit()
            return store.file_id

    assert 1 == len(set(children.race([start] * 10)))
    with Store.open(path) as store:
        assert 10 == store.status()["counts"]["runs"]
        assert [] == store.check(full=True)


# -- what is refused


def test_j14_a_newer_file_is_refused_untouched(path: Path) -> None:
    sql(made(path), f"PRAGMA user_version = {migrate.latest() + 1}")
    reason = refused(path, NewerFile)
    assert 3 == reason.exit_code
    assert f"version {migrate.latest() + 1}" in reason.message


def test_j14_a_newer_file_is_refused_before_its_log_is_folded_in(path: Path, children: Children) -> None:
    def die_with_a_log() -> None:
        store = Store.open(path)
        store.connection.raw.execute(f"PRAGMA user_version = {migrate.latest() + 1}").fetchall()
        os.kill(os.getpid(), 9)

    assert -9 == children.run(die_with_a_log)
    log = Path(f"{path}-wal").read_bytes()
    assert log
    before = path.read_bytes()
    with pytest.raises(NewerFile):
        Store.open(path)
    assert (before, log) == (path.read_bytes(), Path(f"{path}-wal").read_bytes())


@pytest.mark.parametrize(
    "content", [b"", b"x", b"hello world\n" * 1_000, bytes(4_096), b"SQLite format 3\0" + b"x" * 4_080]
)
def test_j18_a_file_that_is_not_a_database_is_refused_untouched(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert 65 == refused(path, Damaged).exit_code


def test_j18_the_database_of_another_program_is_refused_untouched(path: Path) -> None:
    sql(path, "CREATE TABLE notes (text); INSERT INTO notes VALUES ('mine')")
    assert "not a flowctl database" in refused(path, Damaged).message


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_j18_a_truncated_database_is_refused(path: Path, share: float) -> None:
    size = made(path).stat().st_size
    os.truncate(path, int(size * share))
    refused(path, Damaged)


def test_what_cannot_be_opened_is_told_in_flowctls_words(tmp_path: Path) -> None:
    with pytest.raises(NotPermitted, match="cannot be opened or written"):
        Connection(str(tmp_path))
    with pytest.raises(FlowctlError, match="cannot use the folder"):
        files.check_folder(str(tmp_path / "gone"))


def test_j18_a_folder_is_not_a_database(path: Path) -> None:
    path.mkdir()
    with pytest.raises(Damaged):
        Store.open(path)


def test_j23_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    made(tmp_path / "real.db")
    (tmp_path / "link.db").symlink_to(tmp_path / "real.db")
    with pytest.raises(NotPermitted) as caught:
        Store.open(tmp_path / "link.db")
    assert str(tmp_path / "real.db") in caught.value.hint


def test_j23_a_dangling_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(NotPermitted):
        Store.open(tmp_path / "link.db")
    assert not (tmp_path / "elsewhere.db").exists()


def test_j23_a_file_with_two_names_is_refused(path: Path) -> None:
    os.link(made(path), path.with_name("second.db"))
    for name in (path, path.with_name("second.db")):
        with pytest.raises(NotPermitted):
            Store.open(name)


def test_j23_one_file_has_one_name_through_linked_folders(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with Store.open(tmp_path / "link" / "flow.db") as store:
        assert str(tmp_path / "real" / "flow.db") == store.path


def test_n02_a_folder_that_everybody_may_write_to_is_refused(path: Path) -> None:
    made(path)
    path.parent.chmod(0o777)
    with pytest.raises(NotPermitted) as caught:
        Store.open(path)
    assert "chmod o-w" in caught.value.hint
    path.parent.chmod(0o1777)  # sticky, as /tmp is: nobody else can replace our files
    Store.open(path).close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("name", [".", "flow.db", "flow.db-wal"])
def test_n02_what_belongs_to_somebody_else_is_refused(path: Path, name: str) -> None:
    made(path)
    target = path.parent / name
    if not target.exists():
        target.touch()
    os.chown(target, 12_345, 12_345)
    with pytest.raises(NotPermitted):
        Store.open(path)


def test_n02_a_link_where_the_log_should_be_is_refused(path: Path, tmp_path: Path) -> None:
    made(path)
    Path(f"{path}-wal").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotPermitted):
        Store.open(path)


PLANTED = [
    "CREATE TRIGGER planted AFTER INSERT ON runs BEGIN DELETE FROM meta; END",
    "CREATE VIEW planted AS SELECT load_extension('/tmp/x.so')",
    "CREATE TABLE planted (x)",
    "CREATE INDEX planted ON runs (reason)",
    "DROP TRIGGER steps_recorded",
    "DROP INDEX steps_key",
    "ALTER TABLE runs ADD COLUMN planted TEXT",
]


@pytest.mark.parametrize("script", PLANTED)
def test_n10_a_file_whose_schema_is_not_flowctls_is_refused_untouched(path: Path, script: str) -> None:
    sql(made(path), script)
    message = refused(path, Damaged).message
    assert any(name in message for name in ("planted", "steps_recorded", "steps_key", "runs"))


def test_n10_the_connection_trusts_nothing_in_the_file(store: Store) -> None:
    pragmas = {
        "trusted_schema": 0,
        "foreign_keys": 1,
        "recursive_triggers": 1,
        "cell_size_check": 1,
        "synchronous": 2,
        "journal_mode": "wal",
        "journal_size_limit": 16 * 1024 * 1024,
    }
    assert pragmas == {name: store.connection.value(f"PRAGMA {name}") for name in pragmas}
    raw = store.connection.raw
    assert 1 == raw.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, -1)
    assert 0 == raw.limit(apsw.SQLITE_LIMIT_ATTACHED)
    with pytest.raises(apsw.SQLError):
        raw.execute("SELECT load_extension('/tmp/x.so')").fetchall()
    with pytest.raises(apsw.SQLError):
        raw.execute("ATTACH '/tmp/x.db' AS other").fetchall()
    with pytest.raises(apsw.SQLError):
        raw.execute("PRAGMA writable_schema = ON; DELETE FROM sqlite_schema").fetchall()


# -- reading only


FORBIDDEN = [
    "INSERT INTO meta VALUES ('x', 'y')",
    "DELETE FROM runs",
    "CREATE TABLE x (y)",
    "CREATE TEMP TABLE x (y)",
    "DROP TABLE runs",
    "ATTACH ':memory:' AS other",
    "PRAGMA query_only = OFF",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA user_version = 9",
    "PRAGMA writable_schema = ON",
    "VACUUM",
    "ANALYZE",
    "REINDEX",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_n09_a_reading_connection_can_neither_write_nor_attach_nor_set(path: Path, statement: str) -> None:
    made(path)
    with Store.open(path, read_only=True) as store, pytest.raises(NotPermitted):
        store.connection.rows(statement)


def test_a_reader_answers_everything(path: Path) -> None:
    made(path)
    with Store.open(path, read_only=True) as store:
        with store.reading():
            assert 1 == store.runs.get(1).id
            assert [1] == claimable(store.runs, 2_000_000, limit=5)
        assert [] == store.check(full=True)
        assert {"queued": 1} == store.status()["states"]
        with pytest.raises(NotPermitted), store.transaction():
            store.runs.create(new_run(), 1)


def test_a_reader_sees_one_moment_until_it_is_done(path: Path) -> None:
    made(path)
    with Store.open(path) as writer, Store.open(path, read_only=True) as reader:
        with reader.reading():
            assert 1 == len(claimable(reader.runs, 2_000_000, limit=5))
            Scene(writer).submit()
            assert 1 == len(claimable(reader.runs, 2_000_000, limit=5))
        assert 2 == len(claimable(reader.runs, 2_000_000, limit=5))


@pytest.mark.parametrize("path", ["a\0b.db", "\udcff.db"])
def test_a_path_that_sqlite_cannot_take_is_a_wrong_argument(tmp_path: Path, path: str) -> None:
    with pytest.raises(UsageError):
        Store.open(os.path.join(tmp_path, path))
