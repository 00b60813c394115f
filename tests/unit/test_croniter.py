"""What flowctl and croniter read alike: plain expressions in UTC, where neither clocks nor either-or days are in play.

flowctl reads cron fields itself: it refuses what croniter bends (`22-2`, `*/90`, `R`), and follows cron(8) where
croniter does not. croniter is the second reader when a schedule is made: what the two take differently is refused.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from flowctl.core.errors import UsageError
from flowctl.core.recurrence import Rule, check, next_slot

START = 1_767_225_600_000  # 2026-01-01 in UTC


def items(low: int, high: int) -> st.SearchStrategy[str]:
    """Return values, ranges and steps of a field."""
    value = st.integers(low, high).map(str)
    bounds = st.tuples(st.integers(low, high), st.integers(low, high)).filter(lambda pair: pair[0] < pair[1])
    spans = bounds.map(lambda pair: f"{pair[0]}-{pair[1]}")
    stepped = bounds.flatmap(lambda pair: st.integers(1, pair[1] - pair[0]).map(lambda n: f"{pair[0]}-{pair[1]}/{n}"))
    return st.one_of(value, spans, stepped)


def fields(low: int, high: int) -> st.SearchStrategy[str]:
    """Return `*`, `*/n`, and lists of items."""
    steps = st.integers(1, (high - low) // 2).map(lambda n: f"*/{n}")
    return st.one_of(st.just("*"), steps, st.lists(items(low, high), min_size=1, max_size=3).map(",".join))


days = st.one_of(
    st.tuples(fields(1, 28), fields(1, 12), st.just("*")), st.tuples(st.just("*"), fields(1, 12), fields(0, 6))
)
expressions = st.tuples(fields(0, 59), fields(0, 23), days).map(lambda one: " ".join([one[0], one[1], *one[2]]))


def ours(expression: str, count: int) -> list[int]:
    found, rule = [START], Rule("cron", expression, "UTC")
    for _ in range(count):
        found.append(next_slot(rule, found[-1]) or 0)
    return found[1:]


def theirs(expression: str, count: int) -> list[int]:
    walk = croniter(expression, datetime.fromtimestamp(START / 1000, UTC))
    return [int(walk.get_next(float)) * 1000 for _ in range(count)]


@settings(max_examples=150)
@given(expressions)
def test_a_plain_expression_means_what_croniter_reads(expression: str) -> None:
    assert theirs(expression, 20) == ours(expression, 20)


@settings(max_examples=300)
@given(expressions)
def test_both_readers_agree_on_a_plain_expression_so_that_it_is_accepted(expression: str) -> None:
    assert expression == check(Rule("cron", expression, "UTC")).expression


@pytest.mark.parametrize(
    "expression",
    [
        "0 0 l * *",
        "0 0 1,l * *",
        "0 0 * * 5l",
        "0 0 * * 5#2,mon",
        "h h(3-5) * * *",
        "30 0 12 ? * mon",
        "0 0 * * 5-7",
        "@daily",
    ],
)
def test_what_only_flowctl_writes_so_is_accepted_too(expression: str) -> None:
    assert expression == check(Rule("cron", expression, "UTC")).expression


@pytest.mark.parametrize(
    ("expression", "field"), [("10-10 * * * *", "minute 10-10"), ("0 0 3-3 * *", "day of month 3-3")]
)
def test_an_expression_that_the_two_readers_take_differently_is_refused(expression: str, field: str) -> None:
    with pytest.raises(UsageError, match=f"{field} can be read in two ways: as \\d+, and by croniter as every one"):
        check(Rule("cron", expression, "UTC"))


@pytest.mark.parametrize("expression", ["@hourly", "@daily", "@weekly", "@monthly", "@yearly", "0 9 * jan-mar mon-fri"])
def test_names_mean_what_croniter_reads(expression: str) -> None:
    assert theirs(expression, 20) == ours(expression, 20)
