"""Signals: kept in their order, and taken once, by who holds the run."""

from __future__ import annotations

import pytest

from flowctl.core.errors import ClaimLost
from flowctl.core.model import Claim
from flowctl.core.signals import Signal
from tests.store.scene import Scene


def send(scene: Scene, run_id: int, name: str, value: str) -> int:
    return int(scene.write(lambda: scene.store.signals.send(run_id, name, value, "me", scene.now)))


def oldest(scene: Scene, run_id: int, name: str = "go") -> Signal:
    found = scene.store.signals.oldest(run_id, name)
    assert found is not None
    return found


def take(scene: Scene, claim: Claim, signal: Signal) -> None:
    scene.write(lambda: scene.store.signals.take(claim, signal, "wait", scene.now))


def test_signals_of_a_name_are_taken_in_their_order_each_once(scene: Scene) -> None:
    claim = scene.held()
    other = scene.held()
    for name, value in (("go", "1"), ("stop", "2"), ("go", "3")):
        send(scene, claim.run_id, name, value)
    send(scene, other.run_id, "go", "4")
    first = oldest(scene, claim.run_id)
    take(scene, claim, first)
    assert ("1", "3") == (first.value, oldest(scene, claim.run_id).value)
    with pytest.raises(ClaimLost):
        take(scene, claim, first)
    assert ["wait", None, None] == [signal.taken_by for signal in scene.store.signals.of_run(claim.run_id)]


def test_who_has_lost_the_run_takes_no_signal_of_it(scene: Scene) -> None:
    stale = scene.held()
    send(scene, stale.run_id, "go", "1")
    signal = oldest(scene, stale.run_id)
    scene.release(stale, "queued")
    with pytest.raises(ClaimLost):
        take(scene, stale, signal)
    now = scene.claim(stale.run_id)
    with pytest.raises(ClaimLost):
        take(scene, stale, signal)
    assert oldest(scene, stale.run_id).taken_by is None
    take(scene, now, signal)
    assert scene.store.signals.oldest(stale.run_id, "go") is None


def test_a_run_waits_for_what_its_open_steps_ask_for(scene: Scene) -> None:
    claim = scene.held()
    signals = scene.store.signals
    for seq, (key, name) in enumerate((("done", "go"), ("open", "go"), ("also", "stop")), 1):
        scene.begin(claim, key, seq, name=name, kind="signal", input=f'"{key}"')
    scene.begin(claim, "body", 4, name="other")
    scene.succeed(claim, "done")
    assert ("open", '"open"') == signals.waiting(claim.run_id, "go")
    assert None is signals.waiting(claim.run_id, "other")
    assert ["go", "stop"] == signals.awaited(claim.run_id)
    scene.release(claim, "blocked", reason="asked")
    scene.write(lambda: scene.store.runs.retry(claim.run_id, scene.now, replay="newest", from_step="open"))
    assert (None, []) == (signals.waiting(claim.run_id, "go"), signals.awaited(claim.run_id))
