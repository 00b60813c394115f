"""dura, on SQLite in WAL with synchronous=FULL, its default. Its workers are threads of one process.

Run in its environment as `python -m bench.peers.run_dura CASE CONTENDER SIZE FOLDER`.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from dura.engine import DurableEngine  # type: ignore[import-not-found]
from dura.workers import run_workers  # type: ignore[import-not-found]

from bench.measuring import PAYLOAD, WINDOW, Figures, clock, growth, report, resident_mib, start_beside, wait_until

RECOVERY_WORKERS = 10  # so many runs are in hand when it is killed
held = False


class Worker:
    """A dura engine in this process."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "dura.db"
        self.engine = DurableEngine(self.path)
        self.windows: list[float] = []
        self.memory: list[float] = []
        self.began = 0.0
        self.ended = 0.0

    def start(self, workers: int = 1) -> None:
        """Begin to work on what is there."""
        handlers = {"one": self._one, "many": self._many}
        given: dict[str, Any] = {"handlers": handlers, "worker_count": workers, "handle_signals": False}
        threading.Thread(target=run_workers, args=(self.engine,), kwargs=given, daemon=True).start()

    def wait(self, count: int) -> None:
        """Wait until so many have completed."""
        wait_until(lambda: self.engine.task_counts_by_state().get("completed", 0) >= count)

    def count(self, state: str) -> int:
        """Return how many are in a state."""
        return int(self.engine.task_counts_by_state().get(state, 0))

    def _one(self, engine: Any, run: Any) -> Any:
        while held:
            time.sleep(60)
        return self._checkpoint(engine, run, "s0", run.params["x"])

    def _many(self, engine: Any, run: Any) -> None:
        self.began = window = clock()
        for number in range(1, run.params["count"] + 1):
            self._checkpoint(engine, run, f"s{number}", PAYLOAD)
            if number % WINDOW == 0:
                self.windows.append(clock() - window)
                self.memory.append(resident_mib(os.getpid()))
                window = clock()
        self.ended = clock()

    @staticmethod
    def _checkpoint(engine: Any, run: Any, name: str, value: str) -> Any:
        return engine.checkpoint(task_id=run.task_id, owner_run_id=run.run_id, step_name=name, fn=lambda: value)


def measure(case: str, size: int, folder: Path) -> Figures:
    """Return what this case takes."""
    if case == "recovery":
        return _recovery(size, folder)
    worker = Worker(folder)
    if case == "workflows":
        return _workflows(worker, size)
    if case == "idle":
        worker.start()
        time.sleep(2)
        return {"rss": resident_mib(os.getpid())}
    return _steps(worker, size, case)


def _workflows(worker: Worker, size: int) -> Figures:
    began = clock()
    for _ in range(size):
        worker.engine.spawn_task(name="one", params={"x": PAYLOAD})
    enqueued = clock()
    worker.start()
    worker.wait(size)
    ended = clock()
    return {
        "rate": size / (ended - began),
        "enqueue": (enqueued - began) / size * 1e6,
        "drain": (ended - enqueued) / size * 1e6,
    }


def _steps(worker: Worker, size: int, case: str) -> Figures:
    worker.start()
    worker.engine.spawn_task(name="many", params={"count": size})
    worker.wait(1)
    if case == "growth":
        return {
            "cost": growth(worker.windows),
            "engine": growth(worker.memory),
            "engine_mib": worker.memory[-1],
        }
    return {"rate": size / (worker.ended - worker.began)}


def _recovery(size: int, folder: Path) -> Figures:
    engine = DurableEngine(folder / "dura.db")
    for _ in range(size):
        engine.spawn_task(name="one", params={"x": PAYLOAD})
    victim = start_beside("bench.peers.run_dura", folder, "hold", size)
    victim.kill()
    victim.wait()
    began = clock()
    successor = start_beside("bench.peers.run_dura", folder, "recover", size)
    ended = clock()
    successor.kill()
    return {"all": ended - began}


def _be(what: str, size: int, folder: Path) -> None:
    """Hold as many runs as there are workers, or take over what somebody left."""
    global held
    held = what == "hold"
    worker = Worker(folder)
    worker.start(RECOVERY_WORKERS)
    if held:
        wait_until(lambda: worker.count("running") >= min(size, RECOVERY_WORKERS))
    else:
        worker.wait(size)
    sys.stdout.write("there\n")
    sys.stdout.flush()
    time.sleep(3600)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    if sys.argv[1] in ("hold", "recover"):
        _be(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
    report(lambda _contender, size, folder: measure(sys.argv[1], size, folder), sys.argv[2:])
