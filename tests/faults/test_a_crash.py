"""A: the engine dies. Nothing that was recorded is lost or done twice, and nothing of it lives on."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowctl.core.config import default_database
from flowctl.core.policy import CRASH_LIMIT
from flowctl.engine.claiming import Role
from flowctl.engine.following import Following
from tests.faults.conftest import Bench, alive, dead
from tests.faults.hosted import hosted
from tests.faults.seen import CHAIN, CUT, LEDGER, ONCE, WAITING, attempts_of, pending, stopped


def test_a03_a_printed_number_is_a_run_that_survives_everything(bench: Bench, tmp_path: Path) -> None:
    path = bench.write("chain.py", CHAIN)
    lines = tmp_path / "each.jsonl"
    lines.write_text("{}\n" * 10)

    process = bench.spawn("run", path, "--each", lines, "--detach")
    assert process.stdout is not None
    number = int(process.stdout.readline())
    process.kill()
    printed = [number, *map(int, process.stdout.read().split())]

    assert {bench.shown(number)["state"] for number in (printed[0], printed[-1])} == {"queued"}
    assert bench.flowctl("resume", printed[-1]).json == 4
    assert Counter(bench.ledger()) == ONCE


def test_a03_a_number_is_not_printed_before_it_is_on_disk(bench: Bench) -> None:
    path = bench.write("chain.py", CHAIN)
    armed = {"FLOWCTL_TESTING": "1", "FLOWCTL_FAILPOINT": "run-created:kill"}

    assert bench.flowctl("run", path, "--detach", code=-signal.SIGKILL, **armed).stdout == ""

    assert bench.shown()["state"] == "queued"


def test_a04_a_step_that_kills_its_engine_each_time_fails_the_run_and_no_other(bench: Bench) -> None:
    killer = f"{bench.write('killer.py', _KILLER)}:killer"
    chain = bench.write("chain.py", CHAIN)

    bench.flowctl("run", killer, code=-signal.SIGKILL)
    for _ in range(CRASH_LIMIT - 1):
        bench.flowctl("resume", 1, code=-signal.SIGKILL)
    assert bench.flowctl("run", chain).json == 4  # its engine is also the one that finds the last death
    refused = bench.flowctl("resume", 1, code=5)

    said = bench.shown()
    assert "flowctl retry 1" in refused.stderr
    assert (said["state"], said["error"]["type"]) == ("failed", "CrashLoop")
    assert str(CRASH_LIMIT) in said["error"]["message"]
    assert [each["state"] for each in said["by_key"]["deadly"]["attempts"]] == ["interrupted"] * CRASH_LIMIT
    assert Counter(bench.ledger()) == {"deadly": CRASH_LIMIT} | ONCE

    assert bench.flowctl("resume", 3).json == "CrashLoop"  # the workflow that is to start when it failed


_KILLER = """
@workflow
def tell(failure: dict) -> str:
    return failure["error"]["type"]

@step
def deadly() -> None:
    note("deadly")
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)

@workflow(on_failure=tell)
def killer() -> None:
    deadly()
"""

TREE = """
def tree():
    me = HERE / "pids"
    me.touch()
    keep = f"echo $$ >> {me}; exec sleep 300"
    subprocess.Popen(["sh", "-c", keep])
    subprocess.Popen(["setsid", "sh", "-c", keep])
    subprocess.run(["setsid", "sh", "-c", f'sh -c "echo \\\\$\\\\$ >> {me}; exec sleep 300" >/dev/null 2>&1 &'])
    while len(me.read_text().split()) < 3:
        time.sleep(0.005)
    with me.open("a") as pids:
        pids.write(f"{os.getpid()}\\n")

def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True

@step
def spread(how: str) -> str:
    if not (HERE / "pids").exists():
        tree()
        note("ready")
        if how == "stopped":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif how == "in C":
            sum(__import__("itertools").repeat(1, 10**12))
        time.sleep(300)
    left = [pid for pid in (HERE / "pids").read_text().split() if not gone(pid)]
    return f"{len(left)} left"

@workflow
def orphans(how: str = "") -> str:
    return spread(how)
"""


@pytest.fixture
def pids(tmp_path: Path) -> Callable[[], list[int]]:
    """Return what the step of TREE started, the executor itself as the last."""
    return lambda: [int(line) for line in (tmp_path / "pids").read_text().split()]


def test_a05_everything_a_step_started_is_gone_a_second_after_its_engine(bench: Bench, pids: Any) -> None:
    engine = bench.spawn("run", bench.write("orphans.py", TREE))
    bench.wait_for(lambda: bench.ledger() == ["ready"])
    assert [alive(pid) for pid in pids()] == [True] * 4

    engine.kill()

    bench.wait_for(lambda: not any(map(alive, pids())))
    assert bench.flowctl("resume", 1).json == "0 left"


@pytest.mark.parametrize("how", ["stopped", "in C"])
def test_a05_an_executor_that_cannot_hear_is_gone_before_its_step_runs_again(how: str, bench: Bench, pids: Any) -> None:
    engine = bench.spawn("run", bench.write("orphans.py", TREE), f"how={how}")
    bench.wait_for(lambda: bench.ledger() == ["ready"])
    bench.wait_for(lambda: how != "stopped" or stopped(pids()[-1]))

    engine.kill()
    engine.wait()

    assert bench.flowctl("resume", 1).json == "0 left"
    assert all(map(dead, pids()))


@pytest.mark.parametrize("crowd", [2, 20])
def test_a08_of_many_who_resume_a_run_at_once_exactly_one_works_on_it(crowd: int, bench: Bench, tmp_path: Path) -> None:
    bench.flowctl("run", bench.write("waiting.py", WAITING), "--detach")
    bench.flowctl("pause", 1)

    processes = [bench.spawn("resume", 1) for _ in range(crowd)]
    bench.wait_for(lambda: sum(process.poll() is not None for process in processes) == crowd - 1)
    (tmp_path / "go").touch()
    said = [process.communicate() for process in processes]

    assert sorted(process.returncode for process in processes) == [0] + [5] * (crowd - 1)
    assert all(
        "being worked on" in err for process, (_, err) in zip(processes, said, strict=True) if process.returncode
    )
    assert bench.ledger() == ["held"]


def test_a08_a_run_that_a_process_has_reserved_is_refused_to_others_before_it_is_claimed(
    bench: Bench, tmp_path: Path
) -> None:
    bench.flowctl("run", bench.write("waiting.py", WAITING), "--detach")
    bench.flowctl("pause", 1)
    first = bench.spawn("resume", 1, FLOWCTL_TESTING="1", FLOWCTL_FAILPOINT="timer:stop")
    bench.wait_for(lambda: stopped(first.pid))

    refused = bench.flowctl("resume", 1, code=5)
    assert f"run 1 is being worked on already by process {first.pid}" in refused.stderr
    assert [] == bench.ledger()

    first.send_signal(signal.SIGCONT)
    (tmp_path / "go").touch()
    assert 0 == first.wait(timeout=60)
    assert ["held"] == bench.ledger()


def test_a08_a_run_that_a_stopped_process_has_reserved_can_be_taken_from_it(bench: Bench, tmp_path: Path) -> None:
    bench.flowctl("run", bench.write("waiting.py", WAITING), "--detach")
    late = bench.spawn("resume", 1, FLOWCTL_TESTING="1", FLOWCTL_FAILPOINT="timer:stop")
    bench.wait_for(lambda: stopped(late.pid))
    (tmp_path / "go").touch()
    bench.flowctl("resume", 1, "--steal")
    late.send_signal(signal.SIGCONT)
    assert 5 == late.wait(timeout=60)
    assert ["held"] == bench.ledger()


def test_a09_after_a_reboot_runs_are_free_at_once_whatever_locks_and_pids_say(bench: Bench, tmp_path: Path) -> None:
    path = bench.write("waiting.py", WAITING)
    before = bench.spawn("run", path, FLOWCTL_TESTING="1", FLOWCTL_BOOT_ID="before")
    bench.wait_for(lambda: bench.ledger() == ["held"])
    bench.flowctl("resume", 1, code=5, FLOWCTL_TESTING="1", FLOWCTL_BOOT_ID="before")  # alive: it holds its lock

    after = bench.spawn("resume", 1, FLOWCTL_TESTING="1", FLOWCTL_BOOT_ID="after")
    bench.wait_for(lambda: bench.ledger() == ["held", "held"])
    (tmp_path / "go").touch()

    codes = (after.wait(timeout=60), before.wait(timeout=60))
    assert codes == (0, 5)  # the process with that number was not killed: it may be anybody
    assert attempts_of(bench.shown()) == {"held": CUT}


INTERRUPTED = """
@step
def work() -> str:
    note("begins")
    while ledger().count("begins") == 1 and not (HERE / "go").exists():
        time.sleep(0.01)
    note("ends")
    return "done"

@step
def more(text: str) -> str:
    return text

@workflow
def interrupted(nap: bool = False) -> str:
    if nap:
        note("asleep")
        sleep("1h" if ledger().count("asleep") == 1 else 0)
    return more(work())
"""


@pytest.mark.parametrize("presses", [1, 2], ids=["once", "twice"])
def test_a14_ctrl_c_pauses_a_run_which_can_be_resumed(presses: int, bench: Bench) -> None:
    process = bench.spawn("run", bench.write("interrupted.py", LEDGER + INTERRUPTED))
    bench.wait_for(lambda: bench.ledger() == ["begins"])

    _press(process, presses, bench.wait_for)
    out, err = process.communicate(timeout=60)

    assert (process.returncode, out, bench.ledger()) == (130, "", ["begins"])
    assert "flowctl resume 1" in err
    assert "Traceback" not in err
    assert bench.shown()["state"] == "paused"
    assert bench.flowctl("resume", 1).json == "done"
    assert attempts_of(bench.shown()) == {"work": CUT, "more": ["succeeded"]}


def _press(process: Any, presses: int, wait_for: Any) -> None:
    for _ in range(presses):
        process.send_signal(signal.SIGINT)
        wait_for(lambda: not pending(process.pid, signal.SIGINT))


def test_a14_ctrl_c_while_a_run_sleeps_pauses_it(bench: Bench) -> None:
    process = bench.spawn("run", bench.write("interrupted.py", LEDGER + INTERRUPTED), "nap=true")
    bench.in_state("sleeping")

    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "flowctl resume 1" in err
    assert "Traceback" not in err
    assert bench.shown()["state"] == "paused"


@pytest.mark.parametrize(
    ("again", "left", "attempts"),
    [(False, ["begins", "ends"], ["succeeded"]), (True, ["begins"], CUT)],
    ids=["once", "twice"],
)
def test_a14_a_step_that_runs_may_end_after_the_first_ctrl_c_and_is_killed_at_the_second(
    again: bool, left: list[str], attempts: list[str], bench: Bench, tmp_path: Path
) -> None:
    with hosted() as host, host.engine(role=Role(stop_grace_s=3_600)) as engine:
        number = host.submit(bench.write("interrupted.py", LEDGER + INTERRUPTED))
        following = Following(engine, number)
        while not bench.ledger():
            assert following.turn() is None
            engine.listen(engine.timeout())
        engine.stop()
        assert following.turn() is None
        engine.stop() if again else (tmp_path / "go").touch()
        while (run := following.turn()) is None:
            engine.listen(engine.timeout())
    assert (run.state, bench.ledger()) == ("paused", left)
    assert bench.flowctl("resume", number).json == "done"
    assert attempts_of(bench.shown()) == {"work": attempts, "more": ["succeeded"]}


def test_a14_ctrl_c_while_the_file_is_imported_leaves_nothing(
    spawn: Any, write: Any, ledger: Any, wait_for: Any
) -> None:
    path = write("slow.py", "note(str(os.getpid()))\ntime.sleep(300)\n@workflow\ndef slow() -> None: ...\n")
    process = spawn("run", path)
    wait_for(ledger)

    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 130
    assert err.strip() == "flowctl: interrupted"
    assert dead(int(ledger()[0]))
    assert not default_database(os.environ).exists()
