"""J01: on a full disk nothing is lost or half, supervision goes on, and a person is told in a sentence."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.config import default_database
from flowctl.core.errors import DiskTrouble
from flowctl.core.model import Run
from flowctl.engine import commands, families
from flowctl.engine.claim import EngineLock
from flowctl.store import Store
from tests.cli.conftest import let_notice
from tests.faults.conftest import Bench, alive
from tests.faults.hosted import hosted, summary, trouble

MB = 1 << 20
DISK = 16 * MB
ROOM = 3 * MB  # what is free at first
STEPS = 30
FILLING = """
@step
def page(n: int) -> str:
    note(str(n))
    return str(n) * (100_000 // len(str(n)))

@workflow
def filling() -> int:
    return sum(len(page(n)) > 0 for n in range(100, 130))
"""


@contextmanager
def tmpfs(folder: Path, size: int) -> Iterator[Path]:
    """Put a disk of that many bytes at a folder."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a tmpfs, the small disk of this test")
    folder.mkdir()
    options = f"size={size},mode=0700"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def ballast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Keep the database on a small disk, and return the file that takes most of its space."""
    with tmpfs(tmp_path / "small", DISK) as disk:
        monkeypatch.setenv("XDG_STATE_HOME", str(disk))
        heavy = disk / "ballast"
        heavy.write_bytes(bytes(DISK - ROOM))
        yield heavy


def _until_full(bench: Bench, disk: Path) -> None:
    """Wait until not a page is left, and nothing is recorded any more."""
    bench.wait_for(lambda: shutil.disk_usage(disk).free == 0)
    assert 1 < len(bench.ledger()) < STEPS


def test_j01_a_run_that_fills_the_disk_ends_with_74_when_told_to_and_goes_on_when_there_is_room(
    ballast: Path, bench: Bench
) -> None:
    process = bench.spawn("run", bench.write("filling.py", FILLING))
    _until_full(bench, ballast.parent)

    refused = bench.flowctl("exec", "--detach", "--", "true", *["x" * 100_000] * 5, code=DiskTrouble.exit_code)
    process.send_signal(signal.SIGINT)
    let_notice(process)  # of two signals that come at once, a process gets one
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()

    assert refused.stderr.startswith("flowctl: the disk is full: ")
    assert process.returncode == DiskTrouble.exit_code
    assert "flowctl: the disk is full: nothing more can be written to" in said
    assert "Traceback" not in said
    with bench.store() as store:
        assert {each.check for each in store.check(full=True)} <= {"free_space"}
        recorded = [step.output for step in store.steps.of_run(1) if step.state == "succeeded"]
    before = bench.ledger()
    assert len(recorded) in (len(before) - 1, len(before))
    ballast.unlink()
    assert bench.flowctl("resume", 1).json == STEPS
    assert set(Counter(bench.ledger()[: len(recorded)]).values()) == {1}
    assert bench.ledger()[len(before) :] == [str(n) for n in range(100 + len(recorded), 100 + STEPS)]


def test_j01_a_run_on_a_full_disk_waits_for_room_and_runs_nothing_twice(ballast: Path, bench: Bench) -> None:
    process = bench.spawn("run", bench.write("filling.py", FILLING))
    _until_full(bench, ballast.parent)

    ballast.unlink()
    output, _ = process.communicate()

    assert (process.returncode, output.strip()) == (0, str(STEPS))
    assert bench.ledger() == [str(n) for n in range(100, 100 + STEPS)]


def test_j01_a_backup_for_which_there_is_no_room_is_refused_and_leaves_nothing(ballast: Path, bench: Bench) -> None:
    bench.flowctl("exec", "--", "true")
    disk, more = ballast.parent, ballast.parent / "more"
    more.write_bytes(bytes(shutil.disk_usage(disk).free - 100_000))

    refused = bench.flowctl("db", "backup", disk / "copy.db", code=DiskTrouble.exit_code)

    assert refused.stderr.startswith("flowctl: the disk is full: ")
    assert sorted(os.listdir(disk)) == ["ballast", "flowctl", "more"]
    more.unlink()
    bench.flowctl("db", "backup", disk / "copy.db")


def test_j01_a_database_is_created_as_a_whole_or_not_at_all_however_little_room_there_is(tmp_path: Path) -> None:
    seen: list[object] = []
    for kilobytes in range(100, 1_600, 100):
        with tmpfs(tmp_path / str(kilobytes), kilobytes * 1024) as disk:
            try:
                with Store.open(disk / "flow.db") as store:
                    seen.append(store.check(full=True))
            except DiskTrouble:
                seen.append("refused")
                assert os.listdir(disk) == []
    assert seen == sorted(seen, key=lambda each: each == [])
    assert seen.count("refused") > 3
    assert seen.count([]) > 3


def test_j01_without_room_for_its_lock_an_engine_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "open", no_room)
    with pytest.raises(DiskTrouble):
        EngineLock(tmp_path / "flow.db", "token")


# -- supervision does not wait for the disk -------------------------------------------------------------------------

HANGING = """
@step(retries=1, backoff=0, timeout="1s")
def hangs() -> int:
    note(f"hangs {os.getpid()}")
    if ledger().count("hangs") == 1:
        time.sleep(300)
    return 1

@workflow
def hanging() -> int:
    return hangs()

def ledger():
    return (HERE / "ledger").read_text().split()
"""
WITH_SIBLING = """
@step
def works() -> int:
    note("works")
    time.sleep(1.5)  # longer than the other may take
    note("worked")
    return 1

@workflow
def with_sibling() -> int:
    return sum(gather(hangs.bind(), works.bind()))
"""
TIMED_RUN = """
@step
def endless() -> None:
    note(f"hangs {os.getpid()}")
    time.sleep(300)

@workflow(timeout="3s")
def timed_run() -> None:
    endless()
"""
STUBBORN = """
@step
def deaf() -> None:
    signal.signal(signal.SIGTERM, lambda *_: note(f"hangs {os.getpid()}"))
    note("began")
    for _ in range(3000):
        time.sleep(0.1)

@workflow
def stubborn() -> None:
    deaf()
"""
PUNCTUAL = """
@step(timeout="1500ms")
def punctual() -> int:
    note("punctual")
    return 7

@step
def after(n: int) -> int:
    note("after")
    return n

@workflow
def in_time() -> int:
    n = punctual()
    time.sleep(2.5)  # so that the result travels alone, and this goes on when the time for it is over
    return after(n)
"""


def _follow_until_killed(bench: Bench, name: str, source: str, meanwhile: Callable[[], None] = lambda: None) -> Run:
    """Follow a run on a disk that is full from the moment its body hangs until that is dead."""
    dead = threading.Event()

    def watch() -> None:
        meanwhile()
        (pid,) = bench.noted("hangs")[:1]
        try:
            bench.wait_for(lambda: not alive(pid), 60)
            killed.append(pid)
        finally:
            dead.set()

    killed: list[int] = []
    watcher = threading.Thread(target=watch)
    with hosted() as host, host.engine() as engine:
        number = host.submit(bench.write(f"{name}.py", source))
        watcher.start()
        with trouble(host.store, lambda _: not dead.is_set() and _hangs(bench)) as writes:
            run = engine.follow(number)
        watcher.join()
        assert len(killed) == 1
        assert writes[0] > 0
    return run


def _hangs(bench: Bench) -> bool:
    return any(line.startswith("hangs") for line in bench.ledger())


def test_j01_a_step_is_killed_in_time_although_that_cannot_be_recorded_yet(bench: Bench) -> None:
    run = _follow_until_killed(bench, "hanging", HANGING)

    assert (run.state, run.output) == ("succeeded", "1")
    assert len(bench.ledger()) == 2
    with bench.store() as store:
        (attempt,) = store.steps.attempts(run.id)
    assert (attempt.state, json.loads(attempt.error or "")["type"]) == ("failed", "StepTimedOut")


def test_j01_a_parallel_step_may_finish_before_the_one_that_hangs_is_killed(bench: Bench) -> None:
    run = _follow_until_killed(bench, "with_sibling", HANGING + WITH_SIBLING)

    assert (run.state, run.output) == ("succeeded", "2")
    assert Counter(line.split()[0] for line in bench.ledger()) == {"hangs": 2, "works": 1, "worked": 1}


def test_j01_a_run_is_killed_in_time_although_that_cannot_be_recorded_yet(bench: Bench) -> None:
    run = _follow_until_killed(bench, "timed_run", TIMED_RUN)

    assert (run.state, json.loads(run.error or "")["type"]) == ("failed", "RunTimedOut")
    assert len(bench.ledger()) == 1


def test_j01_a_cancelled_run_that_does_not_end_is_killed_although_that_cannot_be_recorded_yet(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(families, "CANCEL_GRACE_S", 0.3)

    def cancel() -> None:
        bench.wait_for(bench.ledger)
        with Store.open(default_database(os.environ)) as store:
            commands.cancel(store, 1, SYSTEM_CLOCK.now())

    run = _follow_until_killed(bench, "stubborn", STUBBORN, cancel)

    assert (run.state, len(bench.ledger())) == ("cancelled", 2)


def test_j01_a_result_that_came_in_time_is_no_timeout_however_late_it_is_recorded(bench: Bench) -> None:
    began: list[float] = []

    def full(_: int) -> bool:
        if bench.ledger() and not began:
            began.append(time.monotonic())
        return bool(began) and time.monotonic() < began[0] + 2  # until after the timeout

    with hosted() as host, host.engine() as engine:
        number = host.submit(bench.write("in_time.py", PUNCTUAL))
        with trouble(host.store, full):
            run = engine.follow(number)
        done = dict.fromkeys(("punctual", "after"), "succeeded")
        assert (run.output, *summary(host.store, run)) == ("7", "succeeded", done, {})
    assert bench.ledger() == ["punctual", "after"]
