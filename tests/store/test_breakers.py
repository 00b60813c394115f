"""Circuit breakers: whose probe is under way."""

from __future__ import annotations

from flowctl.core.breakers import Breaker
from flowctl.core.model import Claim
from tests.store.scene import Scene


def probing(scene: Scene, claim: Claim) -> bool:
    """Tell whether a probe that these hands have begun is under way."""
    breaker = Breaker("default", "mail", "half_open", 5, 60_000, 30_000, 1, claim.run_id, "send", claim.epoch, 1)
    return scene.store.breakers.probing(breaker)


def test_h09_a_probe_is_under_way_while_the_hands_that_began_it_have_its_run(scene: Scene) -> None:
    claim = scene.held()
    assert probing(scene, claim)
    scene.release(claim, "queued")
    assert not probing(scene, claim)
    later = scene.claim(claim.run_id)
    assert (False, True) == (probing(scene, claim), probing(scene, later))


def test_b03_what_is_said_twice_counts_once(scene: Scene) -> None:
    run, breakers = scene.submit(), scene.store.breakers
    breaker = Breaker("default", "mail", "closed", 5, 60_000, 30_000, None, None, None, None, scene.now)
    scene.write(lambda: breakers.put(breaker))
    for _ in range(2):
        scene.write(lambda: breakers.fail(breaker, run, "send", 1, scene.now))
        scene.write(lambda: breakers.wait("default", "mail", run))
    assert 1 == breakers.recent(breaker, scene.now)
    assert [run] == scene.write(lambda: breakers.take_waiting(breaker))
