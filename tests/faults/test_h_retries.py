"""Retries: how many, when, what of, and what a failure leaves behind."""

from __future__ import annotations

import json
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from flowctl.core.policy import StepOptions, backoff, next_delay

if TYPE_CHECKING:
    from tests.faults.conftest import Bench

FRACTIONS = st.floats(0, 1)
FAILURES = st.integers(1, 10_000)


def _ms(instant: str) -> int:
    return int(datetime.fromisoformat(instant).timestamp() * 1000)


def _pauses(step: dict[str, Any]) -> list[int]:
    """Return the milliseconds between the attempts of a step."""
    attempts = step["attempts"]
    return [_ms(after["started_at"]) - _ms(before["finished_at"]) for before, after in pairwise(attempts)]


def test_h01_every_attempt_leaves_a_row_with_its_own_error(bench: Bench) -> None:
    bench.write(
        "counts.py",
        """
        @step(retries=2, backoff="10ms")
        def flaky(base: int) -> int:
            attempt = current_run().step_attempt
            note(f"attempt {attempt}")
            raise ValueError(f"try {attempt} of {base}")

        @workflow
        def main() -> int:
            return flaky(7)
        """,
    )
    bench.flowctl("run", "counts.py", code=1)
    assert bench.ledger() == ["attempt 1", "attempt 2", "attempt 3"]
    flaky = bench.shown()["by_key"]["flaky"]
    assert flaky["input"] == {"base": 7}
    attempts = flaky["attempts"]
    assert [(each["attempt"], each["state"]) for each in attempts] == [(1, "failed"), (2, "failed"), (3, "failed")]
    assert [each["error"]["message"] for each in attempts] == ["try 1 of 7", "try 2 of 7", "try 3 of 7"]
    assert all('raise ValueError(f"try' in each["error"]["traceback"] for each in attempts)
    assert flaky["error"]["message"] == "try 3 of 7"


def test_h02_the_delay_neither_overflows_nor_vanishes_at_attempt_ten_thousand() -> None:
    options = StepOptions(retries=20_000, backoff_ms=2_000, max_backoff_ms=60_000, jitter=0.0)
    assert next_delay(options, 10_000, 0.5, None) == 60_000
    assert [backoff(options, failures, 0.5) for failures in range(1, 7)] == [2000, 4000, 8000, 16000, 32000, 60000]


@given(FAILURES, FRACTIONS, st.integers(1, 10**9), st.integers(1, 10**9), FRACTIONS)
def test_h02_no_delay_is_longer_than_max_backoff_or_shorter_than_the_jitter_allows(
    failures: int, fraction: float, first: int, longest: int, jitter: float
) -> None:
    options = StepOptions(retries=20_000, backoff_ms=first, max_backoff_ms=longest, jitter=jitter)
    delay = next_delay(options, failures, fraction, None)
    assert delay is not None
    assert int(min(first, longest) * (1 - jitter)) <= delay <= longest


@given(st.integers(1, 8), FRACTIONS)
def test_h03_jitter_stays_within_its_bounds_and_uses_them(failures: int, fraction: float) -> None:
    options = StepOptions(retries=100, backoff_ms=1_000, jitter=0.5)
    exact = 1_000 << failures - 1
    assert exact // 2 <= backoff(options, failures, fraction) <= exact * 3 // 2
    assert backoff(options, failures, 0.0) == exact // 2
    assert backoff(options, failures, 1.0) == exact * 3 // 2


def test_h04_a_run_ends_at_once_after_its_last_attempt(bench: Bench) -> None:
    bench.write(
        "last.py",
        """
        @step(retries=1, max_backoff="1h")
        def hopeless() -> None:
            raise RetryAfter("10ms" if current_run().step_attempt == 1 else "1h")

        @workflow
        def main() -> None:
            hopeless()
        """,
    )
    bench.flowctl("run", "last.py", code=1)
    run = bench.shown()
    assert len(run["by_key"]["hopeless"]["attempts"]) == 2
    assert run["duration_ms"] < 60_000


def test_h05_what_cannot_get_better_is_tried_once(bench: Bench) -> None:
    bench.write(
        "giveup.py",
        """
        def tried(name):
            note(name)

        @step(retries=3, backoff="10ms")
        def gives_up():
            tried("gives_up")
            raise GiveUp("no use")

        @step(retries=3, backoff="10ms")
        def exits_78():
            tried("exits_78")
            sys.exit(78)

        @step(retries=3, backoff="10ms", give_up_on=LookupError)
        def not_found():
            tried("not_found")
            {}["nothing"]

        @step(retries=1, backoff="10ms", give_up_on=LookupError)
        def other_error():
            tried("other_error")
            raise OSError("busy")

        @step(retries=3, backoff="10ms", retry_on=(OSError, TimeoutError))
        def unexpected():
            tried("unexpected")
            raise ValueError("not among those")

        @step(retries=1, backoff="10ms", retry_on=(OSError, TimeoutError))
        def expected():
            tried("expected")
            raise ConnectionError("an OSError")

        @workflow
        def main() -> list[str]:
            types = []
            for each in (gives_up, exits_78, not_found, other_error, unexpected, expected):
                try:
                    each()
                except StepFailed as failure:
                    types.append(failure.type)
            for code in (78, 77):
                try:
                    sh(f"echo sh{code} >> ledger; exit {code}", retries=1, backoff="10ms")
                except StepFailed as failure:
                    types.append(failure.type)
            return types
        """,
    )
    types = bench.flowctl("run", "giveup.py").json
    assert types[:6] == ["GiveUp", "SystemExit", "KeyError", "OSError", "ValueError", "ConnectionError"]
    once = ["gives_up", "exits_78", "not_found", "unexpected", "sh78"]
    twice = ["other_error", "expected", "sh77"]
    assert sorted(bench.ledger()) == sorted([*once, *twice, *twice])


BACKOFF = """
@step(retries=1, backoff="{backoff}", jitter=0)
def flaky() -> None:
    note(f"attempt {{current_run().step_attempt}}")
    raise ValueError("again")

@workflow
def main() -> None:
    flaky()
"""


def test_h06_a_death_while_asleep_in_a_backoff_keeps_attempt_number_and_instant(bench: Bench) -> None:
    bench.write("asleep.py", BACKOFF.format(backoff="4s"))
    engine = bench.spawn("run", "asleep.py")
    wake_at = bench.in_state("sleeping").wake_at
    engine.kill()
    engine.wait()
    assert wake_at is not None
    killed = bench.run_of()
    assert killed is not None
    assert killed.wake_at == wake_at
    bench.flowctl("resume", 1, code=1)
    _check_second_attempt(bench, wake_at)


def test_h06_a_death_in_a_short_backoff_keeps_attempt_number_and_instant(bench: Bench) -> None:
    bench.write("held.py", BACKOFF.format(backoff="450ms"))
    bench.flowctl("run", "held.py", code=-9, FLOWCTL_TESTING="1", FLOWCTL_FAILPOINT="step-running@2:kill")
    with bench.store() as store:
        recorded = store.steps.get(1, "flaky")
    assert recorded is not None
    assert recorded.wake_at is not None
    bench.flowctl("resume", 1, code=1)
    _check_second_attempt(bench, recorded.wake_at)


def _check_second_attempt(bench: Bench, wake_at: int) -> None:
    assert bench.ledger() == ["attempt 1", "attempt 2"]
    attempts = bench.shown()["by_key"]["flaky"]["attempts"]
    assert [(each["attempt"], each["state"]) for each in attempts] == [(1, "failed"), (2, "failed")]
    assert _ms(attempts[1]["started_at"]) >= wake_at


HOSTILE = """
class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")

class Liar(Exception):
    def __str__(self):
        return 7

class Own(BaseException):
    pass

class Unreadable:
    def __repr__(self):
        raise RuntimeError("no repr")

class Nameless(type):
    def __getattribute__(cls, name):
        if name in ("__qualname__", "__module__", "__name__"):
            raise RuntimeError("no name")
        return super().__getattribute__(name)

class Anonymous(Exception, metaclass=Nameless):
    pass

class Masked(Exception):
    @property
    def __class__(self):
        raise RuntimeError("no class")

class LateRetry(RetryAfter):
    def __init__(self):
        pass

def cyclic():
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    raise one

def grouped():
    inner = ExceptionGroup("inner", [ValueError(str(n)) for n in range(2000)])
    for _ in range(50):
        inner = ExceptionGroup("outer", [inner])
    raise inner

def endless():
    endless()

def throw(error):
    raise error

CASES = {
    "mute": lambda: throw(Mute()),
    "liar": lambda: throw(Liar()),
    "huge": lambda: throw(ValueError("x" * 50_000_000)),
    "wide": lambda: throw(ValueError("\U0001f600" * 1_000_000)),
    "cyclic": cyclic,
    "grouped": grouped,
    "endless": endless,
    "base": lambda: throw(Own("mine")),
    "keyboard": lambda: throw(KeyboardInterrupt()),
    "generator": lambda: throw(GeneratorExit()),
    "exit": lambda: sys.exit(0),
    "exit_huge": lambda: sys.exit("x" * 50_000_000),
    "exit_unreadable": lambda: sys.exit(Unreadable()),
    "surrogate": lambda: throw(ValueError("\\ud800 \\x00 \\x1b[2J")),
    "anonymous": lambda: throw(Anonymous("who")),
    "masked": lambda: throw(Masked("what")),
    "late": lambda: throw(LateRetry()),
    "stop": lambda: throw(StopIteration(3)),
}

@step
def hostile(case: str) -> None:
    CASES[case]()

@workflow
def steps() -> dict[str, str]:
    types = {}
    for case in CASES:
        try:
            hostile(case)
        except StepFailed as failure:
            types[case] = failure.type
    return types

@workflow
def itself(case: str) -> None:
    CASES[case]()
"""


def test_h07_whatever_a_step_raises_is_recorded_within_64_kb(bench: Bench) -> None:
    bench.write("hostile.py", HOSTILE)
    said = bench.flowctl("run", "hostile.py:steps").json
    types = {case: kind.removeprefix("hostile.") for case, kind in said.items()}
    expected = {
        "mute": "Mute",
        "liar": "Liar",
        "huge": "ValueError",
        "wide": "ValueError",
        "cyclic": "ValueError",
        "base": "Own",
    }
    expected |= {"grouped": "ExceptionGroup", "endless": "RecursionError", "keyboard": "KeyboardInterrupt"}
    expected |= {"exit": "SystemExit", "exit_huge": "SystemExit", "exit_unreadable": "SystemExit", "late": "LateRetry"}
    expected |= {"generator": "GeneratorExit", "surrogate": "ValueError", "stop": "StopIteration", "masked": "Masked"}
    assert types | {"anonymous": ""} == expected | {"anonymous": ""}
    with bench.store() as store:
        errors = {json.loads(step.input)["case"]: step.error or "" for step in store.steps.history(1)}
    assert len(errors) == 18
    assert max(len(error.encode()) for error in errors.values()) <= 64 * 1024
    assert json.loads(errors["huge"])["message"].startswith("xxx")
    assert "ValueError: two" in json.loads(errors["cyclic"])["traceback"]
    bench.flowctl("show", 1)


def test_h07_whatever_a_workflow_raises_is_recorded_within_64_kb(bench: Bench) -> None:
    path = bench.write("hostile.py", HOSTILE)
    cases = ["mute", "huge", "cyclic", "base", "exit", "exit_huge", "exit_unreadable", "masked", "surrogate"]
    (path.parent / "cases").write_text("".join(json.dumps({"case": case}) + "\n" for case in cases))
    bench.flowctl("run", "hostile.py:itself", "--each", "cases", code=1)
    with bench.store() as store:
        runs = [store.runs.get(number) for number in range(1, len(cases) + 1)]
    assert [run.state for run in runs] == ["failed"] * len(cases)
    assert max(len((run.error or "").encode()) for run in runs) <= 64 * 1024
    types = [json.loads(run.error or "{}")["type"].removeprefix("hostile.") for run in runs]
    assert types[:4] == ["Mute", "ValueError", "ValueError", "Own"]
    assert types[4:7] == ["SystemExit"] * 3


def test_h08_a_retry_reuses_what_is_recorded_and_reruns_what_failed(bench: Bench) -> None:
    five = bench.write(
        "five.py",
        """
        @step
        def part(number: int) -> int:
            note(f"part {number}")
            if number == 3 and not (HERE / "mended").exists():
                raise RuntimeError("not mended")
            return number * 10

        @workflow
        def main() -> int:
            return sum(part(number) for number in range(1, 6))
        """,
    )
    bench.flowctl("run", "five.py", code=1)
    assert bench.ledger() == ["part 1", "part 2", "part 3"]
    bench.flowctl("retry", 1, code=1)
    assert bench.ledger()[3:] == ["part 3"]
    five.with_name("mended").touch()
    assert bench.flowctl("retry", 1).json == 150
    assert bench.ledger()[4:] == ["part 3", "part 4", "part 5"]
    run = bench.shown()
    assert run["attempt"] == 3
    attempts = run["by_key"]["part#3"]["attempts"]
    assert [(each["attempt"], each["state"]) for each in attempts] == [(1, "failed"), (2, "failed"), (3, "succeeded")]


def test_h10_the_delay_that_a_step_asks_for_is_kept_up_to_max_backoff(bench: Bench) -> None:
    bench.write(
        "later.py",
        """
        @step(retries=1, backoff="1ms")
        def asks():
            if current_run().step_attempt == 1:
                raise RetryAfter("300ms")

        @step(retries=1, backoff="1ms", max_backoff="150ms")
        def asks_for_too_much():
            if current_run().step_attempt == 1:
                raise RetryAfter(3600, "in an hour")

        @workflow
        def main() -> None:
            asks()
            asks_for_too_much()
        """,
    )
    bench.flowctl("run", "later.py")
    steps = bench.shown()["by_key"]
    assert 300 <= _pauses(steps["asks"])[0] < 60_000
    assert 150 <= _pauses(steps["asks_for_too_much"])[0] < 60_000
    assert steps["asks_for_too_much"]["attempts"][0]["error"]["message"] == "in an hour"
