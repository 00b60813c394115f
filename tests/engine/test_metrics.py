"""Metrics: what a strict reader of the exposition format accepts, and numbers that the file bears out."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowctl.engine.health import vitals
from flowctl.engine.metrics import exposition
from flowctl.store import Store
from tests.engine.living import add_schedule, add_slot, claimed, live_daemon, live_engine
from tests.store.scene import Scene, error

NAME = r"[a-zA-Z_][a-zA-Z0-9_]*"
LABEL = rf'({NAME})="((?:[^"\\\n]|\\\\|\\"|\\n)*)"'
LINE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\d+(?:\.\d+)?(?:e-?\d+)?)")
UNITS = ("_seconds", "_bytes")
Series = tuple[str, frozenset[tuple[str, str]]]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Store.open(tmp_path / "flow.db") as store:
        yield Scene(store)


def parse(text: str) -> dict[Series, float]:
    """Read the format as strictly as `promtool check metrics` does: structure, types, units, whole histograms."""
    assert text.endswith("\n")
    kinds: dict[str, str] = {}
    found: dict[Series, float] = {}
    family, closed = "", set()
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            closed.add(family)
            family, help_text = line.removeprefix("# HELP ").split(" ", 1)
            assert family not in closed, f"{family} comes in pieces"
            assert help_text
        elif line.startswith("# TYPE "):
            name, kind = line.removeprefix("# TYPE ").split(" ")
            assert family == name
            assert kind in ("gauge", "counter", "histogram")
            assert (kind == "counter") == name.endswith("_total")
            assert not re.search(r"_(ms|milliseconds|minutes|hours|kb|mb)$", name), f"{name}: no base unit"
            kinds[name] = kind
        else:
            match = LINE.fullmatch(line)
            assert match is not None, line
            name, labels = match[1], frozenset(re.findall(LABEL, match[2] or ""))
            suffixes = ("_bucket", "_sum", "_count") if kinds[family] == "histogram" else ("",)
            assert name in [family + suffix for suffix in suffixes]
            assert len(labels) == len({label for label, _ in labels})
            assert (name, labels) not in found, f"{line} is there twice"
            found[name, labels] = float(line.rpartition(" ")[2])
    check_histograms(found, [name for name, kind in kinds.items() if kind == "histogram"])
    return found


def check_histograms(found: dict[Series, float], names: list[str]) -> None:
    for name in names:
        groups = {labels for series, labels in found if series == f"{name}_count"}
        bounds: dict[Any, list[tuple[float, float]]] = {labels: [] for labels in groups}
        for (series, labels), value in found.items():
            if series == f"{name}_bucket":
                (bound,) = (text for label, text in labels if label == "le")
                rest = frozenset(each for each in labels if each[0] != "le")
                bounds[rest].append((float(bound), value))
        for labels, buckets in bounds.items():
            assert sorted(buckets) == buckets
            assert sorted(count for _, count in buckets) == [count for _, count in buckets]
            assert float("inf") == buckets[-1][0]
            assert found[f"{name}_count", labels] == buckets[-1][1]
            assert (f"{name}_sum", labels) in found


def value(found: dict[Series, float], name: str, **labels: str) -> float | None:
    return found.get((name, frozenset(labels.items())))


def read(scene: Scene) -> dict[Series, float]:
    return parse(exposition(scene.store, scene.now))


def test_an_empty_file_has_metrics_too(scene: Scene) -> None:
    found = read(scene)
    assert 0 == value(found, "flowctl_engines", kind="daemon")
    assert os.path.getsize(scene.store.path) == value(found, "flowctl_db_size_bytes")
    assert (value(found, "flowctl_disk_free_bytes") or 0) > 0


def test_runs_attempts_and_histograms_are_those_of_the_file(scene: Scene) -> None:
    for took in (50, 100, 101, 2_000, 200_000_000):
        scene.submit()
        created = scene.now
        scene.now += 700
        claim = scene.claim(scene.store.runs.last("default").id)
        scene.begin(claim, "s", 1)
        scene.now += took
        scene.succeed(claim, "s")
        scene.finish(claim)
        assert created < scene.now
    failed = scene.held()
    scene.begin(failed, "s", 1)
    scene.fail(failed, "s")
    scene.finish(failed, "failed")
    found, own = read(scene), {"namespace": "default", "workflow": "digest"}
    assert [5, 1] == [value(found, "flowctl_runs", **own, state=state) for state in ("succeeded", "failed")]
    assert [5, 1] == [value(found, "flowctl_step_attempts", outcome=each) for each in ("succeeded", "failed")]
    counts = [
        value(found, "flowctl_run_duration_seconds_bucket", **own, le=le) for le in ("0.1", "0.5", "5", "86400", "+Inf")
    ]
    assert [3, 4, 5, 5, 6] == counts
    assert 200_002.251 == value(found, "flowctl_run_duration_seconds_sum", **own)
    assert [1, 6] == [value(found, "flowctl_run_wait_seconds_bucket", **own, le=le) for le in ("0.5", "1")]


def test_every_bound_of_the_buckets_belongs_to_its_bucket(scene: Scene) -> None:
    from flowctl.store.metrics import BUCKETS_MS

    for place, bound in enumerate(BUCKETS_MS):
        for took in (bound, bound + 1):
            claim = scene.held(workflow=f"{place} {took - bound}")
            scene.now += took
            scene.finish(claim)
    rows = scene.store.metrics.durations()
    assert {f"{place} 0": place for place in range(len(BUCKETS_MS))} | {
        f"{place} 1": place + 1 for place in range(len(BUCKETS_MS))
    } == {row[1]: row[2] for row in rows}


def test_queues_schedules_slots_and_engines(scene: Scene) -> None:
    scene.submit(queue="slow")
    scene.now += 5_000
    scene.submit(queue="slow")
    failed = scene.submit(queue="slow")
    scene.write(lambda: scene.store.runs.fail_idle(failed, scene.now, error()))
    schedule = add_schedule(scene, next_at=scene.now - 90_500)
    add_slot(scene, schedule, 1, "missed", "machine off")
    add_slot(scene, schedule, 2, "missed", "machine off")
    with live_engine(scene), live_engine(scene, "foreground"):
        found = read(scene)
    assert 2 == value(found, "flowctl_queue_depth", namespace="default", queue="slow")
    assert 5 == value(found, "flowctl_queue_oldest_seconds", namespace="default", queue="slow")
    assert 90.5 == value(found, "flowctl_schedule_lag_seconds", namespace="default", schedule="nightly")
    assert 2 == value(found, "flowctl_slots", namespace="default", schedule="nightly", outcome="missed")
    assert [1, 1] == [value(found, "flowctl_engines", kind=kind) for kind in ("daemon", "foreground")]
    assert 2 == value(read(scene), "flowctl_engines_gone")


def test_n11_names_of_workflows_neither_break_a_line_nor_reach_a_terminal(scene: Scene) -> None:
    for name in ('quote"s', "back\\slash", "line\nfeed", "esc\x1b[2J", "\u202ebidi", "umlaut ü"):
        scene.submit(workflow=name, queue=name)
    text = exposition(scene.store, scene.now)
    found = parse(text)
    assert 6 == sum(1 for name, _ in found if name == "flowctl_runs")
    assert r'workflow="back\\slash"' in text
    assert r'workflow="quote\"s"' in text
    assert r'workflow="esc\\x1b[2J"' in text
    assert not set(text) & {"\x1b", "\u202e"}


def test_the_textfile_is_replaced_in_one_step_and_others_may_read_it(flowctl: Any, tmp_path: Path) -> None:
    flowctl("exec", "--", "true")
    target = tmp_path / "flowctl.prom"
    target.write_text("before")
    flowctl("metrics", "--textfile", target)
    assert 1 == value(
        parse(target.read_text()), "flowctl_runs", namespace="default", workflow="true", state="succeeded"
    )
    assert 0o644 == stat.S_IMODE(target.stat().st_mode)
    assert ["flowctl.prom"] == [each.name for each in tmp_path.iterdir() if "prom" in each.name]
    assert parse(flowctl("metrics").stdout)
    nowhere = flowctl("metrics", "--textfile", tmp_path / "nowhere" / "x.prom", code=4).stderr
    assert f"there is no folder {tmp_path}/nowhere\n  Create it, or choose another." in nowhere
    flowctl("metrics", "--json", code=2)


def test_health_is_a_live_daemon_room_on_the_disk_and_no_late_slot(scene: Scene) -> None:
    add_schedule(scene, next_at=scene.now - 59_999)
    with live_daemon(scene):
        assert [True] * 5 == [vital.ok for vital in vitals(scene.store, scene.now)]
        scene.now += 1
        (late,) = (vital for vital in vitals(scene.store, scene.now) if not vital.ok)
        assert ("schedules", "1 is late, nightly by 1m00s") == (late.check, late.message)
    assert ["daemon", "schedules"] == [vital.check for vital in vitals(scene.store, scene.now) if not vital.ok]


def test_health_notices_a_daemon_that_holds_its_lock_and_begins_nothing(scene: Scene) -> None:
    limited = scene.submit(options={"requires": ["gpu"]}, queue="other")
    scene.now += 1_000
    run = scene.submit()
    with live_daemon(scene), live_engine(scene) as engine:
        assert "1 engine is recorded" == vitals(scene.store, scene.now)[0].message
        assert [] == [vital for vital in vitals(scene.store, scene.now + 59_999) if not vital.ok]
        (stalled,) = (vital for vital in vitals(scene.store, scene.now + 60_000) if not vital.ok)
        assert "runs" == stalled.check
        assert f"run {run} is ready for 1m00s, and the daemon has not begun it" in stalled.message
        claimed(scene, engine, run)
        assert [] == [vital for vital in vitals(scene.store, scene.now + 60_000) if not vital.ok]
    assert "queued" == scene.store.runs.get(limited).state


def test_health_fails_with_the_reason(flowctl: Any, tmp_path: Path) -> None:
    said = flowctl("health", "--json", code=1).json
    assert not said["healthy"]
    assert "does not exist" in said["checks"][0]["message"]
    flowctl("exec", "--", "true")
    assert "daemon: no daemon runs" in flowctl("health", code=1).stdout
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"not a database" * 100)
    assert "not a flowctl database" in flowctl("--db", broken, "health", code=1).stdout


def test_claims_are_seen_as_running(scene: Scene) -> None:
    with live_engine(scene) as engine:
        claimed(scene, engine, scene.submit())
        assert 1 == value(read(scene), "flowctl_runs", namespace="default", workflow="digest", state="running")
