"""Metrics in the text format of Prometheus, computed from the file: nothing is counted anywhere else.

Runs that were pruned are gone from the counts, so all of them are gauges, and the histograms are of what is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from flowctl.core.policy import error_class
from flowctl.core.text import safe_line
from flowctl.core.version import VERSION
from flowctl.engine.claim import engine_alive
from flowctl.store import Store, files
from flowctl.store.connection import Row
from flowctl.store.metrics import BUCKETS_MS

Labels = dict[str, str]


class Sample(NamedTuple):
    """One line: what the name of the family ends with, labels, and the value."""

    labels: Labels
    value: float
    suffix: str = ""


class Family(NamedTuple):
    """The samples of one name."""

    name: str
    help: str
    kind: str
    samples: list[Sample]


def exposition(store: Store, now: int) -> str:
    """Return all metrics of a file."""
    with store.reading():
        found = list(_families(store, now))
    return "".join(line + "\n" for family in found for line in _lines(family))


def _families(store: Store, now: int) -> Iterator[Family]:
    metrics = store.metrics
    yield _gauge("flowctl_info", "The version of flowctl that wrote this.", [Sample({"version": VERSION}, 1)])
    yield _gauge("flowctl_runs", "Runs that are kept, by state.", _samples(metrics.runs(), "workflow", "state"))
    text = "Failed runs that nobody has dealt with, by what kind of failure it was."
    dead = Counter((space, workflow, error_class(error)) for space, workflow, error in store.runs.dead_errors())
    rows = [(*key, count) for key, count in sorted(dead.items())]
    yield _gauge("flowctl_dead_runs", text, _samples(rows, "workflow", "class"))
    text = "How long runs that have ended took."
    yield Family("flowctl_run_duration_seconds", text, "histogram", _histogram(metrics.durations()))
    text = "How long runs that have begun were waiting since they were made."
    yield Family("flowctl_run_wait_seconds", text, "histogram", _histogram(metrics.waits()))
    attempts = [Sample({"outcome": outcome}, count) for outcome, count in metrics.attempts()]
    yield _gauge("flowctl_step_attempts", "Attempts of steps that are kept, by how they ended.", attempts)
    queues = metrics.queues()
    yield _gauge("flowctl_queue_depth", "Runs that are ready.", _samples([row[:3] for row in queues], "queue"))
    ages = [(row[0], row[1], max(0, now - row[3]) / 1000) for row in queues]
    yield _gauge("flowctl_queue_oldest_seconds", "How long the oldest ready run has waited.", _samples(ages, "queue"))
    late = [(row[0], row[1], max(0, now - row[2]) / 1000) for row in metrics.schedules()]
    text = "How late the next slot of a schedule is."
    yield _gauge("flowctl_schedule_lag_seconds", text, _samples(late, "schedule"))
    text = "Slots that are kept, by what became of them."
    yield _gauge("flowctl_slots", text, _samples(metrics.slots(), "schedule", "outcome"))
    yield from _of_machine(store)


def _of_machine(store: Store) -> Iterator[Family]:
    engines = [(each.kind, engine_alive(store.path, each)) for each in store.engines.running()]
    alive = [Sample({"kind": kind}, engines.count((kind, True))) for kind in ("daemon", "foreground")]
    yield _gauge("flowctl_engines", "Engines that are alive: they hold their lock.", alive)
    gone = sum(1 for _, lives in engines if not lives)
    yield _gauge("flowctl_engines_gone", "Engines that died and whose runs nobody has freed yet.", [Sample({}, gone)])
    size, log = files.size(store.path), files.size(store.path + "-wal")
    yield _gauge("flowctl_db_size_bytes", "Size of the database.", [Sample({}, size)])
    yield _gauge("flowctl_db_wal_size_bytes", "Size of the database's log.", [Sample({}, log)])
    text = "Space that is left where the database is."
    yield _gauge("flowctl_disk_free_bytes", text, [Sample({}, files.free_space(store.path))])


def _gauge(name: str, text: str, samples: list[Sample]) -> Family:
    return Family(name, text, "gauge", samples)


def _samples(rows: Iterable[Row], *names: str) -> list[Sample]:
    """Return the samples of rows that hold a namespace, further labels, and a value."""
    return [Sample(dict(zip(("namespace", *names), row[:-1], strict=True)), row[-1]) for row in rows]


def _histogram(rows: list[Row]) -> list[Sample]:
    samples: list[Sample] = []
    for (namespace, workflow), found in groupby(rows, key=lambda row: row[:2]):
        labels = {"namespace": namespace, "workflow": workflow}
        counts, total_ms = [0] * (len(BUCKETS_MS) + 1), 0
        for _, _, place, count, ms in found:
            counts[place] = count
            total_ms += ms
        so_far = 0
        for bound, count in zip([*(f"{ms / 1000:g}" for ms in BUCKETS_MS), "+Inf"], counts, strict=True):
            so_far += count
            samples.append(Sample(labels | {"le": bound}, so_far, "_bucket"))
        samples += [Sample(labels, total_ms / 1000, "_sum"), Sample(labels, so_far, "_count")]
    return samples


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {family.help}"
    yield f"# TYPE {family.name} {family.kind}"
    for sample in family.samples:
        labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in sample.labels.items())
        value = repr(sample.value) if sample.value % 1 else str(int(sample.value))
        yield f"{family.name}{sample.suffix}{{{labels}}} {value}" if labels else f"{family.name} {value}"


def _escaped(text: str) -> str:
    """Return the value of a label, in which a backslash, a quote and nothing else needs one: it is one safe line."""
    return safe_line(text).replace("\\", "\\\\").replace('"', '\\"')
