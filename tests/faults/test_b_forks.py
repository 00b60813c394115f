"""Forks: the source stays as it is, its checkpoints answer, and edits are checked before anything starts."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.config import default_database
from flowctl.engine.retention import Wanted, prune
from flowctl.store import Store

if TYPE_CHECKING:
    from tests.faults.conftest import Bench

SOURCE = """
@step(retries=1, backoff="1ms")
def fetch(month: int) -> dict:
    note(f"fetch {month}")
    if not (HERE / "tried").exists():
        (HERE / "tried").touch()
        raise OSError("not yet")
    return {"items": [{"price": 3, "name": "a"}], "month": month}

@step
def broken() -> None:
    note("broken")
    raise LookupError("no")

@step
def parse(page: dict) -> int:
    note("parse")
    return page["items"][0]["price"] * 10

@step
def save(total: int, who: str) -> str:
    note(f"save {total}")
    return f"{who} {total}"

@workflow
def report(month: int, who: str = "me") -> str:
    page = fetch(month)
    try:
        broken()
    except StepFailed:
        pass
    return save(parse(page), who)

@workflow
def parent(month: int) -> str:
    return report(month).upper()
"""


@pytest.fixture
def source(bench: Bench) -> Callable[[], dict[str, list[tuple[Any, ...]]]]:
    """Run the report once; return what reads every row of that run."""
    bench.write("wf.py", SOURCE)
    bench.flowctl("run", "wf.py:report", "month=2")

    def rows() -> dict[str, list[tuple[Any, ...]]]:
        with bench.store() as store:
            read = store.connection.rows
            found = {"runs": read("SELECT * FROM runs WHERE id = 1")}
            for table in ("steps", "attempts", "events", "logs"):
                found[table] = read(f"SELECT * FROM {table} WHERE run_id = 1 ORDER BY 1, 2, 3")
            return found

    return rows


Rows = Callable[[], dict[str, list[tuple[Any, ...]]]]


def test_b11_a_fork_runs_a_step_and_all_after_it_and_its_source_stays_byte_for_byte(bench: Bench, source: Rows) -> None:
    before, first = source(), len(bench.ledger())
    assert '"me 30"\n' == bench.flowctl("fork", 1, "--from", "parse").stdout
    assert ["parse", "save 30"] == bench.ledger()[first:]
    assert before == source()
    fork = bench.shown(2)
    assert {"run": 1, "step": "parse"} == fork["forked_from"]
    assert [True, True, False, False] == [step["shared"] for step in fork["steps"]]
    source_run = bench.shown(1)
    for key in ("fetch", "broken"):
        for name in ("input", "output", "error", "state", "started_at", "finished_at"):
            assert source_run["by_key"][key][name] == fork["by_key"][key][name]
    assert "from run 1, before step parse" in bench.flowctl("show", 2).stdout


def test_b11_a_fork_of_a_fork_shares_the_same_rows_and_no_row_stands_between(bench: Bench, source: Rows) -> None:
    bench.flowctl("fork", 1, "--from", "save")
    bench.flowctl("fork", 2, "--from", "save", "--set", "input.who=you")
    assert "you 30" == bench.shown(3)["output"]
    with bench.store() as store:
        holders = store.connection.rows("SELECT run_id, shared_id FROM steps WHERE shared_id IS NOT NULL ORDER BY id")
        first = [row[0] for row in store.connection.rows("SELECT id FROM steps WHERE run_id = 1 ORDER BY seq LIMIT 3")]
    assert [(number, row) for number in (2, 3) for row in first] == holders


def test_b11_an_edited_output_is_marked_and_the_code_goes_on_from_it(bench: Bench, source: Rows) -> None:
    before = source()
    said = bench.flowctl("fork", 1, "--from", "parse", "--set", "steps.fetch.output.items[0].price=7")
    assert '"me 70"\n' == said.stdout
    fetch = bench.shown(2)["by_key"]["fetch"]
    assert [{"name": "a", "price": 7}] == fetch["output"]["items"]
    assert fetch["said_by"]
    assert {"month": 2} == fetch["input"]
    assert f"said by {fetch['said_by']}" in bench.flowctl("show", 2).stdout
    assert before == source()
    bench.flowctl("fork", 2, "--from", "save")  # what was said there is said here too
    assert fetch["said_by"] == bench.shown(3)["by_key"]["fetch"]["said_by"]


def test_b11_an_answer_stands_for_the_step(bench: Bench, source: Rows) -> None:
    before = bench.ledger()
    assert '"me 5"\n' == bench.flowctl("fork", 1, "--from", "parse", "--output", "5").stdout
    assert ["save 5"] == bench.ledger()[len(before) :]
    bench.flowctl("fork", 1, "--output", "5", code=2)
    bench.flowctl("fork", 1, "--from", "parse", "--output", "{", code=2)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        pytest.param(["--set", "input.month=may"], "parameter month must be int", id="type"),
        pytest.param(["--set", "input.month:=null"], "parameter month", id="null"),
        pytest.param(["--set", "input.moth=3"], "did you mean month?", id="name"),
        pytest.param(["--set", "output=3"], "no place of a run", id="root"),
        pytest.param(["--set", "steps.fetch.output.items[0].price=x"], "of another kind", id="kind"),
        pytest.param(["--set", "steps.fetch.output.items[4].price=1"], "nothing at $.items[4]", id="nowhere"),
        pytest.param(["--set", "steps.fetsch.output=1"], "did you mean fetch?", id="step"),
        pytest.param(["--set", "steps.save.output=1"], "step save is not before parse", id="later"),
        pytest.param(["--set", "steps.broken.output.x=1"], "there is no output at steps.broken.output", id="failed"),
    ],
)
def test_b11_an_edit_that_makes_no_sense_is_refused_before_anything_starts(
    bench: Bench, source: Rows, options: list[str], part: str
) -> None:
    before = source(), bench.ledger()
    said = bench.flowctl("fork", 1, "--from", "parse", *options, code=None)
    assert said.code in (2, 4)
    assert part in said.stderr
    assert before == (source(), bench.ledger())
    assert bench.run_of(2) is None


def test_b11_an_edited_input_goes_through_the_types_of_the_workflow(bench: Bench, source: Rows) -> None:
    assert '"7 30"\n' == bench.flowctl("fork", 1, "--set", "input.month=4", "--set", "input.who=7").stdout
    assert {"month": 4, "who": "7"} == bench.shown(2)["input"]
    assert "fetch 4" in bench.ledger()


def test_b11_an_edited_input_that_a_shared_step_would_see_blocks_the_fork_with_both_sides(
    bench: Bench, source: Rows
) -> None:
    said = bench.flowctl("fork", 1, "--from", "save", "--set", "input.month=4", code=8)
    for part in ('step 1 "fetch"', '{"month":2}', '{"month":4}'):
        assert part in said.stderr


def test_b11_the_editor_shows_what_can_be_changed_and_bad_json_starts_nothing(
    bench: Bench, source: Rows, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    editor = tmp_path / "edit.sh"
    editor.write_text(f'cp "$1" {seen}\nstat -c %a "$1" >> {seen}\nsed -i s/3/9/ "$1"\n')
    said = bench.flowctl("fork", 1, "--from", "parse", "--edit", EDITOR=f"sh {editor}", VISUAL="")
    assert '"me 90"\n' == said.stdout
    assert '"month": 2' in seen.read_text()
    assert seen.read_text().endswith("600\n")
    editor.write_text('echo "{" > "$1"\n')
    assert "not JSON" in bench.flowctl("fork", 1, "--edit", EDITOR=f"sh {editor}", VISUAL="", code=2).stderr
    said = bench.flowctl("fork", 1, "--edit", EDITOR="true", VISUAL="", code=2)
    assert "nothing was changed" in said.stderr
    assert "exit code 1" in bench.flowctl("fork", 1, "--edit", EDITOR="false", VISUAL="", code=1).stderr
    assert bench.run_of(3) is None


def test_b11_the_edited_json_may_come_by_stdin_and_answer_for_the_step_itself(bench: Bench, source: Rows) -> None:
    edited = {"steps": {"fetch": {"output": {"items": [{"price": 9, "name": "a"}], "month": 2}}}}
    said = bench.flowctl("fork", 1, "--from", "parse", "--edited", "-", input=json.dumps(edited))
    assert '"me 90"\n' == said.stdout
    edited["steps"]["parse"] = {"output": {"of": "a person"}}
    said = bench.flowctl("fork", 1, "--from", "parse", "--edited", json.dumps(edited))
    assert "of" in said.stdout
    twice = bench.flowctl("fork", 1, "--from", "parse", "--edited", json.dumps(edited), "--output", "1", code=2)
    assert "step parse is answered for twice" in twice.stderr
    assert "line 1 column 2" in bench.flowctl("fork", 1, "--edited", "{", code=2).stderr
    assert "nothing was changed" in bench.flowctl("fork", 1, "--edited", "{}", code=2).stderr
    assert "nothing was changed" in bench.flowctl("fork", 1, "--edited", '{"input": {}}', code=2).stderr
    assert "exclude each other" in bench.flowctl("fork", 1, "--edited", "{}", "--edit", code=2).stderr
    assert bench.run_of(4) is None


def test_b11_a_part_of_the_input_is_enough_and_parameters_left_out_stay_as_recorded(bench: Bench, source: Rows) -> None:
    assert '"you 30"\n' == bench.flowctl("fork", 1, "--edited", '{"input": {"who": "you"}}').stdout
    assert {"month": 2, "who": "you"} == bench.shown(2)["input"]
    bench.flowctl("fork", 2, "--edited", '{"input": {"month": 4}}', "--same-code")
    assert {"month": 4, "who": "you"} == bench.shown(3)["input"]
    bench.write("wf.py", SOURCE.replace("month: int, who", "year: int, who").replace("fetch(month)", "fetch(year)"))
    bench.flowctl("fork", 2, "--edited", '{"input": {"year": 5}}')  # month is none of its parameters any more
    assert {"year": 5, "who": "you"} == bench.shown(4)["input"]
    assert "needs the parameter year" in bench.flowctl("fork", 2, "--edited", '{"input": {"who": "me"}}', code=2).stderr


def test_b11_a_part_of_what_a_shell_command_was_given_is_enough(bench: Bench) -> None:
    bench.flowctl("exec", "--shell", "cat")
    bench.flowctl("fork", 1, "--edited", '{"input": {"input": "other"}}')
    assert ("cat", "other") == tuple(bench.shown(2)["input"][name] for name in ("command", "input"))


def test_b11_a_fork_takes_the_newest_code_or_that_of_its_source(bench: Bench, source: Rows) -> None:
    bench.write("wf.py", SOURCE.replace('f"{who} {total}"', 'f"new {total}"'))
    assert '"new 30"\n' == bench.flowctl("fork", 1, "--from", "save").stdout
    assert '"me 30"\n' == bench.flowctl("fork", 1, "--from", "save", "--same-code").stdout
    said = bench.flowctl("fork", 1, "--from", "save", "--same-code", "--set", "input.who=you")
    assert '"you 30"\n' == said.stdout
    path = bench.write("wf.py", "")
    path.unlink()
    assert f"is gone: {path}" in bench.flowctl("fork", 1, "--from", "save", code=4).stderr
    assert '"me 30"\n' == bench.flowctl("fork", 1, "--from", "save", "--same-code").stdout


def test_b11_a_child_is_forked_into_a_run_of_its_own(bench: Bench) -> None:
    bench.write("wf.py", SOURCE)
    bench.flowctl("run", "wf.py:parent", "month=2")
    assert '"me 30"\n' == bench.flowctl("fork", 2, "--from", "parse").stdout
    fork = bench.run_of(3)
    assert fork is not None
    assert (None, None, 2) == (fork.parent_id, fork.root_id, fork.forked_from)
    before = bench.ledger()
    assert '"ME 30"\n' == bench.flowctl("fork", 1, "--from", "report", "--output", '"me 30"').stdout
    assert before == bench.ledger()


def test_b11_payloads_are_shared_and_a_run_is_kept_as_long_as_a_fork_of_it(bench: Bench, tmp_path: Path) -> None:
    bench.write(
        "wf.py",
        """
        @step
        def heavy() -> str:
            return "x" * 200_000

        @step
        def light(n: int) -> int:
            return n

        @workflow
        def main() -> int:
            return light(len(heavy()) + len(heavy()))
        """,
    )
    bench.flowctl("run", "wf.py")
    path = default_database(os.environ)
    before = os.stat(path).st_size
    bench.flowctl("fork", 1, "--from", "light")
    assert os.stat(path).st_size - before < 50_000
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with Store.open(path) as store:
        for left in ([1], []):  # one pruning after the other
            for _ in prune(store, 10**14, Wanted(keep_ms=0), SYSTEM_CLOCK):
                pass
            assert left == [row[0] for row in store.connection.rows("SELECT id FROM runs")]


def test_b11_a_fork_can_be_retried_from_a_step_that_it_shares(bench: Bench, source: Rows) -> None:
    before = source()
    bench.write("wf.py", SOURCE.replace('return f"{who} {total}"', 'raise ValueError("no")'))
    bench.flowctl("fork", 1, "--from", "save", code=1)
    bench.write("wf.py", SOURCE)
    assert '"me 30"\n' == bench.flowctl("retry", 2, "--from", "fetch").stdout
    assert [False] * 4 == [step["shared"] for step in bench.shown(2)["steps"]]
    assert before == source()


@pytest.mark.parametrize(("point", "forks"), [("run-forking", 0), ("run-forked", 1)])
def test_a01_a_fork_that_is_killed_is_there_whole_or_not_at_all(
    bench: Bench, source: Rows, point: str, forks: int
) -> None:
    before = source()
    env = {"FLOWCTL_TESTING": "1", "FLOWCTL_FAILPOINT": f"{point}:kill"}
    bench.flowctl("fork", 1, "--from", "parse", "--set", "steps.fetch.output.month=5", code=-9, **env)
    assert before == source()
    assert forks == (bench.run_of(2) is not None)
    with bench.store() as store:
        assert 2 * forks == store.connection.value("SELECT count(*) FROM steps WHERE run_id = 2")
    if forks:
        assert '"me 30"\n' == bench.flowctl("resume", 2).stdout


def test_b11_a_run_of_a_schedule_is_forked_into_one_that_takes_no_slot(bench: Bench) -> None:
    bench.write("wf.py", SOURCE)
    bench.flowctl("workflows", "add", "wf.py")
    bench.flowctl("schedules", "add", "nightly", "month=2", "--workflow", "report", "--cron", "0 3 * * *")
    bench.flowctl("schedules", "trigger", "nightly")
    bench.flowctl("resume", 1)
    assert "nightly" == bench.shown(1)["schedule"]
    assert '"me 30"\n' == bench.flowctl("fork", 1, "--from", "parse").stdout
    fork = bench.shown(2)
    assert (None, None) == (fork["schedule"], fork["due_at"])


def test_a_run_knows_the_slot_that_it_is_for_and_so_do_its_forks_and_reruns(bench: Bench) -> None:
    bench.write(
        "wf.py",
        """
        @step
        def look() -> str:
            return str(current_run().slot)

        @workflow
        def nightly() -> list[str]:
            return [str(current_run().slot), look()]
        """,
    )
    bench.flowctl("workflows", "add", "wf.py")
    bench.flowctl("schedules", "add", "at3", "--workflow", "nightly", "--cron", "0 3 * * *", "--tz", "UTC")
    bench.flowctl("schedules", "backfill", "at3", "--from", "2026-01-01", "--to", "2026-01-02", "--yes")
    slot = "2026-01-01 03:00:00+00:00"
    assert [slot, slot] == bench.flowctl("resume", 1).json
    assert [slot, slot] == bench.flowctl("fork", 1, "--from", "look").json
    assert [slot, slot] == bench.flowctl("rerun", 2).json
    bench.flowctl("schedules", "trigger", "at3")
    assert ["None", "None"] == bench.flowctl("resume", 4).json
    assert [1] == [each["run"] for each in bench.flowctl("slots", "at3", "--json").json if each["outcome"] == "fired"]


def test_l03_a_run_whose_parameters_have_changed_goes_on_as_a_fork_with_other_input(bench: Bench) -> None:
    bench.write("wf.py", SOURCE.replace('return f"{who} {total}"', 'raise ValueError("no")'))
    bench.flowctl("run", "wf.py:report", "month=2", code=1)
    edited = SOURCE.replace("def report(month: int", "def report(year: int")
    bench.write("wf.py", edited.replace("page = fetch(month)", "page = fetch(year)"))
    said = bench.flowctl("retry", 1, code=8)
    assert "the recorded input has 'month', which is gone; it lacks 'year'" in said.stderr
    assert "flowctl fork RUN --edit" in said.stderr
    refused = bench.flowctl("fork", 1, "--from", "save", code=2)
    assert "month" in refused.stderr
    said = bench.flowctl("fork", 1, "--from", "save", "--set", 'input:={"year": 2}')
    assert '"me 30"\n' == said.stdout


def test_a01_a_decision_that_is_killed_is_not_made(bench: Bench) -> None:
    source = """
    @step(on_crash="block")
    def pay() -> str:
        note("pay")
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)

    @workflow
    def payment() -> str:
        return pay()
    """
    bench.flowctl("run", bench.write("payment.py", source), code=-9)
    bench.flowctl("resume", 1, code=5)
    before = bench.shown()
    env = {"FLOWCTL_TESTING": "1", "FLOWCTL_FAILPOINT": "run-resolving:kill"}
    bench.flowctl("resolve", 1, "pay", "--done", '"x"', code=-9, **env)
    assert before == bench.shown()
    assert '"x"\n' == bench.flowctl("resolve", 1, "pay", "--done", '"x"').stdout
    assert ["pay"] == bench.ledger()
