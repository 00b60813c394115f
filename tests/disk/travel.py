"""The changes of forks, decisions, signals, breakers and search, for the table in mutations.py."""

from __future__ import annotations

from flowctl.core.breakers import Breaker
from flowctl.core.model import Said
from flowctl.engine import commands, forks, resolving
from flowctl.store import Store
from tests.disk import before
from tests.disk.before import CLAIM, NOW
from tests.store.scene import Scene, new_step

BREAKER = Breaker("default", "mail", "open", 5, 60_000, 30_000, NOW, None, None, None, NOW)


def in_doubt(scene: Scene) -> None:
    """A blocked run with two bodies of which nobody knows what became of them."""
    claim = scene.held()
    for seq, key in enumerate(("pay", "ship"), start=1):
        scene.begin(claim, key, seq, on_crash="block")
    scene.write(lambda: scene.store.steps.interrupt(claim, scene.now))
    scene.release(claim, "blocked", reason="nobody knows")
    before.engines_stop(scene)


def settled(scene: Scene) -> None:
    """A blocked run whose second step has failed."""
    before.failed(scene)
    scene.write(lambda: scene.store.runs.retry(1, scene.now, replay="newest"))
    claim = scene.claim(1)
    scene.begin(claim, "parse", 2)
    scene.fail(claim, "parse")
    scene.release(claim, "blocked", reason="code changed")
    before.engines_stop(scene)


def indexed(scene: Scene) -> None:
    """A failed run whose words are in the index."""
    before.failed(scene)
    scene.write(lambda: scene.store.search.index(100, scene.now))


def signalled(scene: Scene) -> None:
    """A run that is held, and a signal that nothing has taken yet."""
    before.held(scene)
    scene.write(lambda: scene.store.signals.send(1, "go", "1", "ada", scene.now))


def fork(store: Store) -> None:
    how = forks.Fork("ada", store.steps.get(1, "parse"), outputs={"fetch": "[2]"}, output="3")
    forks.fork(store, 1, NOW, how)


def decide(store: Store, key: str, output: str | None = "1") -> None:
    step, said = store.steps.get(1, key), None if output is None else Said("ada", output)
    assert step is not None
    resolving.resolve(store, 1, step, resolving.Resolution("ada", said, "pinned"), NOW)


def send(store: Store) -> None:
    commands.signal(store, 1, NOW, name="go", value="1", sender="ada")


def take(store: Store) -> None:
    signal = store.signals.oldest(1, "go")
    assert signal is not None
    store.steps.begin(CLAIM, new_step("go", 1, kind="signal"), NOW)
    store.signals.take(CLAIM, signal, "go", NOW)


def tell(store: Store) -> None:
    store.steps.set_progress(CLAIM, "fetch", '{"done": 1}', NOW)
    store.steps.set_external_id(CLAIM, "fetch", "batch 7", NOW)


def break_off(store: Store) -> None:
    store.breakers.put(BREAKER)
    store.breakers.fail(BREAKER, 1, "fetch", 1, NOW)
    for number in (1, 2):
        store.breakers.wait("default", "mail", number)
    store.breakers.went_on("default", "mail", 2)


def mend(store: Store) -> None:
    break_off(store)
    store.breakers.take_waiting(BREAKER)
    store.breakers.clear(BREAKER)


def hold(store: Store) -> None:
    store.runs.release(CLAIM, NOW, "queued", wake_at=before.HELD_AT)
    store.holds.keep(1, "no power")


def keep(store: Store) -> None:
    workflow = store.workflows.find("default", "digest")
    assert workflow is not None
    store.workflows.keep(workflow, "the edit is broken")


def index(store: Store) -> None:
    store.search.index(100, NOW)
