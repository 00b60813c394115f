"""Whatever becomes of the file, of the terminal or of flowctl itself: a sentence, and it goes on when it can."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest
from textual.pilot import Pilot

from flowctl.store import Store, migrate
from flowctl.store.runs import Runs
from tests.conftest import ROOT
from tests.tui.conftest import PATIENCE_S, on_screen, seen, sees, until

WELL = "1 run"


@pytest.fixture
def one(db: str, flowctl: Callable[..., str]) -> str:
    """Return the path of a file with one run."""
    flowctl("exec", "-q", "--", "true")
    return db


def sql(db: str, text: str) -> None:
    with closing(apsw.Connection(db)) as connection:
        connection.execute(text).fetchall()


def trouble_and_back(db: str, make: Callable[[], object], mend: Callable[[], object], *said: str) -> None:
    """Look at a good file, make trouble, read of it, mend it, and see the screen go on."""

    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, WELL)
        make()
        await sees(pilot, "! ", *said)
        assert "succeeded" in seen(pilot.app)  # what was read stays
        mend()
        await until(pilot, lambda: not pilot.app.trouble)
        await sees(pilot, WELL)
        await until(pilot, lambda: "! " not in seen(pilot.app))

    on_screen(db, journey, size=(80, 24))


def refused_until(db: str, mend: Callable[[], object], *said: str) -> None:
    """Open the screen on a file that is refused, in each place, and see it go on when the file is mended."""

    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "! ", *said)
        for key in "QDER":
            await pilot.press(key)
            await sees(pilot, *said)
        mend()
        await sees(pilot, WELL)

    on_screen(db, journey, size=(80, 24))


def test_a_file_of_a_newer_flowctl(one: str) -> None:
    sql(one, f"PRAGMA user_version = {migrate.latest() + 1}")
    refused_until(one, lambda: sql(one, f"PRAGMA user_version = {migrate.latest()}"), "newer flowctl", "Update flowctl")


def test_a_file_of_an_older_flowctl(one: str, monkeypatch: pytest.MonkeyPatch) -> None:
    latest = migrate.latest()
    monkeypatch.setattr(migrate, "latest", lambda: latest + 1)
    refused_until(one, monkeypatch.undo, "older flowctl", "flowctl db migrate")


def test_a_file_that_is_no_database(one: str) -> None:
    kept = Path(one).read_bytes()
    Path(one).write_bytes(b"nothing of the kind" * 300)
    refused_until(one, lambda: Path(one).write_bytes(kept), "is not a flowctl database")


def test_a_file_with_a_second_name_is_not_permitted(one: str) -> None:
    os.link(one, f"{one}.second")
    refused_until(one, lambda: os.unlink(f"{one}.second"), "has a second name")


def test_a_file_that_is_locked(one: str) -> None:
    holder = apsw.Connection(one)

    def lock() -> None:
        holder.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
        holder.execute("BEGIN EXCLUSIVE").fetchall()

    holder.execute("SELECT count(*) FROM runs").fetchall()
    lock()
    refused_until(one, holder.close, "is locked by another process")


def test_a_file_that_is_moved_away_and_put_back(one: str) -> None:
    def move(there: str, here: str) -> None:
        for side in ("", "-wal", "-shm"):
            if os.path.exists(there + side):
                os.rename(there + side, here + side)

    trouble_and_back(
        one, lambda: move(one, f"{one}.away"), lambda: move(f"{one}.away", one), "does not exist", "what is shown is of"
    )


def test_a_file_that_is_replaced(one: str, flowctl: Callable[..., str]) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, WELL)
        for side in ("", "-wal", "-shm"):
            if os.path.exists(one + side):
                os.unlink(one + side)
        flowctl("exec", "-q", "--", "true")
        flowctl("exec", "-q", "--name", "another", "--", "true")
        await sees(pilot, "2 runs", "another")
        await until(pilot, lambda: "! " not in seen(pilot.app))

    on_screen(one, journey)


def test_a_defect_beside_the_screen_is_one_sentence_and_the_screen_goes_on(
    one: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("[red]\x1b[2J")

    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, WELL)
        monkeypatch.setattr(Runs, "numbers", broken)
        await pilot.press("f5")
        await sees(pilot, r"flowctl itself failed: KeyError: '[red]\x1b[2J'", "flowctl tui --debug shows more")
        await pilot.press("f5")
        monkeypatch.undo()
        with Store.open(one) as store, store.transaction():
            store.events.note("machine", "noted", 1)
        await pilot.press("E")
        await sees(pilot, "machine noted")
        assert 1 == len(pilot.app._notifications)

    on_screen(one, journey)


def test_a_read_of_rows_that_fails_is_told_as_trouble(one: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from flowctl.core.errors import Damaged

    def broken(*_: object) -> None:
        raise Damaged("the database is damaged: one page", "flowctl db check")

    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, WELL)
        monkeypatch.setattr(Runs, "lines", broken)
        await pilot.press("f5")
        await sees(pilot, "! the database is damaged: one page · flowctl db check")
        monkeypatch.undo()
        await sees(pilot, "✓ succeeded")

    on_screen(one, journey)


def test_a_terminal_that_is_too_small_is_told_of(one: str) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, WELL)
        await pilot.resize_terminal(50, 12)
        await sees(pilot, "the terminal has 50x12: 60x20 is the least")
        await pilot.resize_terminal(60, 20)
        await until(pilot, lambda: "60x20" not in seen(pilot.app))
        for key in "QDER":
            await pilot.press(key)
            await pilot.resize_terminal(20, 5)
            await pilot.resize_terminal(3, 2)
            await pilot.resize_terminal(60, 20)
        await sees(pilot, WELL, "✓ succeeded")

    on_screen(one, journey)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_it_with_the_terminal_as_it_was(
    one: str, on_terminal: Callable[..., Any], number: int, code: int
) -> None:
    with on_terminal("tui") as screen:
        screen.read_until(WELL)
        os.kill(screen.process.pid, number)
        screen.read_to_end()
        assert code == screen.process.wait(PATIENCE_S)
    assert all(restored in screen.written for restored in (b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?1000l"))


def test_it_ends_when_its_terminal_is_gone_although_nobody_tells_it(one: str, on_terminal: Callable[..., Any]) -> None:
    with on_terminal("tui") as screen:
        screen.read_until(WELL)
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, screen.master)
        os.close(nothing)
        assert 129 == screen.process.wait(PATIENCE_S)


DEFECT = """
from flowctl.tui.app import FlowctlApp

def broken(self):
    raise KeyError("defect")

FlowctlApp.action_keys = broken
"""


@pytest.mark.parametrize("debug", [False, True])
def test_a_defect_of_the_screen_itself_ends_it_with_a_sentence_and_a_traceback_only_when_asked(
    one: str, on_terminal: Callable[..., Any], tmp_path: Path, debug: bool
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(DEFECT)
    words = ["tui", "--debug"] if debug else ["tui"]
    with on_terminal(*words, PYTHONPATH=f"{tmp_path}/site:{ROOT}") as screen:
        screen.read_until(WELL)
        os.write(screen.master, b"?")
        while screen.read(0.1):
            pass
        assert 1 == screen.process.wait(PATIENCE_S)
    assert b"flowctl itself failed: KeyError: 'defect'" in screen.written
    assert debug == (b"Traceback" in screen.written)
    assert screen.written.index(b"\x1b[?1049l") < screen.written.index(b"flowctl itself failed")
