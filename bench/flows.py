"""The workflows that are measured."""

import os
import time

from flowctl import gather, step, workflow

PAYLOAD = "x" * 200


@step
def noop(x: str) -> str:
    """Give back what it was given."""
    return x


@step(pure=True)
def pure(x: str) -> str:
    """Do the same, without side effects."""
    return x


@step
def wait_while(path: str, x: str) -> str:
    """Wait while a file exists."""
    while os.path.exists(path):
        time.sleep(0.01)
    return x


@workflow
def one(x: str) -> str:
    """Do one step."""
    return noop(x)


@step
def clock() -> float:
    """Return the clock that all processes share."""
    return time.perf_counter()


@workflow
def clocked() -> float:
    """Do one step that says when it began."""
    return clock()


@workflow
def steps(count: int) -> int:
    """Do steps one after the other."""
    for _ in range(count):
        noop(PAYLOAD)
    return count


@workflow
def pure_steps(count: int) -> int:
    """Do pure steps one after the other."""
    for _ in range(count):
        pure(PAYLOAD)
    return count


@workflow
def fan_out(count: int, concurrency: int) -> int:
    """Do steps in parallel."""
    return len(gather(*[noop.bind(PAYLOAD) for _ in range(count)], concurrency=concurrency))


@workflow
def held(path: str, x: str) -> str:
    """Do one step that waits while a file exists."""
    return wait_while(path, x)
