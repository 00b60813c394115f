"""F08: many branches of one run, whose engine is killed again and again."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from flowctl.engine.status import memory_of
from flowctl.sdk import processes
from tests.conftest import ROOT
from tests.faults.hosted import hosted

BRANCHES = 2_000
AT_ONCE = 50
DEATHS = (300, 800, 1_300)  # so many bodies have begun by then
MEMORY = 200_000_000

SOURCE = f"""
@step
def tiny(n: int) -> int:
    note(str(n))
    return n

@workflow
def fan() -> int:
    return sum(gather(*[tiny.bind(n) for n in range({BRANCHES})], concurrency={AT_ONCE}))
"""


def test_f08_of_two_thousand_branches_each_is_recorded_once_through_three_kills(
    write: Callable[[str, str], Path], ledger: Callable[[], list[str]], wait_for: Callable[..., object]
) -> None:
    with hosted() as host:
        number = host.submit(write("fan.py", SOURCE))
        for bodies in (*DEATHS, None):
            engine = subprocess.Popen([sys.executable, "-m", "tests.faults.draining", host.store.path, "8"], cwd=ROOT)
            try:
                if bodies is None:
                    wait_for(lambda: host.store.runs.get(number).state == "succeeded", 100)
                else:
                    wait_for(lambda bodies=bodies: len(ledger()) >= bodies, 100)
            finally:
                tokens = [each.token for each in host.store.engines.running()]
                memory = memory_of(engine.pid) or 0
                engine.kill()
                engine.wait()
                for token in tokens:
                    processes.kill_engine(token)
        assert str(sum(range(BRANCHES))) == host.store.runs.get(number).output
        steps = host.store.steps.history(number)
        assert [("succeeded", str(n)) for n in range(BRANCHES)] == [
            (step.state, step.output) for step in sorted(steps, key=lambda step: int(step.output or -1))
        ]
        assert len(ledger()) <= BRANCHES + len(DEATHS) * AT_ONCE
        assert 1 + len(DEATHS) >= max(Counter(ledger()).values())
        assert [] == host.store.check(full=True)
    assert memory < MEMORY
