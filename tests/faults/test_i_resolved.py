"""A person decides about a blocked run: what they say is added under their name, and nothing recorded changes."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.faults.conftest import Bench

PAYMENT = """
@step(on_crash="block")
def pay(amount: int) -> str:
    note("pay")
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)

@step
def book(receipt: str) -> str:
    note(f"book {receipt}")
    return receipt

@workflow
def payment() -> str:
    try:
        return book(pay(7))
    except StepFailed as failure:
        return book(failure.message)
"""
TWICE = PAYMENT.replace(
    "        return book(pay(7))", '        return book(" ".join(gather(pay.bind(1), pay.bind(2))))'
).replace(
    '    note("pay")\n', '    note("pay")\n    while len((HERE / "ledger").read_text().split()) < 2: time.sleep(0.01)\n'
)
STEPS = """
@step
def fetch() -> int:
    note("fetch")
    return 1

@step
def save(value: int) -> int:
    note(f"save {value}")
    if not (HERE / "open").exists():
        raise OSError("full")
    return value

@workflow
def main() -> int:
    return save(fetch())
"""


def _blocked(bench: Bench, source: str = PAYMENT) -> dict[str, Any]:
    bench.flowctl("run", bench.write("payment.py", source), code=-signal.SIGKILL)
    bench.flowctl("resume", 1, code=5)
    return bench.shown()


def test_b13_the_outcome_that_nobody_knows_is_said_by_a_person_and_the_step_does_not_run_again(bench: Bench) -> None:
    assert "blocked" == _blocked(bench)["state"]
    said = bench.flowctl("resolve", 1, "pay", "--done", '"receipt 5"')
    assert '"receipt 5"\n' == said.stdout
    assert ["pay", "book receipt 5"] == bench.ledger()
    pay = bench.shown()["by_key"]["pay"]
    assert ("succeeded", "receipt 5") == (pay["state"], pay["output"])
    assert ["interrupted"] == [attempt["state"] for attempt in pay["attempts"]]
    with bench.store() as store:
        reasons = [event.reason for event in store.events.of_run(1)]
    assert f"step pay is done, says {pay['said_by']}" in reasons


def test_b13_a_step_that_a_person_says_has_failed_fails_in_the_workflow(bench: Bench) -> None:
    _blocked(bench)
    assert '"declined"\n' == bench.flowctl("resolve", 1, "1", "--fail", "declined").stdout
    assert ["pay", "book declined"] == bench.ledger()
    error = bench.shown()["by_key"]["pay"]["error"]
    assert ("SaidToHaveFailed", "declined") == (error["type"], error["message"])


def test_b13_a_step_that_a_person_wants_again_runs_again(bench: Bench) -> None:
    _blocked(bench)
    bench.write("payment.py", PAYMENT.replace("os.kill(os.getppid(), signal.SIGKILL)", 'return "ok"'))
    assert '"ok"\n' == bench.flowctl("resolve", 1, "pay", "--retry").stdout
    assert ["pay", "pay", "book ok"] == bench.ledger()


def test_b13_a_run_stays_blocked_until_every_outcome_is_known(bench: Bench) -> None:
    _blocked(bench, TWICE)
    said = bench.flowctl("resolve", 1, "pay", "--done", '"one"', code=8)
    assert 'step "pay#2"' in said.stderr
    assert "flowctl resolve 1 'pay#2' --done JSON" in said.stderr
    assert '"one two"\n' == bench.flowctl("resolve", 1, "pay#2", "--done", '"two"').stdout
    assert ["pay", "pay", "book one two"] == bench.ledger()


def test_b13_what_blocks_offers_the_commands_that_help(bench: Bench) -> None:
    _blocked(bench)
    command = "flowctl resolve 1 pay --done JSON"
    for words in (["show", "1"], ["why", "1"]):
        said = bench.flowctl(*words)
        assert command in said.stdout + said.stderr


def test_b13_a_decision_is_one_of_three_and_json_is_json(bench: Bench) -> None:
    _blocked(bench)
    for options in ([], ["--done", "1", "--retry"], ["--done", "{"], ["--done", "NaN"]):
        bench.flowctl("resolve", 1, "pay", *options, code=2)
    assert "blocked" == bench.shown()["state"]


def test_b13_only_a_blocked_run_needs_a_decision(bench: Bench) -> None:
    bench.write("wf.py", STEPS)
    bench.flowctl("run", "wf.py", code=1)
    said = bench.flowctl("resolve", 1, "save", "--done", "1", code=5)
    assert "flowctl fork 1 --from STEP --output JSON" in said.stderr


def test_i09_a_step_whose_source_has_changed_keeps_its_record_and_gets_the_outcome_that_a_person_says(
    bench: Bench,
) -> None:
    bench.write("wf.py", STEPS)
    bench.flowctl("run", "wf.py", code=1)
    bench.write("open", "")
    bench.write("wf.py", STEPS.replace("return 1", "return 2"))
    bench.flowctl("retry", 1, code=8)
    assert "2\n" == bench.flowctl("resolve", 1, "fetch", "--done", "2").stdout
    assert ["fetch", "save 1", "save 2"] == bench.ledger()
    with bench.store() as store:
        rows = store.connection.rows("SELECT output, said_by IS NULL FROM steps WHERE key = 'fetch' ORDER BY id")
    assert [("1", 1), ("2", 0)] == rows


def test_i02_a_changed_input_is_decided_by_running_that_step_again(bench: Bench) -> None:
    bench.write("wf.py", STEPS)
    bench.flowctl("run", "wf.py", code=1)
    bench.write("open", "")
    bench.write("wf.py", STEPS.replace("def fetch() -> int:", "def fetch(n: int = 5) -> int:"))
    said = bench.flowctl("retry", 1, code=8)
    for part in ("was recorded with input {}", 'code now gives {"n":5}', "flowctl retry 1"):
        assert part in said.stderr
    assert "1\n" == bench.flowctl("resolve", 1, "fetch", "--retry").stdout
    assert ["fetch", "save 1", "fetch", "save 1"] == bench.ledger()
