"""What there is one of is told in the singular."""

from __future__ import annotations

from pathlib import Path


def test_a_crontab_of_one_line(quick, tmp_path: Path) -> None:
    (tmp_path / "tab").write_text("0 3 * * * true\n")
    assert "1 line: 1 imported" in quick("crontab", "import", "tab").stderr
    (tmp_path / "tab").write_text("# mine\n0 3 * * * true\n")
    assert "2 lines: 1 imported, 1 comment" in quick("crontab", "import", "tab").stderr


def test_one_run_that_is_meant_or_goes(quick) -> None:
    quick("exec", "--name", "talk", "--", "true")
    quick("schedules", "add", "a", "--every", "1h", "--", "true")
    backfill = ("schedules", "backfill", "a", "--from", "2026-01-01T01:00Z", "--to", "2026-01-01T01:30Z")
    assert "make 1 run of a" in quick(*backfill, code=2).stderr
    assert "1 run deleted, children included" in quick("db", "prune", "--keep", "0s", "--yes").stderr


def test_the_engines_that_are_recorded(quick) -> None:
    quick("exec", "--", "true")
    messages = {each["check"]: each["message"] for each in quick("health", "--json", code=1).json["checks"]}
    assert "0 engines are recorded" == messages["database"]
