"""The doorbell and the daemon's log, without a daemon."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.engine import journal
from flowctl.engine.doorbell import FOREIGN, KNOCK, RING, Doorbell, ring
from tests.conftest import ROOT


@pytest.fixture
def database(tmp_path: Path) -> Path:
    (tmp_path / "flow.db-engines").mkdir(mode=0o700)
    return tmp_path / "flow.db"


@pytest.fixture
def bell(database: Path) -> Iterator[Doorbell]:
    bell = Doorbell(database, "token")
    yield bell
    bell.close()


def test_who_rings_is_heard_by_every_process_that_listens(database: Path, bell: Doorbell) -> None:
    other = Doorbell(database, "other")
    ring(database)
    ring(database, KNOCK)
    for each in (bell, other):
        assert [each] == select.select([each], [], [], 0)[0]
        assert [RING, KNOCK] == each.answer()
        assert [] == each.answer()
    other.close()


def test_nobody_has_to_listen(database: Path) -> None:
    ring(database)
    ring(database.with_name("nowhere.db"))
    (Path(f"{database}-engines") / "dead.sock").touch()  # what a killed process leaves
    ring(database)


def test_a_bell_that_is_rung_too_often_does_not_hold_anybody_up(database: Path, bell: Doorbell) -> None:
    for _ in range(10_000):
        ring(database)
    assert {RING} == set(bell.answer())


def test_a_process_wakes_itself(bell: Doorbell) -> None:
    bell.wake()
    assert [bell.own] == select.select([bell.own], [], [], 0)[0]
    bell.hush()
    assert [] == select.select([bell.own], [], [], 0)[0]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_n03_who_rings_with_another_users_rights_is_known_as_a_stranger(
    tmp_path: Path, database: Path, bell: Doorbell
) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o001 == 0:
            folder.chmod(folder.stat().st_mode | 0o001)  # what keeps strangers out is taken away
    Path(f"{database}-engines").chmod(0o711)
    path = Path(f"{database}-engines") / "token.sock"
    path.chmod(0o666)
    source = """
        import os, socket, sys
        os.setgid(65534)
        os.setuid(65534)
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"changed", sys.argv[1])
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(source), str(path)], check=True)
    assert [FOREIGN] == bell.answer()


def test_n17_the_log_of_the_daemon_does_not_grow_without_bound(tmp_path: Path) -> None:
    """It is turned over in the process whose standard error it is."""
    path = tmp_path / "flow.db-daemon.log"
    source = f"""
        from pathlib import Path
        from flowctl.core.clock import SYSTEM_CLOCK
        from flowctl.engine import journal
        journal.LIMIT_BYTES = 20_000
        log = journal.Journal(SYSTEM_CLOCK, Path({str(path)!r}))
        for number in range(2_000):
            log.say(f"line {{number}} \\x1b[2J of many")
    """
    with path.open("ab") as log:
        words = [sys.executable, "-c", textwrap.dedent(source)]
        subprocess.run(words, stdout=log, stderr=log, check=True, cwd=ROOT)
    kept = sorted(tmp_path.glob("flow.db-daemon.log*"))
    assert ["flow.db-daemon.log", "flow.db-daemon.log.1"] == [each.name for each in kept]
    assert all(each.stat().st_size <= 20_100 for each in kept)
    assert 0o600 == path.stat().st_mode & 0o777
    lines = [line for each in reversed(kept) for line in each.read_text().splitlines()]
    assert "line 1999 \\x1b[2J of many" == lines[-1].partition(" ")[2]
    assert b"\x1b" not in kept[0].read_bytes()


def test_a_journal_survives_a_standard_error_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "write", _full)
    journal.Journal(SYSTEM_CLOCK).say("nobody reads this")


def _full(*_: object) -> int:
    raise OSError(28, "No space left on device")
