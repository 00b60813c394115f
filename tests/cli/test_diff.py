"""`flowctl diff`: what two runs did differently, for a person and for a program."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Screen
from tests.conftest import Outcome

REPORT = """
from flowctl import now, random, step, workflow

@step
def fetch(month: int) -> dict:
    return {"items": [{"price": 3, "name": "a"}], "month": month, "pad": "x" * 60}

@step
def parse(page: dict) -> int:
    return page["items"][0]["price"] * 10

@step
def check(total: int) -> int:
    if total > 30:
        raise ValueError("too much\\x1b[31m")
    return total

@workflow
def report(month: int) -> int:
    now(), random()
    return check(parse(fetch(month)))
"""


@pytest.fixture
def two_runs(quick: Callable[..., Outcome], tmp_path: Path) -> Path:
    """Run the report twice: the second one sees another price and fails."""
    path = tmp_path / "report.py"
    path.write_text(REPORT)
    quick("run", path, "month=2")
    path.write_text(REPORT.replace('"price": 3', '"price": 4'))
    quick("run", path, "month=2", code=1)
    return path


def test_a_diff_begins_with_the_first_divergence_and_names_every_place(
    quick: Callable[..., Outcome], two_runs: Path
) -> None:
    said = quick("diff", 1, 2).stdout
    assert "first divergence: step 3 fetch, output $.items[0].price: 3 → 4\n" in said
    assert "  state       ✓ succeeded → ✗ failed\n" in said
    assert f"  files       {two_runs}\n" in said
    assert "  steps       other source of fetch\n" in said
    assert "step 4 parse\n  input $.page.items[0].price: 3 → 4\n  output $: 30 → 40\n" in said
    assert "step 5 check\n  state: succeeded → failed\n  input $.total: 30 → 40\n  output $: 30 → (nothing)\n" in said
    assert "\\u001b[31m" in said
    assert "\x1b" not in said


def test_the_code_that_differs_is_shown_below_the_steps(quick: Callable[..., Outcome], two_runs: Path) -> None:
    said = quick("diff", 1, 2).stdout
    _, _, code = said.partition(f"\n\n--- {two_runs}\trun 1\n+++ {two_runs}\trun 2\n")
    assert code.startswith("@@ -3,7 +3,7 @@\n \n @step\n")
    changed = [line for line in code.splitlines() if line[:1] in ("-", "+")]
    assert ["-", "+"] == [line[0] for line in changed]
    assert '"price": 4' in changed[1]
    assert [{"path": str(two_runs), "diff": f"--- {two_runs}\trun 1\n+++ {two_runs}\trun 2\n{code}"}] == quick(
        "diff", 1, 2, "--json"
    ).json["files"]


def test_a_module_that_is_new_and_a_last_line_without_end_are_shown_as_git_does(
    quick: Callable[..., Outcome], two_runs: Path, tmp_path: Path
) -> None:
    (tmp_path / "prices.py").write_text("PRICE = 3\nEVIL = '\x1b[2J'")
    two_runs.write_text(f"import prices\n{REPORT}")
    quick("run", two_runs, "month=2")
    said = quick("diff", 1, 3).stdout
    expected = "@@ -0,0 +1,2 @@\n+PRICE = 3\n+EVIL = '\\x1b[2J'\n\\ No newline at end of file\n"
    assert f"--- /dev/null\trun 1\n+++ {tmp_path}/prices.py\trun 3\n{expected}" in said
    assert f"--- {two_runs}\trun 1\n+++ {two_runs}\trun 3\n@@ -1,3 +1,4 @@\n+import prices\n \n" in said


def test_code_on_a_terminal_is_coloured_and_not_longer_than_one_reads(
    two_runs: Path, on_terminal: Callable[..., Screen]
) -> None:
    two_runs.write_text("\n".join([REPORT, *(f"X{number} = {number}" for number in range(300))]))
    with on_terminal("run", two_runs, "month=2") as screen:
        screen.read_to_end()
    with on_terminal("diff", "1", "3") as screen:
        said = screen.read_to_end()
    assert "\x1b[32m+X7 = 7\x1b[0m" in said
    assert "X200" not in said
    assert "more lines: --json has all" in said


def test_a_diff_as_json_holds_the_same(quick: Callable[..., Outcome], two_runs: Path) -> None:
    found = quick("diff", 2, "--last-good", "--json").json
    assert ([1, 2], True, "fetch") == (found["runs"], found["differ"], found["first"])
    steps = {step["key"]: step for step in found["steps"]}
    assert [{"path": "$.items[0].price", "before": 3, "after": 4}] == steps["fetch"]["output"]
    assert [{"path": "$", "before": 30}] == steps["check"]["output"]
    assert [True, False] == [steps[key]["source_changed"] for key in ("fetch", "parse")]
    assert [True, False] == [steps[key]["diverges"] for key in ("check", "now")]
    assert "traceback" not in str(steps["check"]["error"])


def test_the_exit_code_tells_on_demand_whether_runs_differ(quick: Callable[..., Outcome], two_runs: Path) -> None:
    two_runs.write_text(REPORT)
    quick("rerun", 1)
    quick("diff", 1, 2)
    quick("diff", 1, 2, "--exit-code", code=1)
    said = quick("diff", 1, 3, "--exit-code")  # the clock and chance are no difference
    assert "they do not differ" in said.stdout


def test_one_step_is_shown_alone(quick: Callable[..., Outcome], two_runs: Path) -> None:
    found = quick("diff", 1, 2, "--step", "parse", "--json").json
    assert ["parse"] == [step["key"] for step in found["steps"]]
    assert ([None, None], [], {}, []) == (found["state"], found["files"], found["surroundings"], found["error"])
    said = quick("diff", 1, 2, "--step", "parse").stdout
    assert "run 1 → run 2  report, step parse\n\nstep 4 parse\n" in said
    assert said.endswith("step 4 parse\n  input $.page.items[0].price: 3 → 4\n  output $: 30 → 40\n")
    assert "did you mean parse?" in quick("diff", 1, 2, "--step", "pares", code=4).stderr


def test_a_step_that_is_the_same_is_no_difference_whatever_else_of_the_runs_is_other(
    quick: Callable[..., Outcome], two_runs: Path
) -> None:
    two_runs.write_text(REPORT.replace("return total", "return total + 1"))
    quick("run", two_runs, "month=2")
    quick("diff", 1, 3, "--exit-code", code=1)
    same = quick("diff", 1, 3, "--step", "parse", "--exit-code")
    assert "run 1 → run 3  report, step parse\nthey do not differ in parse\n" == same.stdout
    found = quick("diff", 1, 3, "--step", "parse", "--json").json
    assert (False, None, []) == (found["differ"], found["first"], found["steps"])
    assert "step 5 check\n  output $: 30 → 31\n" in quick("diff", 1, 3, "--step", "check", "--exit-code", code=1).stdout


def test_a_step_that_only_one_run_has_is_named(quick: Callable[..., Outcome], two_runs: Path) -> None:
    two_runs.write_text(REPORT.replace("return check(parse(fetch(month)))", "return parse(fetch(month))"))
    quick("run", two_runs, "month=2")
    assert "step 5 check\n  state: succeeded → (nothing)\n" in quick("diff", 1, 3).stdout


def test_two_runs_have_to_be_named(quick: Callable[..., Outcome], two_runs: Path) -> None:
    assert "--last-good" in quick("diff", 1, code=2).stderr
    quick("diff", 1, 2, "--last-good", code=2)
    assert "no run of report before run 1 has succeeded" in quick("diff", 1, "--last-good", code=4).stderr


def test_a_wide_terminal_shows_both_sides_and_a_narrow_one_one_below_the_other(
    two_runs: Path, on_terminal: Callable[..., Screen]
) -> None:
    two_runs.write_text(REPORT.replace('"x" * 60', '"y" * 60'))
    with on_terminal("run", two_runs, "month=2") as screen:
        screen.read_to_end()
    with on_terminal("diff", "1", "3", size=(40, 160), NO_COLOR="1") as screen:
        wide = screen.read_to_end()
    assert "RUN 1" in wide
    assert any("xxxx" in line and "yyyy" in line for line in wide.splitlines())
    with on_terminal("diff", "1", "3", size=(40, 80), NO_COLOR="1") as screen:
        narrow = screen.read_to_end()
    assert '  - "xxxx' in narrow
    assert '  + "yyyy' in narrow
