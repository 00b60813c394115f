"""Workflows that run workflows: what each records, and what a failure, a retry and a limit mean for both."""

from __future__ import annotations

import pytest

from flowctl.engine import timers
from tests.faults.conftest import Bench
from tests.faults.hosted import hosted

FAMILY = """
@step
def prepare(name: str) -> str:
    note(f"prepare {name}")
    return name.upper()

@step
def deliver(name: str) -> str:
    note(f"deliver {name}")
    if not (HERE / "mended").exists():
        raise OSError("nobody there")
    return f"delivered {name}"

@workflow(tags={"kind": "parcel"}, priority=3)
def parcel(name: str) -> str:
    return deliver(prepare(name))

@step
def collect() -> list[str]:
    note("collect")
    return ["one", "two"]

@workflow
def one() -> str:
    collect()
    return parcel("one")

@workflow
def all() -> list[str]:
    return gather(*[parcel.bind(name) for name in collect()])
"""


def test_a_child_is_a_run_of_its_own_whose_output_its_parent_gets(bench: Bench) -> None:
    bench.write("family.py", FAMILY)
    bench.write("mended", "")
    assert bench.flowctl("run", "family.py:one").json == "delivered ONE"
    parent, child = bench.shown(1), bench.shown(2)
    assert child["parent"] == {"run": 1, "step": "parcel"}
    assert (child["workflow"], child["state"], child["input"]) == ("parcel", "succeeded", {"name": "one"})
    assert (child["tags"], child["priority"]) == ({"kind": "parcel"}, 3)
    assert parent["by_key"]["parcel"]["kind"] == "child"
    assert parent["by_key"]["parcel"]["output"] == child["output"] == "delivered ONE"


def test_a_failed_child_fails_its_parent_and_a_retry_of_the_parent_goes_on_in_the_child(bench: Bench) -> None:
    bench.write("family.py", FAMILY)
    bench.flowctl("run", "family.py:one", code=1)
    assert bench.shown(2)["state"] == "failed"
    failure = bench.shown(1)["error"]
    assert failure["type"] == "StepFailed"
    assert "step parcel failed" in failure["message"]
    assert "nobody there" in failure["message"]
    bench.write("mended", "")
    assert bench.flowctl("retry", 1).json == "delivered ONE"
    assert bench.ledger() == ["collect", "prepare one", "deliver ONE", "deliver ONE"]
    assert bench.shown(2)["attempt"] == 2
    assert len(bench.flowctl("ls", "--json").json) == 2


def test_children_run_in_parallel_and_a_retry_touches_only_the_failed_ones(bench: Bench) -> None:
    path = bench.write("family.py", FAMILY.replace('"mended"', 'f"mended-{name}"'))
    path.with_name("mended-ONE").touch()
    bench.flowctl("run", "family.py:all", code=1)
    assert sorted(bench.ledger()) == ["collect", "deliver ONE", "deliver TWO", "prepare one", "prepare two"]
    path.with_name("mended-TWO").touch()
    assert bench.flowctl("retry", 1).json == ["delivered ONE", "delivered TWO"]
    assert bench.ledger()[5:] == ["deliver TWO"]


def test_a_parent_may_catch_the_failure_of_its_child(bench: Bench) -> None:
    bench.write(
        "catches.py",
        """
        @workflow
        def child() -> None:
            raise ValueError("no")

        @workflow
        def main() -> str:
            try:
                child()
            except StepFailed as failure:
                return f"{failure.step} {failure.type} {failure.message}"
        """,
    )
    assert bench.flowctl("run", "catches.py:main").json == "child ValueError no"
    assert bench.shown(2)["state"] == "failed"


def test_a_sleeping_child_wakes_in_time_while_its_sibling_works(bench: Bench) -> None:
    bench.write(
        "siblings.py",
        """
        @step
        def work() -> str:
            note("working")
            deadline = time.monotonic() + 60
            while "awake" not in (HERE / "ledger").read_text() and time.monotonic() < deadline:
                time.sleep(0.01)
            return "in time" if time.monotonic() < deadline else "too late"

        @workflow
        def works() -> str:
            return work()

        @step
        def wake() -> None:
            note("awake")

        @workflow
        def sleeps() -> str:
            sleep("700ms")
            wake()
            return "slept"

        @workflow
        def main() -> list[str]:
            return gather(works.bind(), sleeps.bind())
        """,
    )
    assert bench.flowctl("run", "siblings.py:main").json == ["in time", "slept"]


def test_a_grandchild_is_cancelled_with_the_run_at_the_top(bench: Bench) -> None:
    bench.write(
        "three.py",
        """
        @step
        def busy() -> None:
            note(f"pid {os.getpid()}")
            time.sleep(300)

        @workflow
        def youngest() -> None:
            busy()

        @workflow
        def middle() -> None:
            youngest()

        @workflow(timeout="8s")
        def oldest() -> None:
            middle()
        """,
    )
    bench.flowctl("run", "three.py:oldest", code=7)
    assert [bench.shown(number)["state"] for number in (1, 2, 3)] == ["failed", "cancelled", "cancelled"]


BLOCKED_CHILD = """
@step(on_crash="block")
def unknown() -> str:
    if not (HERE / "mended").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return "known"

@workflow
def child() -> str:
    return unknown()

@workflow
def parent() -> str:
    return child()
"""


def test_a_run_that_waits_for_a_blocked_child_is_let_go_and_goes_on_with_the_child(bench: Bench) -> None:
    bench.write("blocks.py", BLOCKED_CHILD)
    assert "waiting for run 2" in bench.flowctl("run", "blocks.py:parent", code=8).stderr
    assert [bench.shown(number)["state"] for number in (1, 2)] == ["waiting", "blocked"]
    bench.write("mended", "")
    assert bench.flowctl("retry", 2).json == "known"
    assert bench.shown(1)["output"] == "known"


def test_a_parent_goes_on_after_a_cancelled_child_whose_engine_died_before_it_could_obey(bench: Bench) -> None:
    bench.write(
        "stuck.py",
        """
        @step
        def busy() -> None:
            note(f"pid {os.getpid()}")
            time.sleep(300)

        @workflow
        def child() -> None:
            busy()

        @workflow
        def parent() -> str:
            try:
                child()
            except StepFailed as failure:
                return failure.type
        """,
    )
    engine = bench.spawn("run", "stuck.py:parent")
    bench.noted("pid")
    bench.in_state("waiting")
    bench.freeze(engine.pid)
    bench.flowctl("cancel", 2)
    engine.kill()
    engine.wait()
    assert bench.flowctl("resume", 1).json == "ChildCancelled"
    assert bench.shown(2)["state"] == "cancelled"


def test_a_child_that_ends_while_its_parent_is_being_suspended_is_not_missed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bench.write(
        "parent.py",
        """
        @step
        def work(n: int) -> int:
            time.sleep(0.01)
            return n

        @workflow
        def child(n: int) -> int:
            return work(n)

        @workflow
        def parent() -> list:
            return gather(child.bind(1), child.bind(2))
        """,
    )
    with hosted() as host, host.engine() as engine:
        for hold_ms in (1, 5, 10, 15, 20, 25, 30, 40) * 2:
            monkeypatch.setattr(timers, "HOLD_MS", hold_ms)
            assert (hold_ms, "[1,2]") == (hold_ms, engine.follow(host.submit(path)).output)
