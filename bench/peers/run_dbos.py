"""DBOS on SQLite: "dbos" as it is shipped, with a rollback journal; "dbos-wal" with the file switched to WAL first.

Run in its environment as `python -m bench.peers.run_dbos CASE CONTENDER SIZE FOLDER`.
"""

from __future__ import annotations

import os
import sqlite3  # noqa: TID251 — a peer's file
import sys
import time
from pathlib import Path
from typing import Any

from dbos import DBOS, DBOSClient  # type: ignore[import-not-found]

from bench.measuring import PAYLOAD, Figures, clock, median_time, report, resident_mib, start_beside, wait_until

QUEUE = "q"
VERSION = "v1"  # of the application, so that another process takes its runs over
done = 0
held = False  # whether a step waits for ever


@DBOS.step()  # type: ignore[untyped-decorator]
def noop(x: str) -> str:
    """Give back what it was given."""
    while held:
        time.sleep(60)
    return x


@DBOS.workflow()  # type: ignore[untyped-decorator]
def one(x: str) -> str:
    """Do one step."""
    global done
    result: str = noop(x)
    done += 1
    return result


@DBOS.workflow()  # type: ignore[untyped-decorator]
def many(count: int) -> int:
    """Do steps one after the other."""
    for _ in range(count):
        noop(PAYLOAD)
    return count


def launch(folder: Path, threads: int | None = None) -> None:
    """Start DBOS in this process, with its defaults but for the number of threads."""
    config: dict[str, Any] = {
        "name": "bench",
        "system_database_url": _url(folder),
        "log_level": "ERROR",
        "application_version": VERSION,
        "run_admin_server": False,
    }
    if threads is not None:
        config["max_executor_threads"] = threads
    DBOS(config=config)
    DBOS.launch()
    DBOS.register_queue(QUEUE)


def measure(case: str, contender: str, size: int, folder: Path) -> Figures:
    """Return what this case takes."""
    if contender == "dbos-wal":
        _execute(folder, "PRAGMA journal_mode = WAL")
    match case:
        case "workflows":
            return _workflows(size, folder)
        case "steps":
            return _steps(size, folder)
        case "recovery":
            return _recovery(size, folder)
        case "idle":
            return _idle(folder)
    return {"help": median_time([str(Path(sys.executable).parent / "dbos"), "--help"], folder)}


def _workflows(size: int, folder: Path) -> Figures:
    launch(folder)  # makes the schema, outside of the timing
    DBOS.destroy()
    client = DBOSClient(system_database_url=_url(folder))
    began = clock()
    for _ in range(size):
        client.enqueue({"queue_name": QUEUE, "workflow_name": "one", "app_version": VERSION}, PAYLOAD)
    enqueued = clock()
    launch(folder, threads=1)  # with more of them SQLite's lock is fought for, and it is slower
    wait_until(lambda: done >= size and _succeeded(folder) >= size)
    ended = clock()
    return {
        "rate": size / (ended - began),
        "enqueue": (enqueued - began) / size * 1e6,
        "drain": (ended - enqueued) / size * 1e6,
    }


def _steps(size: int, folder: Path) -> Figures:
    launch(folder)
    before = os.stat(folder / "dbos.sqlite").st_size
    began = clock()
    many(size)
    taken = clock() - began
    DBOS.destroy()
    _execute(folder, "PRAGMA wal_checkpoint(TRUNCATE)")
    return {"rate": size / taken, "bytes": (os.stat(folder / "dbos.sqlite").st_size - before) / size}


def _recovery(size: int, folder: Path) -> Figures:
    victim = start_beside("bench.peers.run_dbos", folder, "hold", size)
    victim.kill()
    victim.wait()
    began = clock()
    successor = start_beside("bench.peers.run_dbos", folder, "recover", size)
    ended = clock()
    successor.kill()
    return {"all": ended - began}


def _idle(folder: Path) -> Figures:
    worker = start_beside("bench.peers.run_dbos", folder, "recover", 0)
    time.sleep(2)
    found = resident_mib(worker.pid)
    worker.kill()
    return {"rss": found}


def _be(what: str, size: int, folder: Path) -> None:
    """Hold so many runs in their step, or take over what somebody left."""
    global held
    held = what == "hold"
    launch(folder)
    if held:
        for _ in range(size):
            DBOS.start_workflow(one, PAYLOAD)
        wait_until(lambda: _count(folder, "PENDING") >= size)
    else:
        wait_until(lambda: _succeeded(folder) >= size)
    sys.stdout.write("there\n")
    sys.stdout.flush()
    time.sleep(3600)


def _succeeded(folder: Path) -> int:
    return _count(folder, "SUCCESS")


def _count(folder: Path, status: str) -> int:
    return int(_execute(folder, "SELECT count(*) FROM workflow_status WHERE status = ?", status)[0][0])


def _execute(folder: Path, sql: str, *parameters: str) -> list[Any]:
    connection = sqlite3.connect(folder / "dbos.sqlite", timeout=30)
    try:
        return connection.execute(sql, parameters).fetchall()
    finally:
        connection.close()


def _url(folder: Path) -> str:
    return f"sqlite:///{folder}/dbos.sqlite"


if __name__ == "__main__":
    if sys.argv[1] in ("hold", "recover"):
        _be(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
    report(lambda contender, size, folder: measure(sys.argv[1], contender, size, folder), sys.argv[2:])
