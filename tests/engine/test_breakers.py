"""Circuit breakers: shared by all runs through the file, whatever dies meanwhile."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowctl.core.breakers import Breaker, BreakerRule, after_failure, as_probe, closed, decide, new
from flowctl.sdk.errors import DefinitionError
from flowctl.sdk.options import step_options
from tests.faults.conftest import Bench

MAIL = """
RULE = {"name": "mail", "failures": 2, "window": "1m", "cooldown": "3s"}

def deliver(n):
    note(f"send {n}")
    if (HERE / "stuck").exists():
        note("stuck")
        time.sleep(60)
    if not (HERE / "up").exists():
        raise OSError("mail is down")
    return f"sent {n}"

@step(breaker=RULE)
def send(n: int) -> str:
    return deliver(n)

@step(breaker=RULE, retries=3, backoff="10ms")
def insist(n: int) -> str:
    return deliver(n)

@step(breaker={**RULE, "open": "fail"}, retries=1, backoff="10ms")
def hurry(n: int) -> str:
    return deliver(n)

@step(breaker={**RULE, "cooldown": "1h"}, retries=3, backoff="10ms")
def patient(n: int) -> str:
    return deliver(n)

@workflow
def one(n: int = 1) -> str:
    return send(n)

@workflow
def insisting(n: int = 1) -> str:
    return insist(n)

@workflow
def waiting(n: int = 1) -> str:
    return patient(n)

@workflow
def hurried(n: int = 1) -> str:
    try:
        return hurry(n)
    except StepFailed as failure:
        return f"later, because {failure.type}"
"""


def breaker(bench: Bench) -> dict[str, Any]:
    (found,) = bench.flowctl("breakers", "list", "--json").json
    return dict(found)


def test_h09_after_so_many_failures_no_attempt_begins_before_the_cooldown_and_one_probe_closes_it(
    bench: Bench, tmp_path: Path
) -> None:
    bench.write("mail.py", MAIL)
    bench.flowctl("run", "mail.py:one", "n=1", code=1)
    assert ("closed", 1) == (breaker(bench)["state"], breaker(bench)["failures"])
    bench.flowctl("run", "mail.py:one", "n=2", code=1)
    until = breaker(bench)["open_until"]
    engine = bench.spawn("run", "mail.py:one", "n=3")
    waits = bench.in_state("waiting", 3)
    assert "breaker mail is open until" in (waits.reason or "")
    assert waits.wake_at is not None
    why = bench.flowctl("why", 3)
    assert "waits, because breaker mail is open until" in why.stdout
    assert "  flowctl breakers reset mail\n" in why.stderr
    assert ["send 1", "send 2"] == bench.ledger()
    (tmp_path / "up").touch()
    assert 0 == engine.wait(timeout=20)
    (begun,) = [each["started_at"] for each in bench.shown(3)["by_key"]["send"]["attempts"]]
    assert begun >= until
    assert ["send 1", "send 2", "send 3"] == bench.ledger()
    assert ("closed", 0) == (breaker(bench)["state"], breaker(bench)["failures"])
    assert ["succeeded"] == [each["state"] for each in bench.shown(3)["by_key"]["send"]["attempts"]]


def test_h09_retries_of_a_step_wait_for_its_breaker_too(bench: Bench, tmp_path: Path) -> None:
    bench.write("mail.py", MAIL)
    engine = bench.spawn("run", "mail.py:insisting")
    waits = bench.in_state("waiting")
    assert "breaker mail is open until" in (waits.reason or "")
    (tmp_path / "up").touch()
    assert 0 == engine.wait(timeout=20)
    assert ["send 1"] * 3 == bench.ledger()
    attempts = [each["state"] for each in bench.shown()["by_key"]["insist"]["attempts"]]
    assert ["failed", "failed", "succeeded"] == attempts


def test_h09_a_probe_that_fails_opens_it_again(bench: Bench) -> None:
    bench.write("mail.py", MAIL)
    for n in (1, 2):
        bench.flowctl("run", "mail.py:one", f"n={n}", code=1)
    first = breaker(bench)["open_until"]
    bench.flowctl("run", "mail.py:one", "n=3", code=1)
    assert "open" == breaker(bench)["state"]
    assert first < breaker(bench)["open_until"]
    assert ["send 1", "send 2", "send 3"] == bench.ledger()


@pytest.mark.parametrize(("cooldown", "over"), [("1ms", True), ("1h", False)])
def test_h09_a_breaker_whose_cooldown_is_over_is_listed_as_one_that_lets_a_probe_begin(
    bench: Bench, cooldown: str, over: bool
) -> None:
    bench.write("mail.py", MAIL.replace("3s", cooldown))
    for n in (1, 2):
        bench.flowctl("run", "mail.py:one", f"n={n}", code=1)
    row = bench.flowctl("breakers", "list").stdout.splitlines()[1]
    assert row.startswith("mail     open   2 of 2 in 1m")
    assert over == row.endswith("  next attempt probes")
    assert ("open", True) == (breaker(bench)["state"], breaker(bench)["open_until"] is not None)


def test_h09_a_step_that_shall_not_wait_fails_at_once_and_its_fallback_is_recorded(bench: Bench) -> None:
    bench.write("mail.py", MAIL)
    for n in (1, 2):
        bench.flowctl("run", "mail.py:one", f"n={n}", code=1)
    bench.flowctl("run", "mail.py:hurried", "n=3")
    assert "later, because BreakerOpen" == bench.shown(3)["output"]
    assert ["send 1", "send 2"] == bench.ledger()
    attempts = bench.shown(3)["by_key"]["hurry"]["attempts"]
    assert ["BreakerOpen", "BreakerOpen"] == [each["error"]["type"] for each in attempts]
    assert 2 == breaker(bench)["failures"]  # what never began is no failure of what is behind the breaker


def test_h09_reset_lets_what_waits_go_on(bench: Bench, tmp_path: Path) -> None:
    bench.write("mail.py", MAIL)
    engine = bench.spawn("run", "mail.py:waiting")
    bench.in_state("waiting")
    (tmp_path / "up").touch()
    assert "breaker mail is closed" in bench.flowctl("breakers", "reset", "mail").stdout
    (line,) = bench.flowctl("events", "--subject", "breaker mail", "--json").json
    assert ("reset", "flowctl breakers reset") == (line["reason"], line["actor"].partition(": ")[2])
    assert 0 == engine.wait(timeout=20)
    assert "sent 1" == bench.shown()["output"]
    assert "no step with the breaker other" in bench.flowctl("breakers", "reset", "other", code=4).stderr


def test_h09_a_probe_whose_engine_died_makes_room_for_another(bench: Bench, tmp_path: Path) -> None:
    bench.write("mail.py", MAIL)
    for n in (1, 2):
        bench.flowctl("run", "mail.py:one", f"n={n}", code=1)
    (tmp_path / "stuck").touch()
    probe = bench.spawn("run", "mail.py:one", "n=3")
    bench.wait_for(lambda: "stuck" in bench.ledger())
    assert ("half_open", {"run": 3, "step": "send"}) == (breaker(bench)["state"], breaker(bench)["probe"])
    other = bench.spawn("run", "mail.py:one", "n=4")
    assert "tries one attempt, of run 3" in (bench.in_state("waiting", 4).reason or "")
    probe.send_signal(signal.SIGKILL)
    probe.wait()
    (tmp_path / "stuck").unlink()
    (tmp_path / "up").touch()
    assert 0 == other.wait(timeout=20)
    assert ["send 1", "send 2", "send 3", "stuck", "send 4"] == bench.ledger()
    assert "closed" == breaker(bench)["state"]
    bench.flowctl("resume", 3)


# -- the decision

RULE = BreakerRule("mail", failures=3, window_ms=1000, cooldown_ms=500)
OPEN = new("default", RULE, 0)._replace(state="open", opened_at=100)


def test_an_open_breaker_holds_until_its_cooldown_is_over_and_then_lets_one_probe_begin() -> None:
    assert 600 == decide(OPEN, 599, own=False, probing=False).ask_again_at
    assert decide(OPEN, 600, own=False, probing=False).probe
    half = as_probe(OPEN, 7, "send", 1, 600)
    assert 1600 == decide(half, 600, own=False, probing=True).ask_again_at
    assert decide(half, 600, own=True, probing=True).probe
    assert decide(half, 600, own=False, probing=False).probe


def test_a_clock_that_was_set_back_holds_nobody_up() -> None:
    assert decide(OPEN, 99, own=False, probing=False).probe


@given(
    events=st.lists(
        st.tuples(st.sampled_from(["ask", "succeed", "fail", "late", "die"]), st.integers(0, 800)), max_size=60
    )
)
def test_at_most_one_probe_runs_and_no_attempt_begins_while_it_is_open(events: list[tuple[str, int]]) -> None:
    breaker: Breaker = new("default", RULE, 0)
    now, failures, running = 0, list[int](), False
    for event, passed in events:
        now += passed
        if event == "ask":
            verdict = decide(breaker, now, own=False, probing=running)
            if breaker.state == "open" and verdict.ask_again_at is None:
                assert now >= breaker.opens_at
            if verdict.probe:
                assert not running
                breaker, running = as_probe(breaker, 1, "send", 1, now), True
        elif event == "die":
            running = False
        elif event == "succeed" and running:
            breaker, running, failures = closed(breaker, now), False, []
        elif event in ("fail", "late"):
            own = event == "fail" and running
            failures = [at for at in [*failures, now] if at > now - RULE.window_ms]
            before, breaker = breaker, after_failure(breaker, RULE, len(failures), now, own=own)
            running = running and not own
            assert (breaker.state == "open") == (
                before.state == "open" or own or (before.state == "closed" and len(failures) >= RULE.failures)
            )
        assert (breaker.state == "half_open") == (breaker.probe_run is not None)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"failures": 3}, "is not a name"),
        ({"name": "mail", "failures": 0}, "not a whole number from 1"),
        ({"name": "mail", "windows": "1m"}, "did you mean 'window'"),
        ({"name": "mail", "cooldown": 0}, "longer than nothing"),
        ({"name": "mail", "open": "maybe"}, "not one of 'wait', 'fail'"),
        (7, "is not a name"),
    ],
)
def test_a_breaker_that_makes_no_sense_is_refused_where_it_is_written(wrong: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        step_options("@step send", {"breaker": wrong})
