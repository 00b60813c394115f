"""Replays of what is recorded against an edited file: nothing runs, and the first mismatch shows both sides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.faults.conftest import Bench

STEPS = """
@step
def fetch(month: int) -> int:
    note("fetch")
    return month

@step(pure=True)
def weigh(value: int) -> int:
    note("weigh")
    return value * 10

@step
def save(value: int) -> int:
    note("save")
    if value == 30:
        raise OSError("full")
    return value

@workflow
def child(value: int) -> int:
    return save(value)
"""
BODY = """
@workflow
def report(month: int) -> int:
    now(), random()
    found = gather(weigh.bind(fetch(month)), fetch.bind(1), concurrency=2)
    sh("echo shell >> ledger")
    sleep(0)
    return child(found[0])
"""


@pytest.fixture
def recorded(bench: Bench) -> list[str]:
    """Record a run that has succeeded and one that has failed; return the ledger."""
    bench.write("wf.py", STEPS + BODY)
    bench.flowctl("run", "wf.py:report", "month=2")
    bench.flowctl("run", "wf.py:report", "month=3", code=1)
    return bench.ledger()


def test_i07_a_replay_of_the_same_code_fits_and_executes_nothing(bench: Bench, recorded: list[str]) -> None:
    said = bench.flowctl("check", "wf.py", "--json").json
    names = [(each["history"], each["workflow"], each["mismatch"]) for each in said["histories"]]
    assert [(f"run {number}", "child", None) for number in (4, 2)] == names[:2]
    assert [(f"run {number}", "report", None) for number in (3, 1)] == names[2:]
    assert recorded == bench.ledger()
    with bench.store() as store:
        assert 4 == store.connection.value("SELECT count(*) FROM runs")


EDITS = {
    "renamed": ("child(found[0])", "save(found[0])", 'step 8 was "child", code now asks "save"'),
    "inserted": ("sleep(0)", "weigh(1); sleep(0)", 'step 7 was "sleep", code now asks "weigh#2"'),
    "input": (
        "fetch(month)",
        "fetch(month + 1)",
        'step 3 "fetch" was recorded with input {"month":2}, code now gives {"month":3}',
    ),
    "missing": (
        "return child(found[0])",
        "return found[0]",
        'step 8 "child" is recorded, and code does not ask for it any more',
    ),
    "raises": (
        "return child(found[0])",
        "return child(found[0]) + {}",
        "it was succeeded, and code now raises TypeError",
    ),
    "parameters": ("report(month: int)", "report(month: int, who: str)", "it lacks 'who'"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_i07_what_does_not_fit_is_named_with_both_sides_and_nothing_runs(
    bench: Bench, recorded: list[str], edit: str
) -> None:
    old, new, reason = EDITS[edit]
    bench.write("wf.py", STEPS + BODY.replace(old, new))
    said = bench.flowctl("check", "wf.py:report", code=8)
    assert reason in said.stdout
    assert recorded == bench.ledger()


def test_i07_steps_after_the_recorded_ones_and_values_and_other_bodies_are_not_executed(
    bench: Bench, recorded: list[str]
) -> None:
    for more in ("save(7)", "weigh(7)", "uuid4()", 'sh("echo more >> ledger")', "child(7)", "gather(weigh.bind(7))"):
        bench.write("wf.py", STEPS + BODY.replace("return child(found[0])", f"child(found[0]); return {more}"))
        found = bench.flowctl("check", "wf.py:report", "--last", "2", "--json").json["histories"]
        assert [None, None] == [each["mismatch"] for each in found]
        assert found[1]["next_step"]
    assert recorded == bench.ledger()


def test_i07_an_edited_step_is_noted_and_its_record_answers(bench: Bench, recorded: list[str]) -> None:
    bench.write("wf.py", STEPS.replace("value * 10", "value * 20") + BODY)
    said = bench.flowctl("check", "wf.py:report")
    assert "other source than recorded, of weigh" in said.stderr
    assert "2 recorded runs fit the code" in said.stderr


def test_i07_a_run_that_was_cut_short_is_checked_as_far_as_it_went(bench: Bench) -> None:
    bench.write("wf.py", STEPS + BODY)
    env = {"FLOWCTL_TESTING": "1", "FLOWCTL_FAILPOINT": "step-succeeded@4:kill"}
    bench.flowctl("run", "wf.py:report", "month=2", code=-9, **env)
    before = bench.ledger()
    assert [None] == [each["mismatch"] for each in bench.flowctl("check", "wf.py", "--json").json["histories"]]
    bench.write("wf.py", STEPS + BODY.replace("fetch(month)", "fetch(7)"))
    bench.flowctl("check", "wf.py", code=8)
    assert before == bench.ledger()


def test_i07_without_recorded_runs_there_is_nothing_to_check(bench: Bench) -> None:
    bench.write("other.py", STEPS)
    bench.write("wf.py", STEPS + BODY)
    bench.flowctl("run", "other.py", "value=1")
    said = bench.flowctl("check", "wf.py")
    assert "there is no recorded run" in said.stderr


def test_i08_a_history_is_exported_and_replayed_from_its_file(
    bench: Bench, recorded: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "histories"
    folder.mkdir()
    (folder / "report.json").write_text(bench.flowctl("show", 1, "--history").stdout)
    assert str(tmp_path) not in (folder / "report.json").read_text()
    bench.flowctl("workflows", "check", "wf.py", "--histories", folder)
    bench.write("wf.py", STEPS + BODY.replace("fetch(month)", "fetch(month + 1)"))
    said = bench.flowctl("workflows", "check", "wf.py", "--histories", folder, code=8)
    assert EDITS["input"][2] in said.stdout
    assert recorded == bench.ledger()


def test_i08_a_file_that_is_no_history_is_refused_in_a_sentence(
    bench: Bench, recorded: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "histories"
    folder.mkdir()
    said = bench.flowctl("workflows", "check", "wf.py", "--histories", folder, code=4)
    assert "holds no recorded history" in said.stderr
    whole = bench.flowctl("show", 1, "--history").json
    for broken in ("[", "[]", "{}", json.dumps(whole | {"steps": [{}]}), json.dumps(whole | {"flowctl_history": 9})):
        (folder / "report.json").write_text(broken)
        said = bench.flowctl("workflows", "check", "wf.py", "--histories", folder, code=2)
        assert "history" in said.stderr


def test_i09_after_a_check_a_retry_with_the_checked_code_goes_on(bench: Bench, recorded: list[str]) -> None:
    bench.write("wf.py", STEPS.replace("if value == 30", "if value == 31") + BODY)
    bench.flowctl("check", "wf.py")
    bench.flowctl("retry", 3)
    assert "succeeded" == bench.shown(3)["state"]
