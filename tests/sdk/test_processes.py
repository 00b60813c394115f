"""Process trees: whoever tries to leave one is found and killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowctl.sdk import processes
from tests.sdk.scripted_engine import PATIENCE_S, alive, in_time, wait_until


class Tree:
    """A marked shell that starts things, and the pids that these wrote down."""

    def __init__(self, directory: Path, mark: str) -> None:
        self.directory = directory
        self.mark = mark
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, script: str, *, wait_for: int) -> list[int]:
        """Run a shell script that calls `note` in each process to be watched; return their pids."""
        notes = self.directory / "pids"
        notes.touch()
        prelude = f"note() {{ sh -c 'echo $PPID' >> {notes}; }}\n"
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", prelude + script],
            env={**os.environ, processes.EXECUTOR: self.mark},
            start_new_session=True,
            stdout=subprocess.DEVNULL,
        )
        wait_until(lambda: len(notes.read_text().splitlines()) >= wait_for)
        return [int(line) for line in notes.read_text().split()]

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tree]:
    monkeypatch.setattr(processes, "KILL_WAIT_S", PATIENCE_S)  # a killed process needs a processor to end, too
    tree = Tree(tmp_path, f"t{os.getpid()}.{time.monotonic_ns()}")
    yield tree
    processes.kill_tree(tree.mark)
    if tree.process is not None:
        tree.process.kill()
        tree.process.wait()


def test_children_and_grandchildren_are_killed(tree: Tree) -> None:
    pids = tree.start("(note; sh -c 'sleep 300' & sleep 300) & note; sleep 300", wait_for=1)
    assert all(alive(pid) for pid in pids)
    assert processes.kill_tree(tree.mark, tree.pid) == []
    assert not any(alive(pid) for pid in pids)
    assert processes.find_tree(tree.mark, tree.pid) == []


def test_g03_a_setsid_grandchild_is_found_and_killed(tree: Tree) -> None:
    script = f"setsid sh -c 'echo $$ >> {tree.directory}/pids; exec sleep 300' & note; sleep 300"
    pids = tree.start(script, wait_for=2)
    os.killpg(tree.pid, signal.SIGKILL)  # what a naive engine would do
    wait_until(lambda: sum(alive(pid) for pid in pids) == 1)
    assert processes.kill_tree(tree.mark, tree.pid) == []
    assert not any(alive(pid) for pid in pids)


@pytest.mark.skipif(not processes._HAS_PROC, reason="ps tells what is being started by its arguments")
def test_g03_a_process_that_begins_another_program_all_the_time_is_found_each_time(tree: Tree) -> None:
    loop = tree.directory / "loop.sh"
    loop.write_text('exec sh "$0"\n')
    (pid,) = tree.start(f"echo $$ >> {tree.directory}/pids; exec sh {loop}", wait_for=1)
    assert [[pid]] * 500 == [processes.find_tree(tree.mark) for _ in range(500)]


@pytest.mark.skipif(os.geteuid() != 0 or not processes._HAS_PROC, reason="only root can become somebody else")
def test_g03_processes_of_other_users_are_not_waited_for() -> None:
    code = (
        "import os; from flowctl.sdk import processes\n"
        "processes.BEGIN_WAIT_S = 3600\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "print(processes.find_tree('nobody.1'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert "[]\n" == done.stdout


def test_g03_a_daemon_that_forked_twice_is_killed_when_its_parents_are_long_dead(tree: Tree) -> None:
    code = (
        "import os, sys, time\n"
        "if os.fork(): os._exit(0)\n"
        "os.setsid()\n"
        "if os.fork(): os._exit(0)\n"
        "open(sys.argv[1], 'a').write(str(os.getpid()) + chr(10))\n"
        "time.sleep(300)\n"
    )
    (tree.directory / "d.py").write_text(code)
    pids = tree.start(f"{sys.executable} {tree.directory}/d.py {tree.directory}/pids", wait_for=1)
    assert tree.process is not None
    tree.process.wait()
    assert alive(pids[0])
    assert processes.kill_tree(tree.mark) == []
    wait_until(lambda: not alive(pids[0]))


def test_g02_a_tree_that_ignores_sigterm_is_killed_at_once(tree: Tree) -> None:
    pids = tree.start("trap '' TERM; (trap '' TERM; note; sleep 300) & note; sleep 300", wait_for=2)
    processes.signal_tree(tree.mark, tree.pid, signal.SIGTERM)
    time.sleep(0.03)
    assert all(alive(pid) for pid in pids)
    with in_time():
        assert processes.kill_tree(tree.mark, tree.pid) == []
    assert not any(alive(pid) for pid in pids)


def test_g02_a_stopped_tree_is_killed(tree: Tree) -> None:
    pids = tree.start("(note; sleep 300) & note; sleep 300", wait_for=2)
    processes.signal_tree(tree.mark, tree.pid, signal.SIGSTOP)
    assert processes.kill_tree(tree.mark, tree.pid) == []
    assert not any(alive(pid) for pid in pids)


def test_a_child_without_the_mark_is_found_by_its_parent(tree: Tree) -> None:
    pids = tree.start(f"env -i setsid sh -c 'echo $$ >> {tree.directory}/pids; sleep 300' & note; wait", wait_for=2)
    assert set(pids) <= set(processes.find_tree(tree.mark, tree.pid))
    processes.kill_tree(tree.mark, tree.pid)
    assert not any(alive(pid) for pid in pids)


def test_a07_processes_of_others_are_left_alone(tree: Tree, tmp_path: Path) -> None:
    stranger = subprocess.Popen(
        ["sleep", "300"], env={**os.environ, processes.EXECUTOR: tree.mark + "0"}, start_new_session=True
    )
    try:
        tree.start("note; sleep 300", wait_for=1)
        processes.kill_tree(tree.mark, tree.pid)
        assert alive(stranger.pid)
        processes.kill_tree("nobody.1")
        assert alive(stranger.pid)
    finally:
        stranger.kill()
        stranger.wait()


def test_every_executor_of_an_engine_is_killed_and_none_of_another(tree: Tree) -> None:
    token = f"e{time.monotonic_ns()}"
    marks = [f"{token}.1", f"{token}.22", f"{token}x.1"]
    started = [
        subprocess.Popen(["sleep", "300"], env={**os.environ, processes.EXECUTOR: mark}, start_new_session=True)
        for mark in marks
    ]
    try:
        # Popen returns when the new program's file is open; its environment is there a moment later.
        wait_until(lambda: [processes.find_tree(mark) for mark in marks] == [[process.pid] for process in started])
        assert processes.kill_engine(token) == []
        assert [alive(process.pid) for process in started] == [False, False, True]
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_the_caller_is_never_part_of_the_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    found = processes.find_tree("whatever", os.getsid(0))
    assert os.getpid() not in found


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_what_is_older_than_the_root_is_not_looked_into(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.start("note; sleep 300", wait_for=1)
    looked: list[str] = []
    read = processes._read
    monkeypatch.setattr(processes, "_read", lambda path: looked.append(path) or read(path))
    assert tree.pid in processes.find_tree(tree.mark, tree.pid)
    assert f"/proc/{tree.pid}/environ" in looked
    assert f"/proc/{os.getpid()}/environ" not in looked
    assert f"/proc/{os.getpid()}/stat" in looked


def test_ps_finds_what_proc_finds(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = sorted(tree.start("(note; exec sleep 300) & note; exec sleep 300", wait_for=2))
    wait_until(lambda: processes.find_tree(tree.mark, tree.pid) == expected)  # what noted them has ended too
    # The same columns as the BSD command; procps spells "with the environment" differently.
    linux = ("ps", "axeww", "-o", "pid=,ppid=,sess=,stat=,command=")
    monkeypatch.setattr(processes, "_list", lambda: processes._from_ps(linux))
    assert processes.find_tree(tree.mark, tree.pid) == expected
    assert processes.find_tree(tree.mark) == expected
