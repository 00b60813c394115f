"""An open file: locked, moved, full or damaged under us; copied while it is in use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flowctl.core.errors import Busy, Conflict, Damaged, DiskTrouble, Moved, NotFound
from flowctl.store import Store, migrate
from tests.store.scene import Children, Scene, new_run


def test_a_locked_database_is_busy_and_not_an_error_of_ours(path: Path, scene: Scene) -> None:
    with Store.open(path, busy_timeout=20) as other, other.transaction():
        with Store.open(path, busy_timeout=20) as third, pytest.raises(Busy) as caught, third.transaction():
            pass
    assert 3 == caught.value.exit_code
    assert scene.submit() == 1


def test_another_connections_commit_shows_once(path: Path, scene: Scene) -> None:
    with Store.open(path) as other:
        other.changed()
        assert not other.changed()
        scene.submit()
        assert (True, False) == (other.changed(), other.changed())
        Scene(other).submit()
        assert not other.changed()


@pytest.mark.parametrize("name", ["flow.db", "flow.db-wal"])
@pytest.mark.parametrize("how", ["removed", "renamed", "replaced"])
def test_j08_j09_a_database_or_log_that_is_no_longer_there_is_noticed(
    path: Path, scene: Scene, name: str, how: str
) -> None:
    scene.submit()
    scene.store.check_moved()
    target = path.parent / name
    content = target.read_bytes() if name.endswith("-wal") else b"other"
    target.rename(path.parent / "away") if how == "renamed" else target.unlink()
    if how == "replaced":
        target.write_bytes(content)
    with pytest.raises(Moved):
        scene.store.check_moved()


def test_j02_a_file_that_may_not_grow_is_disk_trouble_and_nothing_is_half_written(
    path: Path, children: Children
) -> None:
    def fill() -> list[str]:
        import resource
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with Store.open(path) as store:
            scene = Scene(store)
            limit = os.stat(f"{path}-wal").st_size + 100_000
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            kinds = []
            for _ in range(20):
                try:
                    with store.transaction():
                        store.runs.create(new_run(input=f'"{"x" * 50_000}"'), scene.now)
                        store.runs.create(new_run(), scene.now)
                except DiskTrouble as trouble:
                    kinds.append(type(trouble).__name__)
                    assert not store.connection.raw.in_transaction
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            return kinds

    assert "DiskTrouble" in children.run(fill)
    with Store.open(path) as store:
        assert 0 == store.status()["counts"]["runs"] % 2
        assert [] == store.check(full=True)


def test_a_damaged_page_is_reported_as_damage(path: Path) -> None:
    with Store.open(path) as store:
        scene = Scene(store)
        for _ in range(50):
            scene.submit(input=f'"{"x" * 2_000}"')
        root = store.connection.value("SELECT rootpage FROM sqlite_schema WHERE name = 'runs'")
        page = store.connection.value("PRAGMA page_size")
    with open(path, "r+b") as file:
        file.seek((root - 1) * page)
        file.write(b"\xff" * 100)
    with Store.open(path) as store, pytest.raises(Damaged):
        store.runs.get(1)


def test_text_that_is_not_utf8_is_damage_and_not_a_crash(path: Path) -> None:
    with Store.open(path) as store:
        Scene(store).submit()
    content = path.read_bytes()
    assert 1 == content.count(b'{"top":5}')
    path.write_bytes(content.replace(b'{"top":5}', b'{"top":\xff}'))
    with Store.open(path) as store, pytest.raises(Damaged):
        store.runs.get(1)


# -- copies and facts


def test_a_backup_holds_every_committed_row_and_opens_clean(scene: Scene, tmp_path: Path) -> None:
    scene.submit(input=f'"{"x" * 300_000}"')
    copy = tmp_path / "copy.db"
    with Store.open(scene.store.path) as other, other.transaction():
        other.runs.create(new_run(), scene.now)  # not committed: not in the copy
        scene.store.backup(copy)
    scene.submit()
    with Store.open(copy) as restored:
        assert 1 == restored.status()["counts"]["runs"]
        assert scene.store.runs.get(1) == restored.runs.get(1)
        assert [] == restored.check(full=True)
    assert not Path(f"{copy}.partial").exists()


def test_a_backup_overwrites_nothing(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    for target in (tmp_path / "precious", scene.store.path):
        with pytest.raises(Conflict):
            scene.store.backup(target)
    assert "kept" == (tmp_path / "precious").read_text()


def test_a_backup_to_a_missing_folder_says_so(scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        scene.store.backup(tmp_path / "missing" / "copy.db")


def test_the_status_counts(scene: Scene) -> None:
    claim = scene.held()
    scene.begin(claim, "fetch", 1)
    scene.submit()
    facts = scene.store.status()
    assert {"runs": 2, "steps": 1, "events": 3, "logs": 0} == facts["counts"]
    assert {"queued": 1, "running": 1} == facts["states"]
    assert (scene.store.path, migrate.latest()) == (facts["path"], facts["user_version"])
    assert facts["size"] > 0
    assert facts["wal_size"] > 0
