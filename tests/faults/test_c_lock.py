"""C09: the lock of an engine belongs to its process alone, whatever else that process starts."""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path

from flowctl.core.model import EngineRow
from flowctl.engine.claim import EngineLock, boot_id, engine_alive, lock_path


def _row(pid: int = 1, boot: str = "", stopped_at: int | None = None) -> EngineRow:
    return EngineRow(1, "token", "foreground", pid, boot or boot_id(), 1, stopped_at, [], None)


def test_c09_a_process_that_inherits_what_it_can_does_not_keep_the_lock(tmp_path: Path) -> None:
    database = tmp_path / "flow.db"
    lock = EngineLock(database, "token")
    assert engine_alive(database, _row())
    heir = subprocess.Popen(["sleep", "60"], close_fds=False)  # as code that knows nothing of descriptors would
    try:
        os.close(lock._fd)  # what the kernel does at the engine's death
        assert not engine_alive(database, _row())
    finally:
        heir.kill()
        heir.wait()


def test_c09_looking_whether_an_engine_is_alive_leaves_nothing_open(tmp_path: Path) -> None:
    database = tmp_path / "flow.db"
    lock = EngineLock(database, "token")
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        assert engine_alive(database, _row())
    assert before == os.listdir("/proc/self/fd")
    lock.release()


def test_c08_an_engine_is_dead_once_it_has_stopped_or_the_machine_has_booted_or_its_lock_is_gone(
    tmp_path: Path,
) -> None:
    database = tmp_path / "flow.db"
    assert not engine_alive(database, _row())
    lock = EngineLock(database, "token")
    assert engine_alive(database, _row())
    assert not engine_alive(database, _row(stopped_at=2))
    assert not engine_alive(database, _row(boot="another boot"))
    lock.release()
    assert not lock_path(database, "token").exists()
    assert not engine_alive(database, _row())


def test_c08_two_who_ask_at_once_do_not_take_each_other_for_the_engine(tmp_path: Path) -> None:
    database = tmp_path / "flow.db"
    os.close(EngineLock(database, "token")._fd)
    asking = os.open(lock_path(database, "token"), os.O_RDWR)
    fcntl.flock(asking, fcntl.LOCK_SH)
    assert not engine_alive(database, _row())
    os.close(asking)


def test_n01_the_lock_is_a_private_file_in_a_private_folder(tmp_path: Path) -> None:
    lock = EngineLock(tmp_path / "flow.db", "token")
    path = lock_path(tmp_path / "flow.db", "token")
    assert (0o600, 0o700) == (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777)
    lock.release()
