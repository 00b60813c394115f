"""Circuit breakers: shared by all runs through the file, whatever dies meanwhile."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowctl.core.breakers import Breaker, BreakerRule, after_failure, as_probe, closed, decide, new
from flowctl.sdk.definition import step, workflow
from flowctl.sdk.errors import DefinitionError
from flowctl.sdk.options import step_options
from tests.faults.conftest import Bench

MAIL = """
RULE = {"name": "mail", "failures": 2, "window": "1m", "cooldown": "5s"}

def deliver(n):
    note(f"send {n}")
    if (HERE / "stuck").exists():
        note("stuck")
        time.sleep(300)
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
    bench.write("mail.py", MAIL.replace('"cooldown": "5s"', '"cooldown": "20s"'))
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
    assert 0 == engine.wait(timeout=60)
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
    assert 0 == engine.wait(timeout=60)
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
    bench.write("mail.py", MAIL.replace("5s", cooldown))
    for n in (1, 2):
        bench.flowctl("run", "mail.py:one", f"n={n}", code=1)
    row = bench.flowctl("breakers", "list").stdout.splitlines()[1]
    assert row.startswith("mail     open   2 of 2 in 1m")
    assert over == row.endswith("  next attempt probes")
    assert ("open", True) == (breaker(bench)["state"], breaker(bench)["open_until"] is not None)


def test_h09_a_step_that_shall_not_wait_fails_at_once_and_its_workflow_decides_what_follows(bench: Bench) -> None:
    bench.write("mail.py", MAIL.replace('"cooldown": "5s"', '"cooldown": "1h"'))
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
    assert 0 == engine.wait(timeout=60)
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
    assert 0 == other.wait(timeout=60)
    assert ["send 1", "send 2", "send 3", "stuck", "send 4"] == bench.ledger()
    assert "closed" == breaker(bench)["state"]
    bench.flowctl("resume", 3)


# -- fallbacks

POST = """
RULE = {"name": "post", "failures": 1, "cooldown": "1h"}

def deliver(n):
    note(f"send {n}")
    if not (HERE / "up").exists():
        raise OSError("the post is down")
    return f"sent {n}"

def put_aside(number):
    note(f"aside {number}")
    if (HERE / "full").exists():
        raise OSError("the drawer is full")
    return f"aside {number}"

async def keep(n: int, /, *more: int, **others: int) -> str:
    return f"kept {n}"

@step(retries=1, backoff="10ms")
def insist(n: int) -> str:
    if current_run().step_attempt == 1:
        raise OSError("not yet")
    return f"insisted {n}"

@step(breaker={**RULE, "fallback": put_aside}, retries=1, backoff="10ms")
def send(n: int) -> str:
    return deliver(n)

@step(breaker={**RULE, "fallback": insist})
async def wire(n: int) -> str:
    return deliver(n)

@step(breaker={**RULE, "fallback": keep})
def call(n: int) -> str:
    return deliver(n)

@step
def plain(n: int) -> str:
    return f"plain {n}"

@step(breaker=RULE)
def broken() -> None:
    deliver(0)

@workflow
def down() -> None:
    broken()

@workflow
def one(n: int = 1) -> list[str]:
    return [send(n), plain(n)]

@workflow
def many(concurrency: int) -> list[str]:
    return [*gather(call.bind(1), plain.bind(2), wire.bind(3), call.bind(4), concurrency=concurrency), plain(5)]

@workflow
def undone() -> None:
    plain(1)
    compensate(send.bind(1))
    raise ValueError("no further")
"""


def with_open_breaker(bench: Bench) -> None:
    bench.write("post.py", POST)
    bench.flowctl("run", "post.py:down", code=1)
    assert "open" == breaker(bench)["state"]


def told(bench: Bench, run: int) -> list[tuple[Any, ...]]:
    return [(step["key"], step["input"], step["state"], step.get("output")) for step in bench.shown(run)["steps"]]


def test_h09_the_fallback_of_a_step_is_recorded_beside_it_and_its_output_is_that_of_the_call(bench: Bench) -> None:
    with_open_breaker(bench)
    bench.flowctl("run", "post.py:one", "n=7")
    assert [
        ("send", {"n": 7}, "failed", None),
        ("send-fallback", {"n": 7}, "succeeded", "aside 7"),
        ("plain", {"n": 7}, "succeeded", "plain 7"),
    ] == told(bench, 2)
    assert ["aside 7", "plain 7"] == bench.shown(2)["output"]
    attempts = bench.shown(2)["by_key"]["send"]["attempts"]
    assert ["BreakerOpen", "BreakerOpen"] == [each["error"]["type"] for each in attempts]
    assert ["send 0", "aside 7"] == bench.ledger()
    bench.flowctl("check", "post.py")


def test_h09_another_failure_of_a_step_has_no_fallback(bench: Bench) -> None:
    bench.write("post.py", POST.replace('"failures": 1', '"failures": 9'))
    bench.flowctl("run", "post.py:one", code=1)
    assert ["send"] == list(bench.shown(1)["by_key"])
    assert ["send 1", "send 1"] == bench.ledger()


@pytest.mark.parametrize("concurrency", [1, 3])
def test_h09_fallbacks_of_branches_follow_when_all_branches_have_ended(bench: Bench, concurrency: int) -> None:
    with_open_breaker(bench)
    bench.flowctl("run", "post.py:many", f"concurrency={concurrency}")
    assert ["kept 1", "plain 2", "insisted 3", "kept 4", "plain 5"] == bench.shown(2)["output"]
    assert [
        ("call", {"n": 1}, "failed", None),
        ("plain", {"n": 2}, "succeeded", "plain 2"),
        ("wire", {"n": 3}, "failed", None),
        ("call#2", {"n": 4}, "failed", None),
        ("call-fallback", {"n": 1}, "succeeded", "kept 1"),
        ("wire-fallback", {"n": 3}, "succeeded", "insisted 3"),
        ("call-fallback#2", {"n": 4}, "succeeded", "kept 4"),
        ("plain#2", {"n": 5}, "succeeded", "plain 5"),
    ] == told(bench, 2)
    assert ["failed", "succeeded"] == [each["state"] for each in bench.shown(2)["by_key"]["wire-fallback"]["attempts"]]
    bench.flowctl("check", "post.py")


@pytest.mark.parametrize("at", ["step-failed", "done-send-fallback"])
def test_h09_after_a_crash_the_fallback_goes_on_whatever_the_breaker_says_meanwhile(bench: Bench, at: str) -> None:
    with_open_breaker(bench)
    armed = {"FLOWCTL_TESTING": "1", "FLOWCTL_FAILPOINT": f"{at}:kill"}
    bench.flowctl("run", "post.py:one", code=-9, **armed)
    bench.flowctl("breakers", "reset", "post")
    bench.flowctl("resume", 2)
    assert ["aside 1", "plain 1"] == bench.shown(2)["output"]
    assert ["send", "send-fallback", "plain"] == list(bench.shown(2)["by_key"])
    assert "send 1" not in bench.ledger()


def test_h09_after_a_crash_fallbacks_of_branches_keep_their_places(bench: Bench) -> None:
    with_open_breaker(bench)
    armed = {"FLOWCTL_TESTING": "1", "FLOWCTL_FAILPOINT": "done-wire-fallback:kill"}
    bench.flowctl("run", "post.py:many", "concurrency=2", code=-9, **armed)
    bench.flowctl("breakers", "reset", "post")
    bench.flowctl("resume", 2)
    assert ["kept 1", "plain 2", "insisted 3", "kept 4", "plain 5"] == bench.shown(2)["output"]
    fallbacks = [step["key"] for step in bench.shown(2)["steps"] if "fallback" in step["key"]]
    assert ["call-fallback", "wire-fallback", "call-fallback#2"] == fallbacks


def test_h09_a_fallback_that_fails_is_what_a_retry_runs_again(bench: Bench, tmp_path: Path) -> None:
    with_open_breaker(bench)
    (tmp_path / "full").touch()
    said = bench.flowctl("run", "post.py:one", code=1).stderr
    assert "the drawer is full" in said
    failed = bench.run_of(2)
    assert failed is not None
    assert ["send-fallback"] == failed.failed_steps
    bench.flowctl("breakers", "reset", "post")
    bench.flowctl("retry", 2, code=1)
    assert ["send 0", "aside 1", "aside 1"] == bench.ledger()
    (tmp_path / "up").touch()
    bench.flowctl("retry", 2, "--from", "send")
    assert ["sent 1", "plain 1"] == bench.shown(2)["output"]
    assert ["send 0", "aside 1", "aside 1", "send 1"] == bench.ledger()


def test_h09_what_undoes_has_its_fallback_too(bench: Bench) -> None:
    with_open_breaker(bench)
    bench.flowctl("run", "post.py:undone", code=1)
    assert ["plain", "compensate", "undo-send", "undo-send-fallback"] == list(bench.shown(2)["by_key"])
    assert "aside 1" == bench.shown(2)["by_key"]["undo-send-fallback"]["output"]


def test_a_call_outside_of_a_run_asks_no_breaker_and_has_no_fallback() -> None:
    @step(breaker={"name": "mail", "fallback": lambda text: f"later: {text}"})
    def send(text: str) -> str:
        return f"sent: {text}"

    assert "sent: hello" == send("hello")


def test_a_fallback_may_be_any_function_that_takes_the_arguments_of_its_step() -> None:
    def both(a: int, *rest: int, b: int, **others: int) -> None: ...

    def first(a: int, b: int = 1, *, c: int = 2) -> None: ...

    for function in (both, lambda *args, **kwargs: None, lambda x, *y, b, **z: None, lambda x, *y, b, d=1, **z: None):
        assert step(breaker={"name": "mail", "fallback": function})(both).fallback is not None
    for function in (first, lambda a, b, c: None, lambda x, y, z=3, *, c: None):
        assert step(breaker={"name": "mail", "fallback": function})(first).fallback is not None
    for function in (lambda a: None, lambda a, b: None, lambda a, b, c, d: None, lambda a, b, *, c, d: None):
        with pytest.raises(DefinitionError, match=r"@step first: breaker: fallback: .* takes .*, not \(a, b, c\)"):
            step(breaker={"name": "mail", "fallback": function})(first)
    with pytest.raises(DefinitionError, match="it is called with the arguments of both"):
        step(breaker={"name": "mail", "fallback": first})(both)


def test_a_workflow_is_no_fallback() -> None:
    @workflow
    def other(text: str) -> None: ...

    with pytest.raises(DefinitionError, match="other is a workflow; give a function or a @step"):

        @step(breaker={"name": "mail", "fallback": other})
        def send(text: str) -> None: ...


def test_a_step_under_another_name_has_its_fallback_under_that_name() -> None:
    @step(breaker={"name": "mail", "fallback": lambda text: None})
    def send(text: str) -> None: ...

    renamed = send.with_options(name="post").fallback
    assert renamed is not None
    assert "post-fallback" == renamed.name
    assert send.with_options(breaker="mail").fallback is None


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
        ({"name": "mail", "fallback": "later"}, "breaker: fallback: 'later' is not a function"),
        ({"name": "mail", "fallback": print, "open": "wait"}, "a step with a fallback does not wait"),
        (7, "is not a name"),
    ],
)
def test_a_breaker_that_makes_no_sense_is_refused_where_it_is_written(wrong: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        step_options("@step send", {"breaker": wrong})
