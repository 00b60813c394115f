"""`@workflow(schedule=…, requires=…)`: what an author may write, and what of it goes over the wire."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from flowctl import workflow
from flowctl.sdk.errors import DefinitionError
from flowctl.sdk.parameters import describe


def described(**options: Any) -> dict[str, Any]:
    @workflow(**options)
    def nightly(top: int = 5) -> None: ...

    return describe(nightly)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (None, None),
        ("30 2 * * *", {"kind": "cron", "expression": "30 2 * * *"}),
        ({"every": "10m"}, {"kind": "every", "expression": "10m"}),
        ({"every": timedelta(hours=2)}, {"kind": "every", "expression": "2h"}),
        ({"every": 90}, {"kind": "every", "expression": "1m30s"}),
        ({"once": "2026-01-31T09:30"}, {"kind": "once", "expression": "2026-01-31T09:30"}),
        (
            {"once": datetime(2026, 1, 31, 9, 30, tzinfo=timezone.utc)},  # noqa: UP017 - the SDK runs in 3.9
            {"kind": "once", "expression": "2026-01-31T09:30:00+00:00"},
        ),
        (
            {
                "cron": "@daily",
                "tz": "Europe/Berlin",
                "jitter": "5m",
                "catch_up": "all",
                "cap": 3,
                "overlap": "queue",
                "window": "1h",
                "pause_after": 3,
                "input": {"top": 7},
            },
            {
                "kind": "cron",
                "expression": "@daily",
                "zone": "Europe/Berlin",
                "jitter_ms": 300_000,
                "catch_up": "all",
                "catch_up_cap": 3,
                "overlap": "queue",
                "window_ms": 3_600_000,
                "pause_after": 3,
                "input": '{"top":7}',
            },
        ),
    ],
)
def test_a_schedule_travels_beside_the_options_and_is_none_of_them(schedule: Any, expected: Any) -> None:
    found = described(schedule=schedule)
    assert expected == found["schedule"]
    assert {} == found["options"]


def test_labels_are_options_of_the_runs_each_once() -> None:
    assert {"requires": ("gpu", "ram=32")} == described(requires=["gpu", "ram=32", "gpu"])["options"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"schedule": 5}, "schedule: 5 is not a schedule"),
        ({"schedule": {}}, "schedule: give exactly one of cron, every and once"),
        ({"schedule": {"cron": "@daily", "once": "x"}}, "schedule: give exactly one of cron, every and once"),
        ({"schedule": {"cron": ""}}, "schedule: '' is not a text"),
        ({"schedule": {"every": "soon"}}, "'soon' is not a duration"),
        ({"schedule": {"cron": "@daily", "zone": "UTC"}}, "unknown part of a schedule 'zone'"),
        ({"schedule": {"cron": "@daily", "jitter": "x"}}, "schedule: jitter: 'x' is not a duration"),
        ({"schedule": {"cron": "@daily", "cap": 0}}, "schedule: cap: 0 is not a whole number"),
        ({"schedule": {"cron": "@daily", "catch_up": "some"}}, "catch_up: 'some' is not one of"),
        ({"schedule": {"cron": "@daily", "input": [1]}}, "input: [1] is not a dict of parameters"),
        ({"schedule": {"cron": "@daily", "input": {"a": {1, 2}}}}, "holds what is not plain JSON"),
        ({"schedule": {"cron": "@daily", "input": {"a": float("nan")}}}, "holds what is not plain JSON"),
        ({"requires": "gpu"}, "requires: 'gpu' is not a list of labels"),
        ({"requires": [" "]}, "is not a list of labels"),
    ],
)
def test_what_makes_no_sense_is_refused_where_it_is_written(options: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        described(**options)
    assert said in str(refused.value)
    assert str(refused.value).startswith("@workflow nightly: ")
