"""What `why` asks of the file."""

from __future__ import annotations

from tests.store.scene import Scene


def test_what_has_been_ready_the_longest_is_told_of_each_queue(scene: Scene) -> None:
    scene.finish(scene.held())
    scene.held()
    scene.submit(wake_at=scene.now + 9)
    assert [] == scene.store.evidence.ready()
    first = scene.submit()
    other = scene.submit(queue="mail")
    scene.now += 5
    scene.submit()
    assert [first, other] == sorted(scene.store.evidence.ready())
    scene.claim(first)
    scene.claim(other)
    assert [other + 1] == scene.store.evidence.ready()
