"""`flowctl lineage`: the tree that a run is part of, and what fed its steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Outcome

REPORT = """
from flowctl import step, workflow

@step
def fetch(name: str) -> dict:
    return {"items": [{"price": 3}], "name": name, "ok": True}

@step
def parse(items: list, strict: bool) -> int:
    return items[0]["price"] * 7

@step
def save(total: int, note: str) -> str:
    if note == "fail":
        raise OSError("full")
    return f"{total}"

@workflow
def inner(total: int, note: str) -> str:
    return save(total, note)

@workflow
def report(name: str) -> str:
    page = fetch(name)
    return inner(parse(page["items"], page["ok"]), page["name"])
"""


@pytest.fixture
def runs(quick: Callable[..., Outcome], tmp_path: Path) -> None:
    """Make a run with a child (2), a fork with a child (3, 4), a fork of the child (5) and a rerun with one (6, 7)."""
    path = tmp_path / "report.py"
    path.write_text(REPORT)
    quick("run", f"{path}:report", "name=somebody")
    quick("fork", 1, "--from", "parse")
    quick("fork", 2, "--from", "save", "--set", "steps.save.output=1", code=2)
    quick("fork", 2, "--from", "save")
    quick("rerun", 1)


def _shape(branch: dict[str, Any]) -> tuple[Any, ...]:
    return (branch["run"], branch["relation"], branch["step"], [_shape(below) for below in branch["runs"]])


@pytest.mark.parametrize("asked", [1, 4, 5, 7])
def test_the_tree_is_the_same_whichever_of_its_runs_is_asked_for(
    quick: Callable[..., Outcome], runs: None, asked: int
) -> None:
    tree = quick("lineage", asked, "--json").json["tree"]
    child, fork = (2, "child", "inner", [(5, "fork", "save", [])]), (3, "fork", "parse", [(4, "child", "inner", [])])
    assert (1, None, None, [child, fork, (6, "rerun", None, [(7, "child", "inner", [])])]) == _shape(tree)
    assert "run 3  report  fork before parse  ✓ succeeded" in quick("lineage", asked).stdout
    assert f"run {asked}" in next(line for line in quick("lineage", asked).stdout.splitlines() if "(this one)" in line)


def test_retries_are_counted(quick: Callable[..., Outcome], runs: None) -> None:
    quick("fork", 2, "--set", "input.note=fail", code=1)
    quick("retry", "@last", code=1)
    assert "run 8  inner  fork from the beginning  ✗ failed  attempt 2" in quick("lineage", 1).stdout


def test_what_fed_a_step_is_told_by_its_value(quick: Callable[..., Outcome], runs: None) -> None:
    feeds = quick("lineage", 1, "--json").json["feeds"]
    found = {(each["step"], each["path"], each["from"], each["from_path"]) for each in feeds}
    assert {
        ("fetch", "$.name", "input", "$.name"),
        ("parse", "$.items", "fetch", "$.items"),
        ("inner", "$.total", "parse", "$"),
        ("inner", "$.note", "fetch", "$.name"),
    } == found  # and not that some value is true
    assert "parse  $.items  fetch  $.items" in quick("lineage", 1).stdout
