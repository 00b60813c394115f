"""The word none, which takes away what an option has set."""

from __future__ import annotations

from pathlib import Path

import pytest

SET = {
    "--queue": ("slow", {"queue": "slow"}),
    "--timeout": ("5m", {"timeout_ms": 300_000}),
    "--tag": ("team=a", {"tags": {"team": "a"}}),
    "--requires": ("gpu", {"requires": ["gpu"]}),
    "--when": ("ac_power", {"when": ["ac_power"]}),
}


def test_none_takes_away_what_the_runs_of_a_schedule_ask_and_leaves_the_rest(quick) -> None:
    words = [word for option, (text, _) in SET.items() for word in (option, text)]
    options = quick("schedules", "add", "a", "--every", "1h", *words, "--json", "--", "true").json["options"]
    assert {name: value for _, kept in SET.values() for name, value in kept.items()} == options
    for option, (_, kept) in SET.items():
        options = {name: value for name, value in options.items() if name not in kept}
        assert options == quick("schedules", "update", "a", option, "none", "--json").json["options"]
    assert {} == options


def test_a_run_of_a_schedule_without_its_queue_has_the_default_one(quick) -> None:
    quick("schedules", "add", "a", "--every", "1h", "--queue", "slow", "--overlap", "allow", "--", "true")
    quick("schedules", "trigger", "a")
    quick("schedules", "update", "a", "--queue", "none")
    quick("schedules", "trigger", "a")
    assert ["slow", "default"] == [quick("show", number, "--json").json["queue"] for number in ("1", "2")]


@pytest.mark.parametrize(("option", "text"), [("--tag", "team=a"), ("--requires", "gpu"), ("--when", "ac_power")])
def test_none_beside_something_else_is_refused(quick, option: str, text: str) -> None:
    quick("schedules", "add", "a", "--every", "1h", "--", "true")
    said = quick("schedules", "update", "a", option, text, option, "none", code=2).stderr
    assert f"{option}: none stands alone" in said
    assert {} == quick("schedules", "show", "a", "--json").json["options"]


def test_none_is_no_label(quick, tmp_path: Path) -> None:
    said = quick("daemon", "run", "--label", "gpu", "--label", "none", code=2).stderr
    assert "--label: 'none' is not a label: it stands for having none" in said
    file = tmp_path / "labelled.py"
    file.write_text("from flowctl import workflow\n\n@workflow(requires=['none'])\ndef labelled() -> None: ...\n")
    said = quick("workflows", "add", file, code=2).stderr
    assert "@workflow labelled: requires: 'none' is not a label: it stands for having none" in said
