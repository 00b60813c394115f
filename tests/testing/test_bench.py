"""The test kit: real runs in a folder of their own, steps that the test answers, time that it moves, and crashes."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flowctl.core.errors import UsageError
from flowctl.testing import Bench
from tests.conftest import ROOT

PLAIN = ["-q", "-p", "no:cacheprovider", "-p", "flowctl.pytest_plugin", "-c", os.devnull]  # nothing of our own settings

CHAIN = """
@step
def one(n: int) -> int:
    print("one")
    return n + 1

@step(retries=2, backoff="1h", jitter=0)
def two(n: int) -> int:
    return n * 10

@workflow
def chain(n: int) -> int:
    sleep("1d")
    return two(one(n))
"""


def test_a_run_is_real_and_recorded(flowctl_bench, imported):
    flows = imported(CHAIN)
    run = flowctl_bench.run(flows.chain, n=4)
    assert "sleeping" == run.state
    flowctl_bench.advance("23h")
    assert "sleeping" == run.state
    flowctl_bench.advance(timedelta(hours=1))
    assert 50 == run.output
    assert {"sleep": "sleep", "one": "step", "two": "step"} == {key: step.kind for key, step in run.steps.items()}
    assert ({"n": 4}, 5) == (run.steps["one"].input, run.steps["one"].output)
    assert "one\n" == run.logs
    assert [] == flowctl_bench.store.check(full=True)


GUARDED = """
@step
def keep(line: str, *, again: bool = False) -> str:
    return f"kept {line} {again}"

@step(breaker={"name": "post", "failures": 1, "cooldown": "1h", "fallback": keep})
def send(text: str) -> str:
    raise OSError("the post is down")

@step(breaker={"name": "post", "failures": 1, "cooldown": "1h", "open": "fail"})
def broken() -> None:
    raise OSError("the post is down")

@workflow
def guarded() -> str:
    try:
        broken()
    except StepFailed:
        return send("hello")
    return ""
"""


def test_a_fallback_is_stubbed_as_the_step_that_it_is(flowctl_bench, imported):
    flows = imported(GUARDED)
    assert "kept hello False" == flowctl_bench.run(flows.guarded).output
    flowctl_bench.stub(flows.keep, lambda line, again: f"stubbed {line} {again}")
    run = flowctl_bench.run(flows.guarded)
    assert "stubbed hello False" == run.steps["send-fallback"].output
    assert {"text": "hello"} == run.steps["send-fallback"].input


def test_a_stub_answers_in_the_process_of_the_test(flowctl_bench, imported):
    flows = imported(CHAIN)
    pids = []

    def answer(n: int) -> int:
        pids.append(os.getpid())
        return n + 100

    flowctl_bench.stub(flows.one, answer)
    run = flowctl_bench.run(flows.chain, n=4)
    flowctl_bench.finish()
    assert 1040 == run.output
    assert [os.getpid()] == pids
    assert "" == run.logs


def test_what_a_stub_raises_is_what_the_step_raises(flowctl_bench, imported):
    flows = imported("""
class Refused(Exception):
    pass

@step(retries=3, backoff="1h", jitter=0, give_up_on=Refused)
def ask() -> str:
    return "yes"

@workflow
def asking() -> str:
    return ask()
""")
    raised = iter([RetryLater("30m"), flows.Refused("no")])

    def answer() -> str:
        raise next(raised)

    flowctl_bench.stub(flows.ask, answer)
    run = flowctl_bench.run(flows.asking)
    assert "sleeping" == run.state
    flowctl_bench.advance("29m")
    assert 1 == run.steps["ask"].attempts
    flowctl_bench.advance("1m")
    assert "failed" == run.state
    step = run.steps["ask"]
    assert (2, "no") == (step.attempts, step.error["message"])
    assert step.error["type"].endswith("Refused")
    with pytest.raises(AssertionError, match=r"run 1 asking is failed: .*no"):
        _ = run.output


def RetryLater(delay: str) -> Exception:  # noqa: N802 - a class of the author's side
    from flowctl import RetryAfter

    return RetryAfter(delay)


def test_a_stub_whose_value_cannot_be_stored_fails_its_step(flowctl_bench, imported):
    flows = imported(CHAIN)
    flowctl_bench.stub(flows.one, lambda n: object())
    run = flowctl_bench.run(flows.chain, n=1)
    flowctl_bench.finish()
    assert "failed" == run.state
    assert "the stub of one returned" in run.steps["one"].error["message"]


def test_only_a_step_can_be_stubbed(flowctl_bench, imported):
    flows = imported(CHAIN)
    with pytest.raises(UsageError, match="only steps can be stubbed"):
        flowctl_bench.stub(flows.chain, lambda n: n)


def test_typed_values_reach_the_stub_and_come_back(flowctl_bench, imported):
    flows = imported("""
from datetime import date
from decimal import Decimal

@step
def price(day: date, *, currency: str = "EUR") -> Decimal:
    raise NotImplementedError

@workflow
def year(day: date) -> Decimal:
    return price(day, currency="CHF") * 2
""")
    from datetime import date
    from decimal import Decimal

    seen = []
    flowctl_bench.stub(flows.price, lambda day, currency: seen.append((day, currency)) or Decimal("1.50"))
    run = flowctl_bench.run(flows.year, day=date(2026, 3, 1))
    assert [(date(2026, 3, 1), "CHF")] == seen
    assert "3.00" == run.output


def test_now_is_the_time_of_the_bench(flowctl_bench, imported):
    flows = imported("""
@workflow
def clocks() -> list[str]:
    before = now()
    sleep("40d")
    return [before.isoformat(), now().isoformat()]
""")
    run = flowctl_bench.run(flows.clocks)
    flowctl_bench.finish()
    before, after = map(datetime.fromisoformat, run.output)
    assert timedelta(days=40) <= after - before < timedelta(days=40, minutes=5)
    assert before - datetime.now(UTC) < timedelta(minutes=5)


def test_children_and_environment(flowctl_bench, imported, tmp_path):
    flows = imported("""
import os
from pathlib import Path

@step
def leave() -> str:
    Path("left").write_text("here")
    return os.environ["PLACE"]

@workflow
def inner() -> str:
    return leave()

@workflow
def outer() -> str:
    return inner()
""")
    flowctl_bench.environment["PLACE"] = "attic"
    run = flowctl_bench.run(flows.outer)
    assert "attic" == run.output
    assert ["attic"] == [child.output for child in run.children]
    assert "here" == (tmp_path / "left").read_text()


def test_every_crash_point_of_a_workflow_is_survived(flowctl_bench, imported):
    flows = imported(CHAIN)
    bodies = []
    flowctl_bench.stub(flows.one, lambda n: bodies.append("one") or n + 1)
    flowctl_bench.stub(flows.two, lambda n: bodies.append("two") or n * 10)
    points = flowctl_bench.crash_points(flows.chain, n=4)
    assert [
        "after sleep was recorded",
        "after one was done and not recorded",
        "after one was recorded",
        "after two was done and not recorded",
        "after two was recorded",
    ] == list(map(str, points))
    found = []
    for point in points:
        bodies.clear()
        run = flowctl_bench.crash(point)
        assert 50 == run.output
        found.append(list(bodies))
    assert [["one", "two"], ["one", "one", "two"], ["one", "two"], ["one", "two", "two"], ["one", "two"]] == found
    assert [] == flowctl_bench.store.check(full=True)


def test_a_step_that_must_not_repeat_blocks_after_a_crash_before_its_record(flowctl_bench, imported):
    flows = imported("""
@step(on_crash="block")
def pay() -> str:
    return "paid"

@workflow
def paying() -> str:
    return pay()
""")
    done, recorded = flowctl_bench.crash_points(flows.paying)
    blocked = flowctl_bench.crash(done)
    assert "blocked" == blocked.state
    assert "pay" in blocked.reason
    assert "paid" == flowctl_bench.crash(recorded).output


def test_a_point_that_a_run_does_not_reach_is_an_error(flowctl_bench, imported):
    flows = imported(CHAIN)
    (first, *_) = flowctl_bench.crash_points(flows.chain, n=4)
    with pytest.raises(AssertionError, match="never came to the point after absent was recorded"):
        flowctl_bench.crash(first._replace(step="absent"))


def test_crash_points_need_a_workflow_that_succeeds(flowctl_bench, imported):
    flows = imported("""
@workflow
def broken() -> None:
    raise ValueError("never works")
""")
    with pytest.raises(AssertionError, match=r"without any crash, run 1 broken is failed: .*never works"):
        flowctl_bench.crash_points(flows.broken)


def test_a_recorded_history_is_replayed_without_running_a_body(flowctl_bench, imported, tmp_path):
    flows = imported(CHAIN)
    run = flowctl_bench.run(flows.chain, n=4)
    flowctl_bench.finish()
    history = tmp_path / "monday.json"
    history.write_text(run.history)
    flowctl_bench.stub(flows.one, lambda n: pytest.fail("a body ran"))
    flowctl_bench.replay(flows.chain, history)
    edited = imported(CHAIN.replace("two(one(n))", "two(one(n + 1))"))
    with pytest.raises(AssertionError, match=r'monday.json chain: .*"one"'):
        flowctl_bench.replay(edited.chain, history)


def test_a_signal_lets_a_run_go_on(flowctl_bench, imported):
    flows = imported("""
@workflow
def approval() -> dict:
    return wait_signal("decision", timeout="2d")
""")
    run = flowctl_bench.run(flows.approval)
    assert "waiting" == run.state
    flowctl_bench.signal(run, "decision", {"approved": True})
    assert {"approved": True} == run.output


def test_a_failed_run_is_retried_with_another_answer(flowctl_bench, imported):
    flows = imported("""
@step
def ask() -> str:
    return "real"

@workflow
def asking() -> str:
    return ask()
""")
    answers = iter([OSError("down"), "up"])

    def answer() -> str:
        value = next(answers)
        if isinstance(value, OSError):
            raise value
        return value

    flowctl_bench.stub(flows.ask, answer)
    run = flowctl_bench.run(flows.asking)
    assert "failed" == run.state
    flowctl_bench.retry(run)
    assert "up" == run.output


def test_no_process_and_no_folder_outlives_the_bench(tmp_path, imported, monkeypatch):
    sockets = tmp_path / "sockets"
    sockets.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(sockets))
    flows = imported("""
import os

@workflow
def who() -> int:
    return os.getpid()
""")
    with Bench(tmp_path) as bench:
        process = Path(f"/proc/{bench.run(flows.who).output}")
        assert process.exists()
        assert [] != list(sockets.iterdir())
    assert not process.exists()
    assert [] == list(sockets.iterdir())


def test_the_example_is_what_the_guide_shows_and_passes():
    folder = ROOT / "examples" / "tested_digest"
    page = (ROOT / "docs" / "guide" / "testing.md").read_text()
    for name in ("digest.py", "test_digest.py"):
        shown = page.split(f'```python title="{name}"\n')[1].split("```")[0]
        code = (folder / name).read_text().split('"""', 2)[2].strip()
        assert code == shown.strip()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *PLAIN, "--rootdir", str(folder), "test_digest.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "3 passed" in done.stdout
