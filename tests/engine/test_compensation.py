"""Compensation: what was done is undone in reverse order, durably, when a run fails or is cancelled."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from flowctl import compensate, step
from flowctl.sdk.processes import children
from tests.faults.conftest import Bench

TRIP = """
import logging
@step
def book(what: str) -> str:
    note(f"book {what}")
    return f"{what}-1"

@step
def free(number: str) -> None:
    note(f"free {number}")
    if number == "hotel-1" and (HERE / "stubborn").exists():
        raise OSError("the hotel does not answer")

@step
def slowly(number: str) -> None:
    note(f"slowly {number}")
    while (HERE / "slow").exists():
        time.sleep(0.01)

@step
def pay(total: int) -> str:
    note("pay")
    if not (HERE / "money").exists():
        raise GiveUp("no money")
    return "paid"

def reserve(what, undo):
    number = book(what)
    compensate(undo.bind(number))
    return number

@workflow
def trip(undo_slowly: bool = False) -> str:
    reserve("flight", free)
    reserve("hotel", slowly if undo_slowly else free)
    reserve("car", free)
    return pay(100)

@workflow(attempts=2)
def twice() -> str:
    reserve("flight", free)
    (HERE / "tries").open("a").write("x")
    if not (HERE / "money").exists():
        (HERE / "money").touch()
        raise OSError("the first time")
    return pay(100)

@workflow
def waits() -> str:
    reserve("flight", free)
    reserve("hotel", free)
    return wait_signal("go", str)

@workflow
def works() -> str:
    reserve("flight", free)
    note("works")
    try:
        slowly("work")
    finally:
        note("finally")
    return "done"

@workflow
def side_by_side() -> list[str]:
    reserve("flight", free)
    return gather(book.bind("a"), slowly.bind("b"), concurrency=2)

@workflow(timeout="5s")
def hurried() -> None:
    reserve("flight", free)
    slowly("work")

@workflow(attempts=2)
def dies(twice: bool = False) -> str:
    reserve("flight", free)
    reserve("hotel", free)
    pay(100)
    if not twice:
        reserve("car", free)
    sleep(0.01)  # once it is over, everything before it is on record
    os._exit(3)

@workflow
def dies_early() -> str:
    reserve("flight", free)
    if (HERE / "ledger").read_text().count("pay"):
        os._exit(3)
    reserve("hotel", free)
    pay(100)
    sleep(0.01)
    os._exit(3)

@workflow
def moody(dies: bool) -> str:
    # Does not come to its end the first time, and would at any later one.
    reserve("flight", free)
    reserve("hotel", slowly)
    reserve("car", free)
    sleep(0.01)
    if not (HERE / "better").exists():
        (HERE / "better").touch()
        if dies:
            os._exit(3)
        raise OSError("not today")
    return "done"

@workflow
def nervous() -> str:
    # Its process dies between two steps that undo: when it is told that one of them has failed.
    logging.getLogger("flowctl").addFilter(die_once)
    reserve("flight", free)
    reserve("hotel", free)
    reserve("car", free)
    return pay(100)

def die_once(record):
    if not (HERE / "better").exists():
        (HERE / "better").touch()
        os._exit(3)
    return True

@workflow
def parent() -> str:
    reserve("train", free)
    return waits()
"""
DONE = ["book flight", "book hotel", "book car", "pay"]
UNDONE = ["free car-1", "free hotel-1", "free flight-1"]


def undo_steps(bench: Bench, run: int = 1) -> list[tuple[str, str]]:
    return [(each["key"], each["state"]) for each in bench.shown(run)["steps"] if each["key"].startswith("undo-")]


def test_g07_a_run_that_fails_is_undone_in_reverse_order_and_keeps_its_own_error(bench: Bench) -> None:
    bench.write("trip.py", TRIP)
    bench.flowctl("run", "trip.py:trip", code=1)
    assert DONE + UNDONE == bench.ledger()
    assert "step pay failed: GiveUp: no money" in bench.shown()["error"]["message"]
    assert [("undo-free", "succeeded"), ("undo-free#2", "succeeded"), ("undo-free#3", "succeeded")] == undo_steps(bench)


def test_g07_a_run_that_succeeds_is_not_undone(bench: Bench, tmp_path: Path) -> None:
    bench.write("trip.py", TRIP)
    (tmp_path / "money").touch()
    bench.flowctl("run", "trip.py:trip")
    assert DONE == bench.ledger()


def test_g07_an_undo_that_fails_is_recorded_and_the_others_are_made(bench: Bench, tmp_path: Path) -> None:
    bench.write("trip.py", TRIP)
    (tmp_path / "stubborn").touch()
    bench.flowctl("run", "trip.py:trip", code=1)
    assert DONE + UNDONE == bench.ledger()
    assert [("undo-free", "succeeded"), ("undo-free#2", "failed"), ("undo-free#3", "succeeded")] == undo_steps(bench)
    assert "no money" in bench.shown()["error"]["message"]


def test_g07_killed_in_the_middle_the_undo_goes_on_where_it_was(bench: Bench, tmp_path: Path) -> None:
    bench.write("trip.py", TRIP)
    (tmp_path / "slow").touch()
    engine = bench.spawn("run", "trip.py:trip", "undo_slowly=true")
    bench.wait_for(lambda: "slowly hotel-1" in bench.ledger())
    engine.send_signal(signal.SIGKILL)
    engine.wait()
    (tmp_path / "slow").unlink()
    bench.flowctl("resume", 1, code=1)
    assert [*DONE, "free car-1", "slowly hotel-1", "slowly hotel-1", "free flight-1"] == bench.ledger()
    assert "failed" == bench.shown()["state"]


def test_g07_an_executor_that_dies_in_an_undo_fails_that_and_the_others_are_made(bench: Bench, tmp_path: Path) -> None:
    bench.write("trip.py", TRIP)
    (tmp_path / "slow").touch()
    engine = bench.spawn("run", "trip.py:trip", "undo_slowly=true")
    bench.wait_for(lambda: "slowly hotel-1" in bench.ledger())
    for executor in children(engine.pid):
        os.kill(executor, signal.SIGKILL)
    assert 1 == engine.wait(timeout=60)
    assert [*DONE, "free car-1", "slowly hotel-1", "free flight-1"] == bench.ledger()
    assert [("undo-free", "succeeded"), ("undo-slowly", "failed"), ("undo-free#2", "succeeded")] == undo_steps(bench)


def test_g07_a_retry_starts_over_at_the_first_step_that_was_undone(bench: Bench, tmp_path: Path) -> None:
    bench.write("trip.py", TRIP)
    bench.flowctl("run", "trip.py:trip", code=1)
    (tmp_path / "money").touch()
    bench.flowctl("retry", 1)
    assert DONE + UNDONE + DONE == bench.ledger()
    assert "paid" == bench.shown()["output"]


def test_g07_nothing_is_undone_while_the_run_has_attempts_left(bench: Bench) -> None:
    bench.write("trip.py", TRIP)
    bench.flowctl("run", "trip.py:twice")
    assert ["book flight", "pay"] == bench.ledger()


def test_g07_a_run_that_waits_is_undone_when_it_is_cancelled(bench: Bench) -> None:
    bench.write("trip.py", TRIP)
    engine = bench.spawn("run", "trip.py:waits")
    bench.in_state("waiting")
    bench.flowctl("cancel", 1)
    assert 6 == engine.wait(timeout=60)
    assert ["book flight", "book hotel", "free hotel-1", "free flight-1"] == bench.ledger()
    assert "cancelled" == bench.shown()["state"]
    assert "cancelled" == bench.shown()["by_key"]["go"]["state"]


def test_g07_without_an_engine_a_cancelled_run_is_undone_by_the_next(bench: Bench) -> None:
    bench.write("trip.py", TRIP)
    engine = bench.spawn("run", "trip.py:waits")
    bench.in_state("waiting")
    engine.kill()
    engine.wait()
    assert "what it has done is being undone" in bench.flowctl("cancel", 1).stdout
    assert "queued" == bench.shown()["state"]
    bench.flowctl("pause", 1)
    assert "queued" == bench.shown()["state"]
    bench.flowctl("resume", 1, code=6)
    assert ["book flight", "book hotel", "free hotel-1", "free flight-1"] == bench.ledger()


@pytest.mark.parametrize("flow", ["works", "side_by_side"])
def test_g07_a_run_at_work_is_undone_when_it_is_cancelled(bench: Bench, tmp_path: Path, flow: str) -> None:
    bench.write("trip.py", TRIP)
    (tmp_path / "slow").touch()
    engine = bench.spawn("run", f"trip.py:{flow}")
    bench.wait_for(lambda: any(line.startswith("slowly") for line in bench.ledger()))
    bench.flowctl("cancel", 1)
    assert 6 == engine.wait(timeout=60)
    assert 1 == bench.ledger().count("free flight-1")
    assert 1 == sum(line.startswith("slowly") for line in bench.ledger())
    assert [("undo-free", "succeeded")] == undo_steps(bench)


def test_g07_a_run_that_took_too_long_is_undone_and_fails(bench: Bench, tmp_path: Path) -> None:
    bench.write("trip.py", TRIP)
    (tmp_path / "slow").touch()
    bench.flowctl("run", "trip.py:hurried", code=7)
    assert ["book flight", "slowly work", "free flight-1"] == bench.ledger()
    assert "RunTimedOut" == bench.shown()["error"]["type"]


@pytest.mark.parametrize("twice", [False, True])
def test_g07_a_run_whose_process_dies_between_two_steps_is_undone_once_no_attempt_is_left(
    bench: Bench, tmp_path: Path, twice: bool
) -> None:
    bench.write("trip.py", TRIP)
    (tmp_path / "money").touch()
    bench.flowctl("run", "trip.py:dies", f"twice={json.dumps(twice)}", code=1)
    booked = ["book flight", "book hotel", "pay"] + ([] if twice else ["book car"])
    undone = UNDONE[1:] if twice else UNDONE
    assert booked + undone == bench.ledger()
    assert ("failed", 2, "ExecutorDied") == (
        bench.shown()["state"], bench.shown()["attempt"], bench.shown()["error"]["type"]
    )  # fmt: skip


def test_g07_a_run_that_cannot_be_replayed_to_be_undone_fails_as_it_is(bench: Bench, tmp_path: Path) -> None:
    bench.write("trip.py", TRIP)
    (tmp_path / "money").touch()
    bench.flowctl("run", "trip.py:dies_early", code=1)
    assert ["book flight", "book hotel", "pay"] == bench.ledger()
    assert "ExecutorDied" == bench.shown()["error"]["type"]


@pytest.mark.parametrize(("dies", "kind"), [(True, "ExecutorDied"), (False, "OSError")])
def test_g07_a_run_that_is_being_undone_when_its_engine_dies_does_not_succeed_after_all(
    bench: Bench, tmp_path: Path, dies: bool, kind: str
) -> None:
    bench.write("trip.py", TRIP)
    (tmp_path / "slow").touch()
    engine = bench.spawn("run", "trip.py:moody", f"dies={json.dumps(dies)}")
    bench.wait_for(lambda: "slowly hotel-1" in bench.ledger())
    engine.send_signal(signal.SIGKILL)
    engine.wait()
    (tmp_path / "slow").unlink()
    bench.flowctl("resume", 1, code=1)
    assert ("failed", kind) == (bench.shown()["state"], bench.shown()["error"]["type"])
    undone = ["free car-1", "slowly hotel-1", "slowly hotel-1", "free flight-1"]
    assert ["book flight", "book hotel", "book car", *undone] == bench.ledger()
    bench.flowctl("retry", 1)
    assert ("succeeded", "done") == (bench.shown()["state"], bench.shown()["output"])


def test_g07_a_cancellation_during_the_undo_keeps_the_error_and_the_undo_goes_on(bench: Bench, tmp_path: Path) -> None:
    bench.write("trip.py", TRIP)
    (tmp_path / "slow").touch()
    engine = bench.spawn("run", "trip.py:moody", "dies=false")
    bench.wait_for(lambda: "slowly hotel-1" in bench.ledger())
    bench.flowctl("cancel", 1)
    bench.wait_for(lambda: bench.ledger().count("slowly hotel-1") == 2)
    (tmp_path / "slow").unlink()
    assert 1 == engine.wait(timeout=60)
    assert ("failed", "OSError") == (bench.shown()["state"], bench.shown()["error"]["type"])
    assert "free flight-1" == bench.ledger()[-1]


def test_g07_a_process_that_dies_between_two_undo_steps_takes_neither_the_error_nor_the_rest_of_the_undo(
    bench: Bench, tmp_path: Path
) -> None:
    bench.write("trip.py", TRIP)
    (tmp_path / "stubborn").touch()
    bench.flowctl("run", "trip.py:nervous", code=1)
    assert DONE + UNDONE == bench.ledger()
    assert "step pay failed: GiveUp: no money" in bench.shown()["error"]["message"]


def test_g07_children_are_undone_with_their_parent(bench: Bench) -> None:
    bench.write("trip.py", TRIP)
    engine = bench.spawn("run", "trip.py:parent")
    bench.in_state("waiting", 2)
    bench.flowctl("cancel", 1)
    assert 6 == engine.wait(timeout=60)
    assert {"free hotel-1", "free flight-1", "free train-1"} <= set(bench.ledger())
    assert ("cancelled", "cancelled") == (bench.shown(1)["state"], bench.shown(2)["state"])


def test_g07_a_paused_run_is_not_undone(bench: Bench) -> None:
    bench.write("trip.py", TRIP)
    engine = bench.spawn("run", "trip.py:waits")
    bench.in_state("waiting")
    engine.send_signal(signal.SIGINT)
    assert 130 == engine.wait(timeout=60)
    bench.flowctl("signal", 1, "go", '"on"')
    bench.flowctl("resume", 1)
    assert ["book flight", "book hotel"] == bench.ledger()


def test_compensate_takes_a_bound_step() -> None:
    with pytest.raises(TypeError, match="takes a bound step"):
        compensate(len)  # type: ignore[arg-type]
    compensate(step(lambda_free).bind("x"))  # outside of a run nothing is registered


def lambda_free(number: str) -> None:
    raise AssertionError(number)
