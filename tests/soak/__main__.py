"""A soak: real engines and executors are killed with SIGKILL at random moments, again and again.

    make soak
    python -m tests.soak --kills 1000 --seed 7

Eight runs of five steps at a time are submitted, two processes work on them, and each is killed, or its executors are,
up to 300 ms after it has begun its work or was started, until so many kills are done. Then everything has to come to
its end. Exit code 1 when anything was lost or done too often; the folder is kept then.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from tests.soak.hosts import Host
from tests.soak.judgement import look_back, table
from tests.soak.world import Figures, World

HOSTS = 2  # processes that work on the runs, each on its share


def soak(kills: int, seed: int, folder: Path, tell: Callable[[str], None]) -> Figures:
    """Kill so often, let everything come to its end, and return the figures. `tell` is told of the progress."""
    world, numbers = World(folder, kills), []
    dice = [random.Random(f"{seed}.{number}") for number in range(HOSTS)]
    with ThreadPoolExecutor(HOSTS) as pool:
        try:
            while world.more():
                fresh = world.submit()
                numbers += fresh
                hosts = [Host(world, fresh[number::HOSTS], dice[number]) for number in range(HOSTS)]
                working = [pool.submit(host.work) for host in hosts]
                while wait(working, timeout=0.5).not_done:
                    tell(f"{world.figures.kills.total()} of {kills} kills, {len(numbers)} runs")
                for each in working:
                    each.result()
        finally:
            world.enough()  # after ctrl-C or an error, let what goes on come to its end
    look_back(world, numbers)
    return world.figures


def progress(text: str) -> None:
    """Show a line that replaces the one before, on a terminal."""
    if sys.stderr.isatty():
        print(text, end="\r", file=sys.stderr, flush=True)


def main() -> int:
    """Soak as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Kill flowctl at random moments.")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="flowctl-soak-")).resolve()
    figures = soak(given.kills, given.seed, folder, progress)
    print(table(figures))
    again = f"python -m tests.soak --kills {given.kills} --seed {given.seed}"
    if figures.clean:
        shutil.rmtree(folder)
        print(f"clean; again: {again}")
        return 0
    print(f"NOT clean; what is left is in {folder}; again: {again}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
