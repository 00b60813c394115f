"""`python -m tests.simulation`: live through many seeds, or through one with a trace of everything that happens."""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import process_time

from tests.simulation.ledger import Broken
from tests.simulation.world import Report, laboratory, simulate


def main() -> int:
    """Return 0 when flowctl has kept its promises under every seed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="only this seed")
    parser.add_argument("--trace", action="store_true", help="print every event")
    parser.add_argument("--seeds", type=int, default=1000, help="how many (default: 1000)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default: 0)")
    given = parser.parse_args()
    seeds = range(given.first, given.first + given.seeds) if given.seed is None else [given.seed]
    began = process_time()
    failed: list[int] = []
    reports = list(_reports(seeds, given.trace, failed))
    _summarise(reports, process_time() - began)
    for seed in failed:
        print(f"failed: python -m tests.simulation --seed {seed}")
    return 1 if failed else 0


def _reports(seeds: range | list[int], trace: bool, failed: list[int]) -> Iterator[Report]:
    with tempfile.TemporaryDirectory() as folder, laboratory(Path(folder)) as template:
        for seed in seeds:
            try:
                yield simulate(seed, Path(folder), template, print if trace else None)
            except Broken as broken:
                print(f"seed {seed}: {broken}", flush=True)
                failed.append(seed)
            except Exception:  # noqa: BLE001 - the engine itself broke: as much a failure as a promise that was
                print(f"seed {seed}:\n{traceback.format_exc()}", flush=True)
                failed.append(seed)


def _summarise(reports: list[Report], seconds: float) -> None:
    faults: Counter[str] = Counter()
    for report in reports:
        faults.update(report.faults)
    events = sum(report.events for report in reports)
    print(
        f"{len(reports)} seeds in {seconds:.1f} s of processor time ({len(reports) / seconds:.2f} a second): "
        f"{events} events ({events / seconds:.0f} a second), {sum(report.turns for report in reports)} turns, "
        f"{sum(report.bodies for report in reports)} bodies, {sum(report.runs for report in reports)} submitted runs, "
        f"{sum(report.virtual_s for report in reports) / 86_400:.0f} virtual days"
    )
    print("faults:", ", ".join(f"{count} {kind}" for kind, count in faults.most_common()) or "none")
    if len(reports) == 1:
        print("digest:", reports[0].digest)


if __name__ == "__main__":
    sys.exit(main())
