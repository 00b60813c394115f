"""Who is measured, and with which interpreter. A peer has an environment of its own, made by `make bench-peers`."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OWN = "bench.own"


@dataclass(frozen=True, slots=True)
class Contender:
    """A program that is measured by `python -m MODULE`; a peer's interpreter is that of its environment."""

    module: str
    peer: str | None = None

    @property
    def python(self) -> Path:
        """Return the interpreter."""
        return Path(sys.executable) if self.peer is None else environment_of(self.peer) / "bin" / "python"


CONTENDERS = {
    "flowctl": Contender(OWN),
    "sequential": Contender(OWN),  # flowctl without the concurrency that a case is about
    "uncrashed": Contender(OWN),  # flowctl without the crash that a case is about
    "python": Contender(OWN),  # a bare interpreter, or a plain script without flowctl
    "floor": Contender("bench.floor"),  # SQLite alone: the same rows, a transaction for each change
    "floor-merged": Contender("bench.floor"),  # the same in two transactions a run
    "dbos": Contender("bench.peers.run_dbos", "dbos"),  # as shipped: a rollback journal
    "dbos-wal": Contender("bench.peers.run_dbos", "dbos"),
    "dura": Contender("bench.peers.run_dura", "dura"),
    "huey": Contender("bench.peers.run_huey", "huey"),
    "prefect": Contender("bench.peers.run_prefect", "prefect"),
}


def peers_folder() -> Path:
    """Return the folder of the peers' environments; BENCH_PEERS names another."""
    return Path(os.environ.get("BENCH_PEERS") or ROOT / "build" / "peers")


def environment_of(peer: str) -> Path:
    """Return the folder of a peer's environment, whether it is there or not."""
    return peers_folder() / peer


def missing(contender: str) -> str | None:
    """Return why a contender cannot be measured here, or None."""
    found = CONTENDERS[contender]
    if found.peer is None or (found.python.parent.parent / ".complete").exists():
        return None
    return f"{found.peer} is not installed: make bench-peers"
