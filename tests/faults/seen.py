"""What the tests of crashes, records and claims share: a chain of three steps, and a look at what became of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ONE = """
@step
def one(n: int) -> int:
    note("one")
    return n + 1
"""

CHAIN = f"""{ONE}
@step
def two(n: int) -> int:
    note("two")
    return n + 1

@step
def three(n: int) -> int:
    note("three")
    return n + 1

@workflow
def chain(nap: float = 0) -> int:
    first = one(1)
    if nap:
        sleep(nap)
    return three(two(first))
"""

LEDGER = """
def ledger():
    return (HERE / "ledger").read_text().split()
"""

# A step that waits until the test has made the file `go`.
WAITING = """
@step
def held(n: int) -> int:
    note("held")
    while not (HERE / "go").exists():
        time.sleep(0.01)
    return n

@workflow
def waiting() -> int:
    return held(7)
"""

ONCE = {"one": 1, "two": 1, "three": 1}
CUT = ["interrupted", "succeeded"]
DONE = {"one": ["succeeded"], "two": ["succeeded"], "three": ["succeeded"]}


def attempts_of(said: dict[str, Any]) -> dict[str, list[str]]:
    """Return how the attempts of each step ended, from what `shown` gives."""
    return {key: [each["state"] for each in step["attempts"]] for key, step in said["by_key"].items()}


def stopped(pid: int) -> bool:
    """Tell whether a process is stopped by a signal."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def pending(pid: int, number: int) -> bool:
    """Tell whether a signal was sent to a process and has not been delivered yet."""
    found = re.search(r"ShdPnd:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return found is not None and bool(int(found[1], 16) >> (number - 1) & 1)
