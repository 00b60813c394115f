"""What must hold after every rule, read from the tables alone. P numbers are those of the list of properties."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest

from tests.model.tables import FINAL, OPEN, Row

Snapshot = dict[str, list[Row]]
Edge = tuple[str, str]

RUN_EDGES: set[Edge] = {
    ("", "queued"),
    ("", "waiting"),  # for an earlier run of its schedule
    ("paused", "waiting"),  # for the same
    *((state, "running") for state in ("queued", "sleeping", "waiting")),
    *((state, "paused") for state in ("queued", "sleeping", "waiting", "running")),
    *((state, "queued") for state in ("running", "sleeping", "waiting", "paused", "blocked", "failed", "cancelled")),
    *((state, "cancelled") for state in ("queued", "running", "sleeping", "waiting", "paused", "blocked")),
    *(("running", state) for state in ("sleeping", "waiting", "blocked", "succeeded", "failed")),
}
STEP_EDGES: set[Edge] = {
    ("", "running"),
    *(("running", state) for state in ("succeeded", "failed", "cancelled", "interrupted")),
    *(("interrupted", state) for state in ("running", "failed", "cancelled")),
    *(("", state) for state in ("succeeded", "failed")),  # shared by a fork, or said by a person
    ("interrupted", "succeeded"),  # said by a person
}


def differences(expected: Snapshot, actual: Snapshot) -> list[str]:
    """Return where two snapshots differ, a line for each row."""
    return [
        f"{table} row {number}: {_unequal(one or {}, other or {})}"
        for table in expected
        if expected[table] != actual[table]
        for number, (one, other) in enumerate(zip_longest(expected[table], actual[table]), start=1)
        if one != other
    ]


def _unequal(one: Row, other: Row) -> str:
    names = [name for name in one | other if one.get(name) != other.get(name)]
    return ", ".join(f"{name} should be {one.get(name)!r}, is {other.get(name)!r}" for name in names)


def run_edges(before: Snapshot, after: Snapshot) -> list[tuple[Edge, Row]]:
    """Return the new changes of state that the audit log tells, each with its event."""
    last = {event["run_id"]: event["state"] for event in before["events"]}
    edges = []
    for event in _of_runs(after["events"][len(before["events"]) :]):
        edges.append(((last.get(event["run_id"], ""), event["state"]), event))
        last[event["run_id"]] = event["state"]
    return edges


def step_edges(before: Snapshot, after: Snapshot) -> list[Edge]:
    """Return the changes of state of steps. Several in one rule are seen as one."""
    pairs = zip_longest(before["steps"], after["steps"], fillvalue={"state": ""})
    return [(one["state"], other["state"]) for one, other in pairs if one["state"] != other["state"]]


def broken(before: Snapshot, after: Snapshot) -> list[str]:
    """Return which properties do not hold after a rule."""
    return [
        line
        for check in (_growth, _edges, _log, _attempts, _keys, _children, _signals)
        for line in check(before, after)
    ]


def outcomes(tables: Snapshot) -> set[tuple[object, ...]]:
    """Return what steps have ended with."""
    return {
        (number, step["state"], step["attempt"], step["output"], step["error"], step["finished_at"])
        for number, step in enumerate(tables["steps"])
        if step["state"] not in OPEN
    }


def _recorded(tables: Snapshot) -> set[tuple[object, ...]]:
    rows = [("attempts", row) for row in tables["attempts"]] + [("payloads", row) for row in tables["payloads"]]
    inputs = {(number, run["input"], run["input_hash"], run["created_at"]) for number, run in enumerate(tables["runs"])}
    return outcomes(tables) | {(table, *row.values()) for table, row in rows} | inputs


def _growth(before: Snapshot, after: Snapshot) -> Iterator[str]:
    if not _recorded(before) <= _recorded(after):
        yield f"P3: a recorded outcome has changed: {_recorded(before) - _recorded(after)}"
    if before["events"] != after["events"][: len(before["events"])]:
        yield "P3: the audit log has changed"


def _edges(before: Snapshot, after: Snapshot) -> Iterator[str]:
    attempts = {event["run_id"]: event["attempt"] for event in before["events"]}
    for (old, new), event in run_edges(before, after):
        run = event["run_id"]
        if (old, new) not in RUN_EDGES:
            yield f"P4: run {run} went from {old!r} to {new!r}"
        if old in FINAL and (new, event["attempt"]) != ("queued", attempts[run] + 1):
            yield f"P8: run {run} was {old} and is {new} again at attempt {event['attempt']}"
        attempts[run] = event["attempt"]
    for edge in step_edges(before, after):
        if edge not in STEP_EDGES:
            yield f"P4: a step went from {edge[0]!r} to {edge[1]!r}"


def _log(_: Snapshot, after: Snapshot) -> Iterator[str]:
    """P14: each run's log begins with queued or waiting, its epochs only rise, and its last line is the run's state."""
    last: dict[int, Row] = {}
    for event in _of_runs(after["events"]):
        earlier = last.get(event["run_id"], {"epoch": 0, "attempt": 1, "state": None})
        first = earlier["state"] is None
        if first and (event["state"] not in ("queued", "waiting") or (event["epoch"], event["attempt"]) != (0, 1)):
            yield f"P14: the log of run {event['run_id']} begins with {event}"
        if event["epoch"] < earlier["epoch"] or event["attempt"] < earlier["attempt"]:
            yield f"P14: {event} follows {earlier}"
        last[event["run_id"]] = event
    for run in after["runs"]:
        told = last.get(run["id"], {})
        if any(run[name] != told.get(name) for name in ("state", "epoch", "attempt")):
            yield f"P14: run {run['id']} is {run['state']}, its log says {told}"


def _attempts(_: Snapshot, after: Snapshot) -> Iterator[str]:
    """P9: a body has started at most once, and once more for each start that is recorded to have come to nothing."""
    in_vain: Counter[tuple[int, str]] = Counter()
    places = {(row["run_id"], row["key"], row["attempt"]) for row in after["attempts"]}
    places |= {
        (row["run_id"], row["key"], row["attempt"]) for row in after["steps"] if row["superseded_at"] is not None
    }
    in_vain.update((run, key) for run, key, _ in places)
    for step in after["steps"]:
        if step["attempt"] > 1 + in_vain[step["run_id"], step["key"]]:
            yield f"P9: step {step['key']} of run {step['run_id']} is at attempt {step['attempt']}"


def _keys(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """P12, P13: no run goes away, and a key names one run."""
    if len(after["runs"]) < len(before["runs"]):
        yield "P12: a run is gone"
    keys = Counter((run["namespace"], run["key"]) for run in after["runs"] if run["key"] is not None)
    yield from (f"P13: {count} runs have the key {key}" for key, count in keys.items() if count > 1)


def _children(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """P18: what ends badly leaves no child that goes on, and what succeeds had the answer of each child it asked."""
    for (_, state), event in run_edges(before, after):
        parent = after["runs"][event["run_id"] - 1]
        if state not in FINAL or parent["state"] != state:
            continue
        asked = {step["key"] for step in after["steps"] if step["run_id"] == parent["id"] and not step["superseded_at"]}
        for child in after["runs"]:
            if child["parent_id"] != parent["id"] or child["state"] in FINAL or child["request"] == "cancel":
                continue
            by_hand = child["attempt"] > 1 or (state == "succeeded" and child["parent_step"] not in asked)
            if state == "failed" or not by_hand:
                yield f"P18: run {parent['id']} is {state}, its child {child['id']} is {child['state']}"


def _signals(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """P21: signals stay as they are, those of a name are taken in their order, and each is the outcome of one step."""
    for old, new in zip_longest(before["signals"], after["signals"][: len(before["signals"])], fillvalue={}):
        taken = {} if old["taken_by"] is not None else {name: new.get(name) for name in ("taken_by", "taken_at")}
        if old | taken != new:
            yield f"P21: the signal {old} has become {new}"
    left: set[tuple[int, str]] = set()
    for signal in after["signals"]:
        place = (signal["run_id"], signal["name"])
        if signal["taken_by"] is None:
            left.add(place)
        elif place in left:
            yield f"P21: {signal} was taken before one that was sent earlier"
        else:
            takers = [
                step for step in after["steps"] if (step["run_id"], step["key"]) == (place[0], signal["taken_by"])
            ]
            if not any(step["kind"] == "signal" and step["output"] == signal["value"] for step in takers):
                yield f"P21: no step has the outcome of {signal}"


def _of_runs(events: list[Row]) -> list[Row]:
    return [event for event in events if event["run_id"] is not None]
