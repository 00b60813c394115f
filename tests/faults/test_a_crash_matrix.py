"""A01: kill -9 of the engine, of its executors, or of both, at each point of a run, for four shapes of workflows.

The fourth has a breaker, a signal and a compensation; a fifth is killed while it is undone. P10, a file that is being
migrated, is in tests/store/test_migrate.py; there is no P12, pruning, yet. Each case lets a real engine go as far as
its point and stand still there, kills, and has a second process finish the run.
"""

from __future__ import annotations

import os
import re
import signal
import struct
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest

from flowctl.core.config import default_database
from flowctl.core.model import FINAL_STATES
from flowctl.sdk.processes import children
from tests.faults.conftest import Bench, alive
from tests.faults.seen import stopped

SOURCE = """
PLACE = (HERE / "place").read_text()

def stand_still(place):
    if place == PLACE and not (HERE / "go").exists():
        (HERE / "draft").write_text(str(os.getpid()))
        (HERE / "draft").rename(HERE / "here")
        while not (HERE / "go").exists():
            time.sleep(0.005)

def body(key):
    note(key)
    stand_still(f"in {key}")

@step
def weigh(grams: int) -> str:  # so much that the commit of it is followed by a checkpoint
    body("weigh")
    return ("enough " if (HERE / "go").exists() else "") + os.urandom(grams).hex()

def ballast(grams):
    weights = [weigh(grams) for _ in range(3 if grams else 0)]
    while grams and not weights[-1].startswith("enough"):  # until a checkpoint was seen, or nobody looks for one
        weights = [weigh(grams)]

@step
def one(n: int) -> int:
    body("one")
    return n + 1

@step
def two(n: int) -> int:
    body("two")
    return n + 1

@step
def three(n: int) -> int:
    body("three")
    return n + 1

@workflow
def sequential(nap: float = 0, grams: int = 0) -> int:
    ballast(grams)
    second = two(one(1))
    stand_still("after two")
    sleep(nap)
    last = three(second)
    stand_still("after three")
    return last

@step
def left(n: int) -> int:
    body("left")
    return n + 1

@step
def right(n: int) -> int:
    body("right")
    return n + 2

@step
def inner(n: int) -> int:
    body("inner")
    return n + 3

@workflow
def child(n: int, nap: float) -> int:
    if nap:
        sleep(nap)
    return inner(n)

@workflow
def fan_out(nap: float = 0, grams: int = 0) -> int:
    ballast(grams)
    first = one(1)
    total = sum(gather(left.bind(first), right.bind(first), child.bind(first, nap), concurrency=3))
    stand_still("after left")
    last = three(total)
    stand_still("after three")
    return last

@step(retries=3, backoff="10ms")
def flaky(n: int, nap: float) -> int:
    note("flaky")
    if not (HERE / "failed").exists():
        (HERE / "failed").touch()
        raise RetryAfter(nap)
    stand_still("in flaky")
    return n + 1

@workflow
def retries(nap: float = 0, grams: int = 0) -> int:
    ballast(grams)
    second = flaky(one(1), nap)
    stand_still("after flaky")
    sleep(nap)
    last = three(second)
    stand_still("after three")
    return last

def came_of(number):
    return int(number) + 1

@step(breaker="shop", reconcile=came_of, retries=1, backoff="10ms")
def careful(n: int) -> int:
    body("careful")
    external_id(str(n))
    progress(n, 10)
    return n + 1

@workflow
def operations(nap: float = 0, grams: int = 0) -> int:
    ballast(grams)
    first = one(1)
    compensate(left.bind(first))
    second = careful(first)
    stand_still("after careful")
    send_signal(current_run().run, "word", second)
    word = wait_signal("word", int)
    sleep(nap)
    last = three(word)
    stand_still("after three")
    return last

@step(retries=1, backoff="10ms")
def give_back(n: int) -> None:
    body("undo-give_back")

@step(retries=1, backoff="10ms")
def take_back(n: int) -> None:
    body("undo-take_back")

@workflow
def undone() -> None:
    first = one(1)
    compensate(take_back.bind(first))
    compensate(give_back.bind(two(first)))
    raise LookupError("no")
"""
WHO = ("engine", "executor", "both")
NO_ENGINE = ("engine", "both")


class Shape(NamedTuple):
    """A workflow: what it returns, and how often it runs which body."""

    output: int
    bodies: Counter[str]
    step: str  # the one that is in flight at P3 to P5
    asked: tuple[str, ...] = ()  # where it is asked what has come of it, instead of run again


class Point(NamedTuple):
    """A moment in the life of a run: how each shape gets there, and after whose death the step in flight runs again.

    The way is a list of stages. `in two` and `after two`: the workflow stands still there. `unread`: it goes on, but
    the engine is stopped before it can read what the body has sent. `checkpoint`: the engine is stopped while it
    copies the log into the file. `asleep`: it is stopped when the child sleeps and the parent waits for it, whichever
    of them is the last. Everything else is a failpoint, where the engine stops.
    """

    what: str
    sequential: list[str]
    fan_out: list[str]
    retries: list[str]
    operations: list[str]
    again: tuple[str, ...] = ()
    who: tuple[str, ...] = WHO


SHAPES = {
    "sequential": Shape(4, Counter(one=1, two=1, three=1), "two"),
    "fan_out": Shape(13, Counter(one=1, left=1, right=1, inner=1, three=1), "left"),
    "retries": Shape(4, Counter(one=1, flaky=2, three=1), "flaky"),
    "operations": Shape(4, Counter(one=1, careful=1, three=1), "careful", ("P5",)),
}
BETWEEN = ("P5", "P6", "P7")  # where the death of an executor fails the run, which undoes what it can
IDLE = ("P0", "P8", "P9")  # where no executor has a run, and the death of one costs nothing
POINTS = {
    "P0": Point("run committed, unclaimed", ["run-created"], ["run-created"], ["run-created"], ["run-created"]),
    "P1": Point("claimed", ["run-running"], ["run-running@2"], ["run-running"], ["run-running"]),
    "P2": Point(
        "start of a step committed", ["step-running@2"], ["step-running@2"], ["step-running@4"], ["step-running@3"]
    ),
    "P3": Point("body runs", ["in two"], ["in left"], ["in flaky"], ["in careful"], again=WHO),
    "P4": Point(
        "result unread",
        ["in two", "unread"],
        ["in left", "unread"],
        ["in flaky", "unread"],
        ["in careful", "unread"],
        NO_ENGINE,
    ),
    "P5": Point(
        "result read",
        ["in two", "done-two"],
        ["in left", "done-left"],
        ["in flaky", "done-flaky@2"],
        ["in careful", "done-careful"],
        NO_ENGINE,
    ),
    "P6": Point("recorded, next step not begun", ["after two"], ["after left"], ["after flaky"], ["after careful"]),
    "P7": Point("last step recorded", ["after three"], ["after three"], ["after three"], ["after three"]),
    "P8": Point(
        "run finished, nobody told", ["run-succeeded"], ["run-succeeded@2"], ["run-succeeded"], ["run-succeeded"]
    ),
    "P9": Point("asleep", ["run-sleeping"], ["asleep"], ["run-sleeping"], ["run-sleeping"]),
    "P11": Point("checkpoint", ["checkpoint"], ["checkpoint"], ["checkpoint"], ["checkpoint"], who=NO_ENGINE),
}
INPUTS = {"P9": "nap=0.7", "P11": "grams=2000000"}  # so long that the executor is let go; so much in each commit
LONG_NAP = "nap=5"  # so long that it is still asleep when that is seen
CASES = [(name, who, shape) for name, point in POINTS.items() for who, shape in product(point.who, SHAPES)]


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start processes without coverage: two hundred would pay for it, and most are killed before they can save it."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


class Scene:
    """One case: an engine on the way to its point."""

    def __init__(self, bench: Bench, folder: Path, shape: str, stages: list[str], inputs: str) -> None:
        self.bench = bench
        self.folder = folder
        (folder / "place").write_text(stages[0])
        failpoint = {"FLOWCTL_TESTING": "1", "FLOWCTL_FAILPOINT": f"{stages[-1]}:stop"}
        path = f"{bench.write('shapes.py', SOURCE)}:{shape}"
        self.engine = bench.spawn("run", path, *inputs.split(), **failpoint)

    def go(self) -> None:
        """Let the workflow go on where it stands still."""
        (self.folder / "go").touch()

    def reach(self, stage: str) -> None:
        """Go as far as this stage, and no further."""
        if stage.startswith(("in ", "after ")):
            self.bench.wait_for((self.folder / "here").exists)
            left = [stage.removeprefix("in ")] if stage.startswith("in ") else []
            self.bench.wait_for(lambda: left == self.running("step", "child", "sleep"))
        elif stage == "unread":
            self._leave_unread()
        elif stage == "asleep":
            self.bench.wait_for(self._asleep)
            self.bench.freeze(self.engine.pid)
            assert self._asleep()
        elif stage == "checkpoint":
            index = Path(f"{default_database(os.environ)}-shm")
            self.bench.wait_for(lambda: caught(self.bench, self.engine, lambda: in_checkpoint(index)))
        else:
            self.go()
            self.bench.wait_for(lambda: stopped(self.engine.pid))

    def _asleep(self) -> bool:
        if self.bench.run_of(1) is None:
            return False
        with self.bench.store() as store:
            return ["waiting", "sleeping"] == [run.state for run in store.runs.family(1)]

    def _leave_unread(self) -> None:
        self.engine.send_signal(signal.SIGSTOP)
        self.bench.wait_for(lambda: stopped(self.engine.pid))
        executor = int((self.folder / "here").read_text())
        before = written(executor)
        self.go()
        self.bench.wait_for(lambda: written(executor) > before)

    def running(self, *kinds: str) -> list[str]:
        """Return the keys of the steps of these kinds that are recorded as running and are not between two attempts."""
        with self.bench.store() as store:
            steps = [step for run in store.runs.family(1) for step in store.steps.of_run(run.id)]
        return sorted(
            step.key for step in steps if step.kind in kinds and step.state == "running" and step.wake_at is None
        )

    def kill(self, who: str) -> None:
        """Kill the engine, its executors, or both. Nothing is left of those, nor of what an engine had."""
        executors = children(self.engine.pid)
        assert executors
        doomed = {"engine": [self.engine.pid], "executor": executors, "both": [self.engine.pid, *executors]}
        for pid in doomed[who]:
            os.kill(pid, signal.SIGKILL)
        if who != "executor":
            assert -signal.SIGKILL == self.engine.wait()
        self.bench.wait_for(lambda: not any(map(alive, executors)))
        if who == "executor":
            self.engine.send_signal(signal.SIGCONT)

    def finish(self, who: str) -> None:
        """Have the run finished: by its own engine if that is alive, and by a second process if it still is not."""
        self.go()
        if who == "executor":
            self.engine.wait(timeout=60)
        run = self.bench.run_of(1)
        assert run is not None
        if run.state == "failed" and who == "executor":  # its workflow function died, between two steps
            assert "ExecutorDied" in (run.error or "")
            self.bench.flowctl("retry", 1)
        elif run.state != "succeeded":
            self.bench.flowctl("resume", 1)
        elif who != "executor":
            assert "succeeded" in self.bench.flowctl("resume", 1, code=5).stderr


def test_a01_no_point_is_missing() -> None:
    assert [f"P{number}" for number in (*range(10), 11)] == list(POINTS)
    assert 10 * 3 * 4 + 2 * 4 == len(CASES)


@pytest.mark.parametrize(("point", "who", "shape"), CASES, ids=map("-".join, CASES))
def test_a01_killed_anywhere_a_run_is_finished_and_nothing_recorded_is_done_twice(
    point: str, who: str, shape: str, bench: Bench, tmp_path: Path
) -> None:
    expected, place = SHAPES[shape], POINTS[point]
    stages: list[str] = getattr(place, shape)
    scene = Scene(bench, tmp_path, shape, stages, LONG_NAP if "asleep" in stages else INPUTS.get(point, ""))
    for stage in stages:
        scene.reach(stage)
    begun, before = scene.running("step"), bench.run_of(1)
    scene.kill(who)
    scene.finish(who)

    after = bench.run_of(1)
    assert before is not None
    assert after is not None
    assert (before.state in FINAL_STATES) == (point == "P8")
    assert ("succeeded", str(expected.output)) == (after.state, after.output)
    again = Counter([expected.step] if who in place.again and point not in expected.asked else [])
    undone = replaced(bench)
    assert bool(undone) == (shape == "operations" and who == "executor" and point in BETWEEN)
    bodies = Counter({key.removeprefix("undo-"): n for (_, key, kind), n in undone.items() if kind == "step"})
    recorded, cut = outcomes(bench)
    weighed = Counter("weigh" for _, key in recorded if key.startswith("weigh"))
    assert (point == "P11") == bool(weighed)
    assert expected.bodies + again + weighed + bodies == Counter(bench.ledger())
    assert {1} == set((recorded - Counter({(run, key): n for (run, key, _), n in undone.items()})).values())
    if who != "executor":
        assert Counter(begun) == cut  # what may have begun is marked as interrupted, and nothing else
    elif point in IDLE:
        assert (0, Counter()) == (scene.engine.returncode, cut)
    else:
        assert set(cut.values()) <= {1}
    bench.wait_for(lambda: not left_over(tmp_path))


UNDOING = {
    "U2": (["step-running@5"], ()),
    "U3": (["in undo-give_back"], WHO),
    "U4": (["in undo-give_back", "unread"], NO_ENGINE),
    "U5": (["in undo-give_back", "done-undo-give_back"], NO_ENGINE),
    "U8": (["run-failed"], ()),
}


@pytest.mark.parametrize(("point", "who"), [*product(UNDOING, WHO)], ids=map("-".join, product(UNDOING, WHO)))
def test_a01_killed_anywhere_while_it_undoes_a_run_is_undone_and_nothing_recorded_is_done_twice(
    point: str, who: str, bench: Bench, tmp_path: Path
) -> None:
    stages, again = UNDOING[point]
    scene = Scene(bench, tmp_path, "undone", stages, "")
    for stage in stages:
        scene.reach(stage)
    scene.kill(who)
    scene.go()
    if who == "executor":
        scene.engine.wait(timeout=60)
    else:
        bench.flowctl("resume", 1, code=5 if point == "U8" else 1)

    after = bench.run_of(1)
    assert after is not None
    assert "failed" == after.state
    assert "LookupError" in (after.error or "")
    repeated = Counter(["undo-give_back"] if who in again else [])
    assert Counter(["one", "two", "undo-give_back", "undo-take_back"]) + repeated == Counter(bench.ledger())
    assert {1} == set(outcomes(bench)[0].values())
    bench.wait_for(lambda: not left_over(tmp_path))


def test_a01_p11_a_backup_that_is_killed_leaves_no_file_that_looks_like_one(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "place").write_text("nowhere")
    (tmp_path / "go").touch()
    bench.flowctl("run", f"{bench.write('shapes.py', SOURCE)}:sequential", INPUTS["P11"])
    copy, draft = tmp_path / "copy.db", tmp_path / "copy.db.partial"

    def cut() -> bool:
        process = bench.spawn("db", "backup", copy)
        while process.poll() is None:
            if caught(bench, process, draft.exists):
                process.kill()
                return -signal.SIGKILL == process.wait()
        copy.unlink()  # it was too quick to be caught
        return False

    bench.wait_for(cut)
    assert not copy.exists()
    bench.flowctl("db", "backup", copy)
    assert not draft.exists()
    bench.flowctl("--db", copy, "db", "check", "--full")
    assert "succeeded" == bench.flowctl("--db", copy, "show", 1, "--json").json["state"]


def caught(bench: Bench, process: subprocess.Popen[str], seen: Callable[[], bool]) -> bool:
    """Watch for something for a moment, and stop the process then: tell whether it can still be seen."""
    for _ in range(100):
        if seen():
            process.send_signal(signal.SIGSTOP)
            bench.wait_for(lambda: process.poll() is not None or stopped(process.pid))
            if process.poll() is None and seen():
                return True
            process.send_signal(signal.SIGCONT)
        time.sleep(0.001)
    return False


def outcomes(bench: Bench) -> tuple[Counter[tuple[int, str]], Counter[str]]:
    """Return how many outcomes each run and each step of it ever had, and how many attempts of which step were cut."""
    steps = "SELECT run_id, key FROM steps WHERE state = 'succeeded' OR superseded_at IS NULL"
    runs = "SELECT run_id, '' FROM events WHERE state = 'succeeded'"
    cut = "SELECT key FROM attempts WHERE state = 'interrupted' OR error LIKE '%ExecutorDied%'"
    with bench.store() as store:
        rows = store.connection.rows
        return Counter(map(tuple, rows(f"{steps} UNION ALL {runs}"))), Counter(key for (key,) in rows(cut))


def replaced(bench: Bench) -> Counter[tuple[int, str, str]]:
    """Return run, key and kind of the steps that had succeeded and that a retry did again, because they were undone."""
    sql = "SELECT run_id, key, kind FROM steps WHERE state = 'succeeded' AND superseded_at IS NOT NULL"
    with bench.store() as store:
        return Counter(map(tuple, store.connection.rows(sql)))


def left_over(folder: Path) -> list[int]:
    """Return the living processes that work in a folder."""
    pids = [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()]
    return [pid for pid in pids if folder_of(pid) == str(folder) and alive(pid)]


def folder_of(pid: int) -> str | None:
    """Return the working directory of a process, if it is there and ours."""
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return None


def written(pid: int) -> int:
    """Return how many bytes a process has written, to its channel among others."""
    found = re.search(r"wchar: (\d+)", Path(f"/proc/{pid}/io").read_text())
    assert found is not None
    return int(found[1])


def in_checkpoint(index: Path) -> bool:
    """Tell whether a checkpoint is under way: fewer frames of the log are in the file than somebody set out to copy.

    SQLite's WAL index says so at fixed places: https://sqlite.org/walformat.html
    """
    if not index.exists():
        return False
    with index.open("rb") as opened:
        opened.seek(96)
        done, attempted = struct.unpack("=I28xI", opened.read(36) or bytes(36))
    return bool(attempted > done)
