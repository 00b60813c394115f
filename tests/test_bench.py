"""The benchmarks: that a measurement runs, what the report holds, and that its arithmetic is right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import cases
from bench.contenders import CONTENDERS
from bench.model import Case, Goal
from bench.running import Measured, measure_once
from bench.summary import summarise
from tests.conftest import ROOT

CASE = Case(
    name="made-up",
    about="figures that nobody measured",
    figures={"rate": "runs/s", "bytes": "bytes"},
    contenders=("flowctl", "floor", "dbos", "dura"),
    size=1,
    quick=1,
    goals=(
        Goal("rate", 4, over="dbos"),
        Goal("rate", 0.5, over="floor"),
        Goal("rate", 2, over="dura"),
        Goal("bytes", 900, at_most=True),
        Goal("bytes", 0.9, over="floor", at_most=True),
    ),
)
MEASURED = {
    "flowctl": Measured(rounds=[{"rate": 900, "bytes": 800}, {"rate": 100, "bytes": 800}, {"rate": 400, "bytes": 800}]),
    "floor": Measured(rounds=[{"rate": 1000, "bytes": 800}], disturbed=1),
    "dbos": Measured(rounds=[{"rate": 100}, {"rate": 60}]),
    "dura": Measured(skipped="dura is not installed"),
}


def test_a_summary_holds_medians_and_spread_of_what_was_measured() -> None:
    contenders = summarise(CASE, MEASURED)["contenders"]
    assert {"median": 400, "min": 100, "max": 900} == contenders["flowctl"]["figures"]["rate"]
    assert {"rate": {"median": 80, "min": 60, "max": 100}} == contenders["dbos"]["figures"]
    assert 1 == contenders["floor"]["disturbed"]
    assert ({}, "dura is not installed") == (contenders["dura"]["figures"], contenders["dura"]["skipped"])


def test_ratios_are_flowctls_medians_over_those_of_the_others() -> None:
    assert {"floor": {"rate": 0.4, "bytes": 1}, "dbos": {"rate": 5}, "dura": {}} == summarise(CASE, MEASURED)["ratios"]


def test_a_goal_is_met_not_met_or_not_measured() -> None:
    goals = summarise(CASE, MEASURED)["goals"]
    assert [5, 0.4, None, 800, 1] == [goal["value"] for goal in goals]
    assert [True, False, None, True, False] == [goal["met"] for goal in goals]


def test_every_case_names_contenders_and_figures_that_exist() -> None:
    for name in cases.NAMES:
        case = cases.module(name).CASE
        assert name == case.name
        assert set(case.contenders) <= CONTENDERS.keys()
        assert {goal.figure for goal in case.goals} <= case.figures.keys()
        assert {goal.over for goal in case.goals} - {None} <= set(case.contenders)


def test_a_measurement_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"No module named 'bench\.cases\.nothing'"):
        measure_once("nothing", "flowctl", 1, tmp_path)
    assert [] == list(tmp_path.glob("run-*"))


def test_the_smallest_run_reports_the_machine_the_figures_and_the_goals(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    words = ["--quick", "--case", "steps", "--patience", "0", "--folder", tmp_path / "data", "--json", report]
    environment = os.environ | {
        "BENCH_PEERS": str(tmp_path / "none"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPYCACHEPREFIX": str(tmp_path / "bytecode"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "bench", *map(str, words)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    said = json.loads(report.read_text())
    assert {"processor", "cores", "file_system", "fdatasync_us", "python", "sqlite", "commit"} <= said["machine"].keys()
    (steps,) = said["cases"]
    assert "dbos is not installed: make bench-peers" == steps["contenders"]["dbos"]["skipped"]
    flowctl, floor = (steps["contenders"][name]["figures"]["rate"]["median"] for name in ("flowctl", "floor"))
    assert flowctl / floor == pytest.approx(steps["goals"][0]["value"])
    assert "floor" == steps["goals"][0]["over"]
    assert "goal: ≥ 0.50 x" in done.stdout
    assert [] != list((tmp_path / "bytecode").rglob("*.pyc")), "without bytecode every start is too slow"
