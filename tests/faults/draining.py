"""An engine as a process of its own, which works on every run of a file until it is told to end: SIGTERM."""

from __future__ import annotations

import signal
import sys

from flowctl.engine.claiming import Role
from flowctl.engine.engine import Engine
from flowctl.engine.supervisor import Supervisor
from flowctl.store import Store

LONGEST_S = 110


def main(path: str, capacity: int) -> None:
    """Work until SIGTERM."""
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    signal.alarm(LONGEST_S)
    with Store.open(path) as store, Engine(store, Supervisor(), role=Role("daemon", capacity=capacity)) as engine:
        while not told:
            engine.drain()
            engine.listen(min(engine.timeout(), 0.02))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
