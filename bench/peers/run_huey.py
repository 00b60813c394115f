"""huey on SQLite, a queue without checkpoints: its calls stand in for workflows of one step.

Run in its environment as `python -m bench.peers.run_huey CASE CONTENDER SIZE FOLDER`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from huey import SqliteHuey  # type: ignore[import-not-found]

from bench.measuring import PAYLOAD, Figures, clock, median_time, report, resident_mib, wait_until

CONSUMER = Path(sys.executable).parent / "huey_consumer"

done = 0
huey = SqliteHuey("bench", filename=os.environ.get("BENCH_HUEY_FILE", ":memory:"))


def measure(case: str, size: int, folder: Path) -> Figures:
    """Return what this case takes."""
    if case == "workflows":
        return _workflows(size, folder)
    if case == "idle":
        return _idle(folder)
    return {"help": median_time([str(CONSUMER), "--help"], folder)}


def _workflows(size: int, folder: Path) -> Figures:
    stored = SqliteHuey("bench", filename=str(folder / "huey.db"))

    @stored.task(name="noop")  # type: ignore[untyped-decorator]
    def noop(x: str) -> str:
        global done
        done += 1
        return x

    began = clock()
    for _ in range(size):
        noop(PAYLOAD)
    enqueued = clock()
    stored.create_consumer(workers=1, periodic=False, check_worker_health=False).start()
    wait_until(lambda: done >= size and stored.storage.result_store_size() >= size)
    ended = clock()
    return {
        "rate": size / (ended - began),
        "enqueue": (enqueued - began) / size * 1e6,
        "drain": (ended - enqueued) / size * 1e6,
    }


def _idle(folder: Path) -> Figures:
    environment = os.environ | {"BENCH_HUEY_FILE": str(folder / "huey.db")}
    consumer = subprocess.Popen([CONSUMER, "bench.peers.run_huey.huey", "-q"], env=environment)
    time.sleep(3)
    found = resident_mib(consumer.pid)
    consumer.kill()
    consumer.wait()
    return {"rss": found}


if __name__ == "__main__":
    report(lambda _contender, size, folder: measure(sys.argv[1], size, folder), sys.argv[2:])
