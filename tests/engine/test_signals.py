"""Signals: kept in order, typed, with timeouts; taken once, whenever they were sent and whatever died meanwhile."""

from __future__ import annotations

import json
import signal

import pytest

from tests.faults.conftest import Bench

APPROVAL = """
@step
def ask(what: str) -> str:
    note(f"ask {what}")
    return what.upper()

@step
def act(what: str, answer: object) -> str:
    note(f"act {what} {answer}")
    return f"{what} {answer}"

@workflow
def approval(what: str = "cake") -> str:
    return act(ask(what), wait_signal("approved", bool))

@workflow
def several(count: int = 3) -> list[str]:
    return [wait_signal("word", str) for _ in range(count)]

@workflow
def hurried() -> str:
    try:
        return wait_signal("answer", str, timeout="200ms")
    except SignalTimeout as late:
        note("late")
        return f"{late.step}: {late.message}"

@workflow
def side_by_side() -> list[object]:
    return gather(both.bind("a"), both.bind("b"))

@workflow
def both(name: str) -> str:
    return wait_signal(name, str)

@workflow
def sender(to: int, word: str) -> None:
    send_signal(to, "word", word)
    send_signal(to, "word", word.upper())
"""


def test_b12_a_waiting_run_needs_no_process_and_says_what_for(bench: Bench) -> None:
    bench.write("work.py", APPROVAL)
    engine = bench.spawn("run", "work.py:approval")
    bench.in_state("waiting")
    assert "for signal approved" == bench.shown()["reason"]
    assert "waits for the signal approved" in bench.flowctl("why", 1).stdout
    assert "  flowctl signal 1 approved JSON\n" in bench.flowctl("why", 1).stderr

    sent = bench.flowctl("signal", 1, "approved", "true", "--json").json
    assert ("approved", True, None) == (sent["name"], sent["value"], sent["taken_by"])
    assert 0 == engine.wait(timeout=60)
    assert "CAKE True" == bench.shown()["output"]
    assert ["ask cake", "act CAKE True"] == bench.ledger()
    listed = bench.flowctl("signals", 1, "--json").json
    assert [("approved", True, "approved")] == [(each["name"], each["value"], each["taken_by"]) for each in listed]
    assert "signal" == bench.shown()["by_key"]["approved"]["kind"]


def test_b12_signals_sent_before_the_wait_are_taken_in_their_order(bench: Bench) -> None:
    bench.write("work.py", APPROVAL)
    bench.flowctl("run", "work.py:several", "--detach")
    for word in ("one", "two", "three", "four"):
        bench.flowctl("signal", 1, "word", json.dumps(word))
    bench.flowctl("resume", 1)
    assert ["one", "two", "three"] == bench.shown()["output"]
    assert ["word", "word#2", "word#3", None] == [
        each["taken_by"] for each in bench.flowctl("signals", 1, "--json").json
    ]


def test_b12_a_signal_is_taken_across_the_death_of_the_engine_and_only_once(bench: Bench) -> None:
    bench.write("work.py", APPROVAL)
    engine = bench.spawn("run", "work.py:several")
    bench.flowctl("signal", *bench.wait_for(lambda: bench.run_of(1) and (1,)), "word", '"one"')
    bench.in_state("waiting")
    engine.kill()
    engine.wait()
    bench.flowctl("signal", 1, "word", '"two"')
    second = bench.spawn("resume", 1)
    bench.flowctl("signal", 1, "word", '"three"')
    assert 0 == second.wait(timeout=60)
    assert ["one", "two", "three"] == bench.shown()["output"]
    assert ["word", "word#2", "word#3"] == [each["taken_by"] for each in bench.flowctl("signals", 1, "--json").json]


def test_b12_an_engine_killed_before_its_commit_has_taken_nothing(bench: Bench) -> None:
    bench.write("work.py", APPROVAL)
    bench.flowctl("run", "work.py:several", "count=1", "--detach")
    bench.flowctl("signal", 1, "word", '"one"')
    engine = bench.spawn("resume", 1, FLOWCTL_TESTING="1", FLOWCTL_FAILPOINT="step-succeeded:kill")
    assert -signal.SIGKILL == engine.wait(timeout=60)
    assert ["word"] == [each["taken_by"] for each in bench.flowctl("signals", 1, "--json").json]
    bench.flowctl("resume", 1)
    assert ["one"] == bench.shown()["output"]


def test_b08_a_wait_that_took_too_long_fails_the_step_and_the_replay_gives_the_same(bench: Bench) -> None:
    bench.write("work.py", APPROVAL)
    engine = bench.spawn("run", "work.py:hurried")
    assert 0 == engine.wait(timeout=60)
    shown = bench.shown()
    assert "answer: no signal answer came within 200ms" == shown["output"]
    assert ("failed", "SignalTimeout") == (
        shown["by_key"]["answer"]["state"],
        shown["by_key"]["answer"]["error"]["type"],
    )
    assert ["late"] == bench.ledger()


def test_b12_a_value_that_does_not_fit_is_refused_while_a_step_waits_for_another(bench: Bench) -> None:
    bench.write("work.py", APPROVAL)
    engine = bench.spawn("run", "work.py:approval")
    bench.in_state("waiting")
    refused = bench.flowctl("signal", 1, "approved", '"yes"', code=2)
    assert 'run 1 waits for another value of signal approved: $ is "yes", not a boolean' in refused.stderr
    assert [] == bench.flowctl("signals", 1, "--json").json
    bench.flowctl("signal", 1, "approved", "false")
    assert 0 == engine.wait(timeout=60)


def test_b12_a_value_that_did_not_fit_when_it_was_taken_fails_the_step(bench: Bench) -> None:
    bench.write("work.py", APPROVAL)
    bench.flowctl("run", "work.py:approval", "--detach")
    bench.flowctl("signal", 1, "approved", '"yes"')
    bench.flowctl("resume", 1, code=1)
    error = bench.shown()["by_key"]["approved"]["error"]
    assert ("SignalMisfit", 'signal approved does not fit: $ is "yes", not a boolean') == (
        error["type"],
        error["message"],
    )
    again = bench.spawn("retry", 1)
    bench.flowctl("signal", *bench.wait_for(lambda: bench.shown()["state"] == "waiting" and (1,)), "approved", "true")
    assert 0 == again.wait(timeout=60)
    assert ["ask cake", "act CAKE True"] == bench.ledger()


def test_b12_a_paused_run_keeps_its_signals_until_it_goes_on(bench: Bench) -> None:
    bench.write("work.py", APPROVAL)
    bench.flowctl("run", "work.py:approval", "--detach")
    bench.flowctl("pause", 1)
    bench.flowctl("signal", 1, "approved", "true")
    assert "paused" == bench.shown()["state"]
    bench.flowctl("resume", 1)
    assert "CAKE True" == bench.shown()["output"]


def test_b12_a_run_that_has_ended_takes_no_signal(bench: Bench) -> None:
    bench.write("work.py", APPROVAL)
    bench.flowctl("run", "work.py:approval", "--detach")
    bench.flowctl("cancel", 1)
    assert "run 1 is cancelled: it takes no signal" in bench.flowctl("signal", 1, "approved", code=5).stderr


def test_b12_children_wait_for_their_own_signals_and_selectors_reach_several(bench: Bench) -> None:
    bench.write("work.py", APPROVAL)
    engine = bench.spawn("run", "work.py:side_by_side")
    bench.in_state("waiting", 2)
    bench.in_state("waiting", 3)
    sent = bench.flowctl("signal", "--workflow", "both", "a", '"for a"', "--json").json
    assert {2, 3} == {each["run"] for each in sent}
    bench.flowctl("signal", 3, "b", '"for b"')
    assert 0 == engine.wait(timeout=60)
    assert ["for a", "for b"] == bench.shown()["output"]
    assert "every run that is selected" in bench.flowctl("signal", "--workflow", "both", "a", code=4).stderr


def test_b12_a_workflow_sends_signals_exactly_once(bench: Bench) -> None:
    bench.write("work.py", APPROVAL)
    bench.flowctl("run", "work.py:several", "count=2", "--detach")
    killed = bench.spawn(
        "run", "work.py:sender", "to=1", "word=hi", FLOWCTL_TESTING="1", FLOWCTL_FAILPOINT="step-succeeded:kill"
    )
    assert -signal.SIGKILL == killed.wait(timeout=60)
    bench.flowctl("resume", 2)
    bench.flowctl("resume", 1)
    assert ["hi", "HI"] == bench.shown(1)["output"]
    assert ["run 2", "run 2"] == [each["sender"] for each in bench.flowctl("signals", 1, "--json").json]
    bench.flowctl("run", "work.py:sender", "to=1", "word=late", code=1)
    assert "run 1 is succeeded" in bench.shown(3)["by_key"]["send_signal"]["error"]["message"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["1"], "the name of the signal is missing"),
        (["1", "a/b"], "is not a name"),
        (["1", "go", "yes"], "is not JSON"),
        (["1", "go", "1", "2"], "is one word too many"),
        (["go"], "no run is named"),
    ],
)
def test_a_signal_that_makes_no_sense_is_refused_in_a_sentence(bench: Bench, words: list[str], said: str) -> None:
    bench.write("work.py", APPROVAL)
    bench.flowctl("run", "work.py:approval", "--detach")
    assert said in bench.flowctl("signal", *words, code=2).stderr


def test_a_value_comes_from_a_file_or_stdin_and_has_a_limit(bench: Bench) -> None:
    bench.write("work.py", APPROVAL)
    bench.flowctl("run", "work.py:several", "--detach")
    path = bench.write("value.json", "")
    path.write_text('"from a file"')
    bench.flowctl("signal", 1, "word", f"@{path}")
    path.write_text(json.dumps("x" * 300_000))
    assert "longer than 200 kB" in bench.flowctl("signal", 1, "word", f"@{path}", code=2).stderr
    assert ["from a file"] == [each["value"] for each in bench.flowctl("signals", 1, "--json").json]
