"""Transactions: all or nothing, and never a read that turns into a write."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from flowctl.core.errors import DiskTrouble, UsageError
from flowctl.core.listing import RunFilter
from flowctl.core.model import Claim
from flowctl.store import Store
from tests.store.scene import Scene, dump, new_run, new_step

WRITING = re.compile(r"^(INSERT|UPDATE|DELETE|REPLACE|CREATE|DROP|ALTER)", re.IGNORECASE)


class Boom(Exception):
    """Whatever may happen inside a transaction."""


def traced(store: Store, action: Callable[[], Any]) -> list[str]:
    """Return the statements that something runs."""
    seen: list[str] = []

    def trace(_: Any, sql: str, __: Any) -> bool:
        seen.append(sql.strip())
        return True

    store.connection.raw.exec_trace = trace
    action()
    store.connection.raw.exec_trace = None
    return seen


def one_of_each_write(scene: Scene) -> None:
    claim = scene.held(input=f'"{"x" * 300_000}"')
    scene.begin(claim, "fetch", 1)
    scene.succeed(claim, "fetch")
    scene.begin(claim, "parse", 2)
    scene.fail(claim, "parse")
    scene.write(lambda: scene.store.logs.append(claim.run_id, "parse", 1, scene.now, "stdout", None, "hello"))
    scene.finish(claim, "failed", failed_steps=["parse"])
    scene.write(lambda: scene.store.runs.retry(claim.run_id, scene.now, replay="newest"))
    scene.write(lambda: scene.store.runs.cancel_idle(claim.run_id, scene.now, "cancelled"))


def test_j05_every_write_is_in_a_transaction_that_began_immediate(scene: Scene) -> None:
    statements = traced(scene.store, lambda: one_of_each_write(scene))
    begun = ""
    for sql in statements:
        if sql.startswith(("BEGIN", "COMMIT", "ROLLBACK")):
            begun = sql
        elif WRITING.match(sql):
            assert "BEGIN IMMEDIATE" == begun, sql
    assert len([sql for sql in statements if WRITING.match(sql)]) > 10
    assert {"BEGIN IMMEDIATE"} == {sql for sql in statements if sql.startswith("BEGIN")}


def test_j05_a_write_outside_a_transaction_is_refused(scene: Scene) -> None:
    with pytest.raises(RuntimeError):
        scene.store.runs.create(new_run(), scene.now)
    with scene.store.reading(), pytest.raises(RuntimeError):
        scene.store.runs.create(new_run(), scene.now)
    assert 0 == scene.store.status()["counts"]["runs"]


def test_an_error_inside_undoes_everything(scene: Scene) -> None:
    def fail() -> None:
        scene.store.runs.create(new_run(), scene.now)
        raise Boom

    before = dump(scene.store)
    with pytest.raises(Boom):
        scene.write(fail)
    assert before == dump(scene.store)
    assert not scene.store.connection.raw.in_transaction
    assert 1 == scene.submit()


def test_reading_inside_a_transaction_sees_its_writes(scene: Scene) -> None:
    with scene.store.transaction():
        number, _ = scene.store.runs.create(new_run(), scene.now)
        with scene.store.reading():
            assert number == scene.store.runs.get(number).id
    assert number == scene.store.runs.get(number).id


def advance(scene: Scene, claim: Claim) -> None:
    """Do what the engine does at every step: record an outcome, and the input of the next."""
    with scene.store.transaction():
        scene.store.steps.succeed(claim, "fetch", f'"{"y" * 300_000}"', scene.now)
        scene.store.steps.begin(claim, new_step("parse", 2), scene.now)


def test_b02_wherever_the_recording_transaction_fails_all_of_it_or_nothing_is_there(scene: Scene) -> None:
    claim = scene.held()
    scene.begin(claim, "fetch", 1)
    before, connection, number = dump(scene.store), scene.store.connection, 0
    real = connection.rows

    def failing(sql: str, parameters: Any = None) -> Any:
        nonlocal number
        if sql != "ROLLBACK":
            number -= 1
            if number == 0:
                raise DiskTrouble("the disk is full")
        return real(sql, parameters)

    for nth in range(1, 50):
        number = nth
        connection.rows = failing  # type: ignore[method-assign]
        try:
            advance(scene, claim)
        except DiskTrouble:
            connection.rows = real  # type: ignore[method-assign]
            assert before == dump(scene.store)
            continue
        connection.rows = real  # type: ignore[method-assign]
        break
    assert nth > 4
    assert {"fetch": "succeeded", "parse": "running"} == scene.states(claim.run_id)


def test_j13_no_cursor_is_left_open_to_pin_the_log(scene: Scene) -> None:
    claim = scene.held()
    for number in range(1, 60):
        scene.begin(claim, f"fetch#{number}", number)
        scene.succeed(claim, f"fetch#{number}", f'"{"x" * 2_000}"')
    next(iter(scene.store.steps.history(claim.run_id)))
    scene.store.runs.find(RunFilter())
    busy, log, done = scene.store.connection.raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0]
    assert (0, 0, 0) == (busy, log, done)


def test_k02_a_value_beyond_the_limit_is_refused_and_nothing_is_half_stored(scene: Scene) -> None:
    claim = scene.held()
    scene.begin(claim, "fetch", 1)
    before = dump(scene.store)
    with pytest.raises(UsageError) as caught:
        scene.succeed(claim, "fetch", f'"{"x" * (65 << 20)}"')
    assert "64 MB" in caught.value.message
    assert before == dump(scene.store)
    scene.succeed(claim, "fetch", '"small"')
