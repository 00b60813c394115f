"""From measurements to medians, spread, ratios and goals: pure arithmetic."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from bench.model import Case, Goal
from bench.running import Measured

OWN = "flowctl"


def summarise(case: Case, measured: Mapping[str, Measured]) -> dict[str, Any]:
    """Return what a case has shown, in plain values."""
    contenders = {name: _contender(case, each) for name, each in measured.items()}
    medians = {
        name: {figure: found["median"] for figure, found in each["figures"].items()}
        for name, each in contenders.items()
    }
    return {
        "case": case.name,
        "about": case.about,
        "units": dict(case.figures),
        "contenders": contenders,
        "ratios": _ratios(medians),
        "goals": [_goal(goal, medians) for goal in case.goals],
    }


def _contender(case: Case, measured: Measured) -> dict[str, Any]:
    figures = {}
    for figure in case.figures:
        values = [each[figure] for each in measured.rounds if figure in each]
        if values:
            figures[figure] = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {
        "figures": figures,
        "rounds": len(measured.rounds),
        "disturbed": measured.disturbed,
        "skipped": measured.skipped,
        "failures": measured.failures,
    }


def _ratios(medians: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Return flowctl's medians over those of each other contender."""
    own = medians.get(OWN, {})
    return {
        name: {figure: own[figure] / value for figure, value in figures.items() if figure in own and value}
        for name, figures in medians.items()
        if name != OWN
    }


def _goal(goal: Goal, medians: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Return a goal with the value that counts for it, None where it was not measured."""
    value = medians.get(OWN, {}).get(goal.figure)
    if goal.over is not None and value is not None:
        other = medians.get(goal.over, {}).get(goal.figure)
        value = value / other if other else None
    return {
        "figure": goal.figure,
        "over": goal.over,
        "bound": goal.bound,
        "at_most": goal.at_most,
        "value": value,
        "met": None if value is None else goal.met(value),
    }
