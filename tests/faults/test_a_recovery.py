"""A10: recovery that is killed itself, at each of its statements, is as if it had been done once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flowctl.core.model import Claim, NewEngine
from flowctl.engine import recovery
from flowctl.engine.claim import boot_id
from flowctl.store import Store
from tests.store.scene import Children, Scene, dump

OWN = {"meta", "events"}  # what one file says of itself, and the numbers of lines that were taken back
LATER = 2_000_000


def left_behind(path: Path) -> None:
    """Leave a file behind in which a dead engine holds a run of every kind that recovery treats in its own way."""
    with Store.open(path) as store:
        scene = Scene(store)
        with store.transaction():
            engine = store.engines.start(NewEngine("dead", "daemon", 1, boot_id()), scene.now)
        plain, unsure, paused, cancelled, worn = (scene.submit(workflow=name) for name in "abcde")
        child = scene.submit(parent_id=cancelled, parent_step="child", root_id=cancelled)
        for run in (plain, unsure, paused, cancelled, worn, child):
            with store.transaction():
                held = store.runs.claim(run, engine, scene.now)
                assert held is not None
            scene.begin(Claim(held.id, held.epoch), "body", 1, on_crash="block" if run == unsure else "rerun")
        scene.write(lambda: store.runs.request(paused, "pause", scene.now))
        scene.write(lambda: store.runs.request(cancelled, "cancel", scene.now))
        scene.write(lambda: store.connection.write("UPDATE runs SET crashes = 9 WHERE id = :run", {"run": worn}))


def recovering(path: Path, dies_at: int | None) -> Callable[[], int]:
    """Return a recovery that is killed right before that statement: 1, 2, … It returns how many there were."""

    def recover() -> int:
        count = 0
        with Store.open(path) as store:
            rows = store.connection.rows

            def counted(*arguments: Any) -> Any:
                nonlocal count
                count += 1
                if count == dies_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                return rows(*arguments)

            store.connection.rows = counted  # type: ignore[method-assign]
            recovery.recover_store(store, LATER)
        return count

    return recover


def state_of(path: Path) -> dict[str, Any]:
    with Store.open(path) as store:
        assert [] == store.check(full=True)
        said = [(event.subject, event.state, event.reason) for run in range(1, 7) for event in store.events.of_run(run)]
        return {name: rows for name, rows in dump(store).items() if name not in OWN} | {"said": said}


def test_a10_a_recovery_that_is_killed_at_any_statement_is_made_once(tmp_path: Path) -> None:
    children = Children()
    whole, cut = tmp_path / "whole" / "flow.db", tmp_path / "cut" / "flow.db"
    for path in (whole, cut):
        path.parent.mkdir(mode=0o700)
        left_behind(path)
    statements = children.run(recovering(whole, None))
    assert statements > 20
    for number in range(1, statements + 1):
        assert -signal.SIGKILL == children.run(recovering(cut, number))
    children.run(recovering(cut, None))
    assert state_of(whole) == state_of(cut)
    with Store.open(cut) as store:
        found = [store.runs.get(run) for run in range(1, 7)]
        assert ["queued", "blocked", "paused", "cancelled", "failed", "cancelled"] == [run.state for run in found]
        assert [1, 1, 1, 1, 10, 1] == [run.crashes for run in found]
        assert not recovery.recover_store(store, LATER)
