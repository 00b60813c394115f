"""Claims: one holder of a run at a time, and an old epoch changes nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowctl.core.errors import ClaimLost, Conflict
from flowctl.core.model import Claim, NewEngine, Snapshot
from flowctl.store import Store, runs, steps
from tests.store.scene import HASH, Children, Scene, claimable, dump, error, new_run, new_step

Write = Callable[[Store, Claim, int], Any]

# Every write of an engine on behalf of a run. Each is allowed in the state that `contested` makes.
WRITES: dict[str, Write] = {
    "begin": lambda store, claim, now: store.steps.begin(claim, new_step("new", 9, input=f'"{"x" * 300_000}"'), now),
    "begin again": lambda store, claim, now: store.steps.begin(claim, new_step("body", 1), now),
    "start_attempt": lambda store, claim, now: store.steps.start_attempt(claim, "backoff", now),
    "start interrupted": lambda store, claim, now: store.steps.start_attempt(claim, "broken", now),
    "succeed": lambda store, claim, now: store.steps.succeed(claim, "body", f'"{"x" * 300_000}"', now),
    "fail": lambda store, claim, now: store.steps.fail(claim, "body", error("x" * 300_000), now),
    "fail_attempt": lambda store, claim, now: store.steps.fail_attempt(claim, "body", error("x" * 300_000), now, now),
    "interrupt": lambda store, claim, now: store.steps.interrupt(claim, now),
    "interrupt one": lambda store, claim, now: store.steps.interrupt(claim, now, ["body"]),
    "cancel": lambda store, claim, now: store.steps.cancel(claim, now),
    "release queued": lambda store, claim, now: store.runs.release(claim, now, "queued"),
    "release sleeping": lambda store, claim, now: store.runs.release(claim, now, "sleeping", wake_at=now + 5),
    "release waiting": lambda store, claim, now: store.runs.release(claim, now, "waiting"),
    "release paused": lambda store, claim, now: store.runs.release(claim, now, "paused", reason="asked"),
    "release blocked": lambda store, claim, now: store.runs.release(claim, now, "blocked", reason="code changed"),
    "finish succeeded": lambda store, claim, now: store.runs.finish(
        claim, now, "succeeded", output=f'"{"x" * 300_000}"'
    ),
    "finish failed": lambda store, claim, now: store.runs.finish(claim, now, "failed", error=error("x" * 300_000)),
    "finish cancelled": lambda store, claim, now: store.runs.finish(claim, now, "cancelled", reason="asked"),
    "take_back_code": lambda store, claim, now: store.runs.take_back_code(claim, now),
}


def contested(scene: Scene) -> tuple[Claim, Claim]:
    """Return the stale and the present claim of a run with a running, an interrupted and a waiting step."""
    other = Snapshot("f" * 64, "/other.py", {})
    scene.write(lambda: scene.store.snapshots.put(other, scene.now))
    stale = scene.held()
    scene.begin(stale, "broken", 2)
    scene.write(lambda: scene.store.steps.interrupt(stale, scene.now))
    with scene.store.transaction():
        assert scene.store.runs.orphan(stale.run_id, stale.epoch, scene.now, "queued", "its engine died")
    scene.write(lambda: scene.store.connection.write("UPDATE runs SET earlier_code = :code", {"code": other.code}))
    present = scene.claim(stale.run_id)
    scene.begin(present, "body", 1)
    scene.begin(present, "backoff", 3)
    scene.write(lambda: scene.store.steps.fail_attempt(present, "backoff", error(), scene.now + 5, scene.now))
    return stale, present


def test_each_claim_raises_the_epoch(scene: Scene) -> None:
    claim = scene.held()
    epochs = [claim.epoch]
    for _ in range(3):
        scene.release(claim, "queued")
        claim = scene.claim(claim.run_id)
        epochs.append(claim.epoch)
    assert [1, 2, 3, 4] == epochs


@pytest.mark.parametrize("name", WRITES)
def test_c11_a_write_with_an_old_epoch_loses_its_claim_and_changes_nothing(scene: Scene, name: str) -> None:
    stale, present = contested(scene)
    before = dump(scene.store)
    with scene.store.transaction():  # committed, as by an engine that lets the other runs of the turn go on
        with pytest.raises(ClaimLost):
            WRITES[name](scene.store, stale, scene.now)
    assert before == dump(scene.store)
    scene.write(lambda: WRITES[name](scene.store, present, scene.now))
    assert name == "begin again" or before != dump(scene.store)


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("state", ["released", "finished"])
def test_c11_a_write_after_letting_go_loses_its_claim_and_changes_nothing(scene: Scene, name: str, state: str) -> None:
    _, claim = contested(scene)
    if state == "released":
        scene.release(claim, "queued")
    else:
        scene.finish(claim)
    before = dump(scene.store)
    with scene.store.transaction(), pytest.raises(ClaimLost):
        WRITES[name](scene.store, claim, scene.now)
    assert before == dump(scene.store)


def blocks_with_an_epoch() -> list[tuple[str, str, str]]:
    found = [("runs", name, sql) for name, sql in runs.SQL.items()] + [
        ("steps", name, sql) for name, sql in steps.SQL.items()
    ]
    return [entry for entry in found if ":epoch" in entry[2]]


KEYS = {"start_attempt": "backoff", "begin": "new", "holds": "body"}


def fields_of(name: str, sql: str, scene: Scene, run_id: int) -> dict[str, Any]:
    """Return parameters with which a block changes the run that `contested` makes, but for the epoch."""
    fields: dict[str, Any] = dict.fromkeys(re.findall(r":([a-z_]+)", sql))
    fields |= {"run": run_id, "now": scene.now, "key": KEYS.get(name, "body"), "name": "new", "kind": "step"}
    fields |= {"seq": 9, "input": "1", "input_crc": 1, "input_hash": HASH, "wake_at": None, "on_crash": "rerun"}
    fields |= {"output": "1", "output_crc": 1, "error": None, "failed_steps": "[]", "code": "f" * 64}
    fields["state"] = {"finish": "succeeded", "orphan": "queued", "release": "queued"}.get(name, "cancelled")
    if name in ("fail", "record_failure"):
        fields["error"] = error()
    if name == "back_off":
        fields["wake_at"] = scene.now
    return fields


@pytest.mark.parametrize(("noun", "name", "sql"), blocks_with_an_epoch(), ids=lambda value: str(value)[:30])
def test_c11_the_guard_is_inside_each_statement(scene: Scene, noun: str, name: str, sql: str) -> None:
    stale, present = contested(scene)
    fields = fields_of(name, sql, scene, stale.run_id)
    connection = scene.store.connection
    with scene.store.transaction():
        changes = connection.raw.total_changes()
        assert [] == connection.write(sql, fields | {"epoch": stale.epoch})
        assert changes == connection.raw.total_changes()
        found = connection.write(sql, fields | {"epoch": present.epoch})
        assert found or changes < connection.raw.total_changes()  # with the present epoch the same statement works


@pytest.mark.parametrize(("noun", "name", "sql"), blocks_with_an_epoch(), ids=lambda value: str(value)[:30])
def test_c11_no_statement_changes_a_run_that_was_let_go(scene: Scene, noun: str, name: str, sql: str) -> None:
    _, present = contested(scene)
    fields = fields_of(name, sql, scene, present.run_id)
    scene.release(present, "queued")
    connection = scene.store.connection
    with scene.store.transaction():
        changes = connection.raw.total_changes()
        assert [] == connection.write(sql, fields | {"epoch": present.epoch})
        assert changes == connection.raw.total_changes()


def test_c11_every_write_to_a_held_run_carries_the_epoch() -> None:
    unheld = {  # of runs that no engine holds, or that raise the epoch themselves
        ("runs", name)
        for name in (
            "create",
            "claim",
            "wake",
            "fail_idle",
            "cancel_idle",
            "pause_idle",
            "resume",
            "request",
            "detach",
            "retry",
            "follow",
            "unfollow",
            "wake_after",
            "line_up",
            "block_again",
            "undo_idle",
            "drop",
        )
    } | {
        ("steps", name)
        for name in (
            "record_idle_cancellations",
            "cancel_idle",
            "supersede",
            "share",
            "say",
            "conclude",
            "record_said_failure",
            "set_aside",
        )
    }
    everything = [("runs", name, sql) for name, sql in runs.SQL.items()] + [
        ("steps", n, sql) for n, sql in steps.SQL.items()
    ]
    writes = {(noun, name) for noun, name, sql in everything if sql.startswith(("UPDATE", "INSERT", "DELETE"))}
    assert writes == unheld | {(noun, name) for noun, name, sql in blocks_with_an_epoch() if name != "holds"}


def test_c10_a_raised_base_leaves_no_old_claim_valid(scene: Scene) -> None:
    stale = scene.held()
    scene.release(stale, "queued")
    scene.write(lambda: scene.store.connection.write("UPDATE meta SET value = '1000' WHERE key = 'epoch_base'"))
    assert 1_001 == scene.claim(stale.run_id).epoch


def test_c03_an_orphan_is_taken_with_the_epoch_it_was_seen_with(scene: Scene) -> None:
    stale, present = contested(scene)
    before = dump(scene.store)
    assert not scene.write(lambda: scene.store.runs.orphan(stale.run_id, stale.epoch, scene.now, "queued", "died"))
    assert before == dump(scene.store)
    assert scene.write(lambda: scene.store.runs.orphan(present.run_id, present.epoch, scene.now, "queued", "died"))
    assert not scene.write(lambda: scene.store.runs.orphan(present.run_id, present.epoch, scene.now, "queued", "died"))


def test_c07_eight_processes_claim_500_runs_once_each(path: Path, children: Children) -> None:
    with Store.open(path) as store:
        scene = Scene(store)
        with store.transaction():
            for _ in range(500):
                store.runs.create(new_run(), scene.now)

    def work(number: int) -> Callable[[], list[int]]:
        def claim_until_none_is_left() -> list[int]:
            mine: list[int] = []
            with Store.open(path, busy_timeout=30_000) as store:
                with store.transaction():
                    engine = store.engines.start(NewEngine(f"token-{number}", "daemon", number, "boot"), 1)
                while due := claimable(store.runs, 2_000_000, limit=20):
                    with store.transaction():
                        claimed = [store.runs.claim(run_id, engine, 2_000_000) for run_id in due]
                    mine += [run.id for run in claimed if run is not None]
            return mine

        return claim_until_none_is_left

    shares = children.race([work(number) for number in range(8)])
    assert list(range(1, 501)) == sorted(run_id for share in shares for run_id in share)
    with Store.open(path) as store:
        assert {"running": 500} == store.runs.counts("default")
        owners = Counter(row[0] for row in store.connection.rows("SELECT engine_id FROM runs"))
        assert sorted(owners.values()) == sorted(len(share) for share in shares if share)
        assert {1} == {row[0] for row in store.connection.rows("SELECT epoch FROM runs")}
        assert [] == store.check(full=True)


def test_b01_eight_processes_record_the_same_step_and_one_outcome_stands(path: Path, children: Children) -> None:
    with Store.open(path) as store:
        scene = Scene(store)
        claim = scene.held()

    def record(number: int) -> Callable[[], tuple[bool, str | None]]:
        def begin_and_record() -> tuple[bool, str | None]:
            with Store.open(path, busy_timeout=30_000) as store:
                won = True
                try:
                    with store.transaction():
                        store.steps.begin(claim, new_step("fetch", 1), 1_000_000)
                    with store.transaction():
                        store.steps.succeed(claim, "fetch", f'"by {number}"', 1_000_001)
                except Conflict:
                    won = False
                recorded = store.steps.get(claim.run_id, "fetch")
                return won, recorded.output if recorded else None

        return begin_and_record

    outcomes = children.race([record(number) for number in range(8)])
    assert 1 == sum(won for won, _ in outcomes)
    assert 1 == len({output for _, output in outcomes})  # the losers adopt the winner's
    with Store.open(path) as store:
        assert 1 == store.steps.count(claim.run_id)
        assert [] == store.check(full=True)
