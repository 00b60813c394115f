"""Prefect with its default SQLite database on a local server, which is started outside of the timing.

Its flows are called one after the other, in one process and without a queue: served runs take a process each and
make less than one a second. Run in its environment as `python -m bench.peers.run_prefect CASE CONTENDER SIZE FOLDER`.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.measuring import PAYLOAD, Figures, clock, median_time, report, wait_until

PREFECT = Path(sys.executable).parent / "prefect"


def measure(case: str, size: int, folder: Path) -> Figures:
    """Return what this case takes."""
    if case == "cold":
        return {"help": median_time([str(PREFECT), "--help"], folder)}
    with _server(folder):
        return {"rate": size / _flows(case, size)}


def _flows(case: str, size: int) -> float:
    """Return the seconds that so many flows of one task take, or one flow of so many tasks."""
    from prefect import flow, task  # type: ignore[import-not-found]

    @task  # type: ignore[untyped-decorator]
    def noop(x: str) -> str:
        return x

    @flow  # type: ignore[untyped-decorator]
    def many(count: int) -> None:
        for _ in range(count):
            noop(PAYLOAD)

    many(1)  # what only the first one pays
    began = clock()
    if case == "steps":
        many(size)
    else:
        for _ in range(size):
            many(1)
    return clock() - began


@contextmanager
def _server(folder: Path) -> Iterator[None]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {
        "PREFECT_HOME": str(folder),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
        "DO_NOT_TRACK": "1",
    }
    quiet = subprocess.DEVNULL
    server = subprocess.Popen([PREFECT, "server", "start", "--port", str(port)], stdout=quiet, stderr=quiet)
    try:
        wait_until(lambda: _healthy(port), timeout_s=120)
        yield
    finally:
        server.terminate()
        server.wait()


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=1):
            return True
    except (urllib.error.URLError, OSError):
        return False


if __name__ == "__main__":
    report(lambda _contender, size, folder: measure(sys.argv[1], size, folder), sys.argv[2:])
