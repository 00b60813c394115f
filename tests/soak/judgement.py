"""What a soak has found: what is wrong, and the figures."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

from tests.soak.hosts import VICTIMS
from tests.soak.world import PATIENCE_S, STEPS, Body, Figures, World

AIM_S = 2.0  # 99 of 100 restarts should take no longer
KINDS = ("lost", "recorded twice", "executed too often", "overlapping", "left over", "stuck", "damaged")


def look_back(world: World, numbers: list[int]) -> None:
    """Look at everything that is left when all has come to its end."""
    figures = world.figures
    bodies, _ = world.ledger()
    figures.runs, figures.bodies = len(numbers), len(bodies)
    for kind, what in (*wrong_in_ledger(bodies, figures.kills.total()), *wrong_in_store(world, numbers, bodies)):
        figures.found[kind].append(what)
    figures.found["left over"] += [f"process {pid} at the end" for pid in world.left_over()]
    check = world.start("db", "check", "--full")
    said, _ = check.communicate(timeout=PATIENCE_S)
    if check.returncode:
        figures.found["damaged"].append(said)


def wrong_in_ledger(bodies: list[Body], kills: int) -> Iterator[tuple[str, str]]:
    """Yield what the bodies tell of: a step begins when the step before is recorded, and again only after a kill."""
    furthest: Counter[int] = Counter()
    times = Counter((body.run, body.place, body.attempt) for body in bodies)
    for body in bodies:
        if body.place < furthest[body.run]:
            yield "lost", f"run {body.run}: step {body.place} began again after step {furthest[body.run]} had begun"
        furthest[body.run] = max(furthest[body.run], body.place)
        if not body.alone:
            yield "overlapping", f"run {body.run}: step {body.place} began while an earlier body was still there"
    for (run, place, attempt), count in times.items():
        if count > 1:
            yield "executed too often", f"run {run}: step {place}, attempt {attempt}, {count} times"
    again = len(bodies) - len({(body.run, body.place) for body in bodies})
    if again > kills:
        yield "executed too often", f"{again} bodies ran again after {kills} kills"


def wrong_in_store(world: World, numbers: list[int], bodies: list[Body]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the record: each run is there, and each step once, as its last body returned it."""
    last = {(body.run, body.place): body.attempt for body in bodies}
    with world.store() as store:
        rows = store.connection.rows("SELECT run_id FROM steps WHERE state = 'succeeded'")
        recorded = Counter(run for (run,) in rows)
        runs = {run: store.runs.get(run) for (run,) in store.connection.rows("SELECT id FROM runs")}
    for number in numbers:
        run = runs.get(number)
        if run is None:
            yield "lost", f"run {number}"
        elif run.state != "succeeded":
            yield "stuck", f"run {number} is {run.state}"
        elif json.loads(run.output or "[]") != [f"{number}.{n}.{last.get((number, n))}" for n in range(STEPS)]:
            yield "lost", f"run {number} returned {run.output}"
        elif recorded[number] != STEPS:
            yield "recorded twice", f"run {number} has {recorded[number]} recorded steps"


def table(figures: Figures) -> str:
    """Return the figures for a person."""
    victims = ", ".join(f"{victim} {figures.kills[victim]}" for victim in VICTIMS)
    codes = ", ".join(f"{count} with {code}" for code, count in sorted(figures.codes.items()))
    rows = [
        ("kills", f"{figures.kills.total()} ({victims})"),
        ("processes ended", codes),
        ("runs", f"{figures.runs}"),
        ("steps", f"{figures.runs * STEPS}, {figures.bodies} bodies"),
        *((kind, f"{len(figures.found[kind])}") for kind in KINDS),
        ("engine killed, work goes on", f"{spread(figures.restarts)}; aim: p99 <= {AIM_S:g} s"),
        ("executor killed, work goes on", spread(figures.replacements)),
    ]
    details = [f"  {kind}: {what}" for kind in KINDS for what in figures.found[kind]]
    return "\n".join([*(f"{name:<30}  {value}" for name, value in rows), *details])


def spread(seconds: list[float]) -> str:
    """Return median, 99th percentile and maximum."""
    if not seconds:
        return "never seen"
    ordered = sorted(seconds)
    p50, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.99))
    return f"p50 {p50:.2f} s, p99 {p99:.2f} s, longest {ordered[-1]:.2f} s ({len(ordered)} times)"
