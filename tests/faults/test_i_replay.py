"""Replay: what is recorded answers for the code, and an edit is noticed, explained and decided by a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.faults.conftest import Bench

KILL = {"FLOWCTL_TESTING": "1"}

STEPS = """
from local import SIGN

@step
def fetch(url: str) -> str:
    note(f"fetch {url}")
    return url.upper()

@step
def parse(text: str, depth: int = 1) -> str:
    note(f"parse {text}")
    return text + SIGN

@step
def save(text: str) -> str:
    note(f"save {text}")
    return text
"""
BODY = """
@workflow
def main() -> str:
    page = fetch("a")
    found = parse(page)
    return save(found)
"""


def _crash(bench: Bench, body: str = BODY, at: str = "step-succeeded@2", steps: str = STEPS) -> None:
    """Run until two steps are recorded and the third has begun, and die there."""
    (bench.write("wf.py", steps + body).parent / "local.py").write_text('SIGN = "!"\n')
    bench.flowctl("run", "wf.py", code=-9, **KILL, FLOWCTL_FAILPOINT=f"{at}:kill")


def _state(bench: Bench) -> tuple[str, str]:
    run = bench.run_of(1)
    assert run is not None
    return run.state, run.reason or ""


RENAMED = BODY.replace("parse(", "read(")
INSERTED = BODY.replace("found = ", "check(page)\n    found = ")
REORDERED = """
@workflow
def main() -> str:
    found = parse("A")
    page = fetch("a")
    return save(found)
"""
MORE = """
@step
def read(text: str) -> str:
    note(f"read {text}")
    return text

@step
def check(text: str) -> None:
    note(f"check {text}")
"""


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(RENAMED, 'step 2 was "parse", code now asks "read"', id="renamed"),
        pytest.param(INSERTED, 'step 2 was "parse", code now asks "check"', id="inserted"),
        pytest.param(REORDERED, 'step 1 was "fetch", code now asks "parse"', id="reordered"),
    ],
)
def test_i01_a_retry_with_edited_steps_is_blocked_with_both_names(bench: Bench, body: str, reason: str) -> None:
    _crash(bench)
    before = bench.ledger()
    bench.flowctl("cancel", "1")
    bench.write("wf.py", STEPS + MORE + body)
    said = bench.flowctl("retry", "1", code=8)
    assert reason in said.stderr
    assert ("blocked", reason) == _state(bench)
    assert before == bench.ledger()  # nothing was tried on the way


def test_i01_a_blocked_run_goes_on_when_the_edit_is_taken_back(bench: Bench) -> None:
    _crash(bench)
    bench.flowctl("cancel", "1")
    bench.write("wf.py", STEPS + MORE + RENAMED)
    bench.flowctl("retry", "1", code=8)
    bench.write("wf.py", STEPS + BODY)
    assert '"A!"' in bench.flowctl("retry", "1").stdout
    assert ["fetch a", "parse A", "save A!"] == bench.ledger()


@pytest.mark.parametrize("deleted", [False, True], ids=["edited", "deleted"])
def test_i01_an_automatic_resume_uses_the_code_the_run_started_with(bench: Bench, deleted: bool) -> None:
    _crash(bench)
    path = bench.write("wf.py", STEPS + MORE + RENAMED)
    local = path.parent / "local.py"
    local.write_text('SIGN = "?"\n')
    if deleted:
        path.unlink()
        local.unlink()
    assert '"A!"\n' == bench.flowctl("resume", "1").stdout
    assert ["fetch a", "parse A", "save A!"] == bench.ledger()


def test_i02_a_changed_input_is_blocked_with_both_inputs_until_it_is_accepted(bench: Bench) -> None:
    _crash(bench)
    bench.flowctl("cancel", "1")
    bench.write("wf.py", STEPS + BODY.replace("parse(page)", "parse(page, 7)"))
    said = bench.flowctl("retry", "1", code=8)
    for part in ('step 2 "parse"', '"depth":1', '"depth":7'):
        assert part in said.stderr
    assert "blocked" == _state(bench)[0]
    assert '"A!"\n' == bench.flowctl("retry", "1", "--accept").stdout
    assert ["fetch a", "parse A", "save A!"] == bench.ledger()


def test_i03_steps_after_the_recorded_ones_just_run(bench: Bench) -> None:
    _crash(bench, BODY.replace("return save(found)", 'save(found)\n    raise ValueError("not yet")'), at="run-failed")
    bench.write("wf.py", STEPS + BODY.replace("return save(found)", 'save(found)\n    return save("more")'))
    assert '"more"\n' == bench.flowctl("retry", "1").stdout
    assert ["fetch a", "parse A", "save A!", "save more"] == bench.ledger()


def test_i04_branches_keep_their_places_in_whatever_order_they_end(bench: Bench) -> None:
    """The first branches wait until after the crash; those that ended before it are not the first ones."""
    bench.write(
        "wf.py",
        """
        @step
        def work(number: int) -> int:
            while number < 3 and not (HERE / "again").exists():
                time.sleep(0.01)
            note(f"work {number}")
            return number * 10

        @workflow
        def main() -> list:
            return gather(*[work.bind(number) for number in range(5)], concurrency=5)
        """,
    )
    bench.flowctl("run", "wf.py", code=-9, **KILL, FLOWCTL_FAILPOINT="step-succeeded@2:kill")
    with bench.store() as store:
        first = {step.key: (step.seq, step.input, step.state) for step in store.steps.of_run(1)}
    bench.write("again", "")
    bench.flowctl("resume", "1")
    with bench.store() as store:
        second = {step.key: (step.seq, step.input, step.state) for step in store.steps.of_run(1)}
    assert {"succeeded", "running"} == {state for _, _, state in first.values()}
    assert "running" == first["work"][2]
    keys = ["work", "work#2", "work#3", "work#4", "work#5"]
    expected = {key: (seq, f'{{"number":{seq - 1}}}') for seq, key in enumerate(keys, 1)}
    assert expected == {key: row[:2] for key, row in first.items()} == {key: row[:2] for key, row in second.items()}
    assert [0, 10, 20, 30, 40] == bench.shown()["output"]
    finished = [row[0] - 1 for row in first.values() if row[2] == "succeeded"]
    for number in finished:
        assert 1 == bench.ledger().count(f"work {number}")


VALUES = """
@step
def work() -> None:
    note("work")

@workflow
def main() -> None:
    seen = f"{now().isoformat()} {random()} {uuid4()} {random()}"
    note("seen " + seen)
    work()
    note("again " + seen)
    work()
"""


def test_i05_now_random_and_uuid4_are_the_same_on_replay(bench: Bench) -> None:
    _crash(bench, VALUES, at="step-succeeded@5", steps="")
    bench.flowctl("resume", "1")
    seen = [line for line in bench.ledger() if line.startswith("seen ")]
    assert 2 == len(seen)
    assert seen[0] == seen[1]
    assert len(set(seen[0].split())) == 5
    assert ["value"] * 4 + ["step"] * 2 == [step["kind"] for step in bench.shown()["steps"]]


def test_i05_a_body_that_asks_the_clock_or_chance_itself_is_named_with_line_and_fix(bench: Bench) -> None:
    path = bench.write(
        "wf.py",
        """
        import random as chance

        @workflow
        def main() -> float:
            return time.time() + chance.random()
        """,
    )
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "time.time()" in text)
    problems = bench.flowctl("workflows", "check", "wf.py", "--json", code=1).json["problems"]
    assert {("time.time", line), ("random.random", line)} == {(each["call"], each["line"]) for each in problems}
    assert all(str(path) == each["file"] and each["fix"] for each in problems)
    said = bench.flowctl("workflows", "check", "wf.py", code=1)
    assert f"{path}:{line}: time.time() in main: " in said.stdout
    bench.flowctl("run", "wf.py")  # a hint, not a prohibition


def test_i06_a_failure_that_the_workflow_catches_is_the_same_on_replay(bench: Bench) -> None:
    body = """
@step
def fragile() -> None:
    note("fragile")
    raise LookupError("no such\\nthing: \\u00e9")

@workflow
def main() -> str:
    try:
        fragile()
    except StepFailed as failure:
        note("caught " + repr((failure.type, failure.message, failure.step, str(failure), failure.traceback)))
    return save("x")
"""
    _crash(bench, body, at="step-running@2")
    bench.flowctl("resume", "1")
    caught = [line for line in bench.ledger() if line.startswith("caught ")]
    assert 1 == bench.ledger().count("fragile")
    assert 2 == len(caught)
    assert caught[0] == caught[1]
    assert "'LookupError', 'no such\\nthing: é', 'fragile'" in caught[0]
    assert "raise LookupError" in caught[0]


FAILING = STEPS.replace("    return text\n", '    raise OSError("full")\n')


def test_i09_a_retry_names_the_step_whose_source_changed_and_does_what_it_is_told(bench: Bench) -> None:
    path = bench.write("wf.py", FAILING + BODY)
    (path.parent / "local.py").write_text('SIGN = "!"\n')
    bench.flowctl("run", "wf.py", code=1)
    before = bench.shown()["code"]
    bench.write("wf.py", STEPS.replace("url.upper()", "url.title()") + BODY)

    said = bench.flowctl("retry", "1", code=8)
    assert 'step 1 "fetch" was recorded by other code than it has now' in said.stderr
    assert ["fetch a", "parse A", "save A!"] == bench.ledger()
    assert "failed" == bench.shown()["by_key"]["save"]["state"]  # what is to run again is still to be seen
    assert "OSError: full" in bench.flowctl("show", "1", "save").stdout

    said = bench.flowctl("retry", "1", "--same-code", code=1)
    assert "OSError: full" in said.stderr

    assert '"A!"\n' == bench.flowctl("retry", "1", "--accept").stdout
    assert ["fetch a", "parse A"] + ["save A!"] * 3 == bench.ledger()
    assert before != bench.shown()["code"]


def test_i09_a_retry_uses_the_newest_code_of_what_has_to_run_again(bench: Bench) -> None:
    path = bench.write("wf.py", FAILING + BODY)
    (path.parent / "local.py").write_text('SIGN = "!"\n')
    bench.flowctl("run", "wf.py", code=1)
    bench.write("wf.py", STEPS + BODY)
    assert '"A!"\n' == bench.flowctl("retry", "1").stdout
    assert ["fetch a", "parse A", "save A!", "save A!"] == bench.ledger()
    save = bench.shown()["by_key"]["save"]
    assert [1] == [each["attempt"] for each in save["attempts"] if each["state"] == "failed"]


def test_i09_a_retry_from_a_step_runs_it_and_all_after_it_again(bench: Bench) -> None:
    path = bench.write("wf.py", FAILING + BODY)
    (path.parent / "local.py").write_text('SIGN = "!"\n')
    bench.flowctl("run", "wf.py", code=1)
    bench.write("wf.py", STEPS.replace("return text + SIGN", 'return f"new {text}"') + BODY)
    said = bench.flowctl("retry", "1", "--from", "pares", code=4)
    assert "did you mean parse?" in said.stderr
    assert '"new A"\n' == bench.flowctl("retry", "1", "--from", "parse").stdout
    assert ["fetch a", "parse A", "save A!", "parse A", "save new A"] == bench.ledger()


def test_i10_what_the_workflow_does_to_a_result_does_not_change_the_record(bench: Bench) -> None:
    body = """
@step
def make() -> dict:
    note("make")
    return {"items": [1], "deep": {"set": {2}}}

@step
def use(value: dict) -> dict:
    value["items"].append("of the body")
    return value

@workflow
def main() -> list:
    made = make()
    made["items"].append(3)
    made["deep"]["set"].add(4)
    first = use(made)
    made["items"].append(5)
    return [first["items"], use(made)["items"], made["items"]]
"""
    _crash(bench, body, at="step-succeeded@2")
    output: Any = bench.flowctl("resume", "1").json
    assert [[1, 3, "of the body"], [1, 3, 5, "of the body"], [1, 3, 5]] == output
    steps = bench.shown()["by_key"]
    assert [1] == steps["make"]["output"]["items"]
    assert [1, 3] == steps["use"]["input"]["value"]["items"]
    assert [1, 3, 5] == steps["use#2"]["input"]["value"]["items"]
    assert ["make"] == bench.ledger()
