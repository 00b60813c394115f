"""`python -m bench`: measures the cases and prints a report. Exit code 1 when a measurement failed."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench import cases, machine, tables
from bench.contenders import ROOT
from bench.running import Plan, run
from bench.summary import summarise

QUICK_ROUNDS = 1
ROUNDS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the arguments ask for."""
    asked = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))  # ends what is being measured, too
    folder = Path(asked.folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    narrator = Console(stderr=True, highlight=False)
    plan = Plan(
        cases=[cases.module(name).CASE for name in asked.case or cases.NAMES],
        folder=folder,
        rounds=asked.rounds or (QUICK_ROUNDS if asked.quick else ROUNDS),
        quick=asked.quick,
        patience_s=asked.patience,
    )
    facts = machine.facts(folder)
    if facts["file_system"] in ("tmpfs", "ramfs", "overlay"):
        narrator.print(f"{folder} is on {facts['file_system']}: figures that wait for a disk mean nothing there")
    results = run(plan, narrator.print)
    summaries = [summarise(case, results[case.name]) for case in plan.cases]
    tables.show(Console(width=None if sys.stdout.isatty() else 120), facts, summaries)
    if asked.json:
        report = {"machine": facts, "rounds": plan.rounds, "quick": plan.quick, "cases": summaries}
        Path(asked.json).write_text(json.dumps(report, indent=2) + "\n")
    failed = any(measured.failures for each in results.values() for measured in each.values())
    return int(failed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure flowctl, its peers and raw SQLite.")
    parser.add_argument("--case", action="append", choices=cases.NAMES, help="only this case; may be repeated")
    parser.add_argument("--rounds", type=int, help=f"default: {ROUNDS}, with --quick {QUICK_ROUNDS}")
    parser.add_argument("--quick", action="store_true", help="small sizes: to see that everything runs")
    parser.add_argument("--json", metavar="FILE", help="also write the report there")
    parser.add_argument("--folder", default=ROOT / "build" / "bench", help="for data, on a real disk (%(default)s)")
    parser.add_argument("--patience", type=float, default=30, help="seconds to wait for a quiet machine (%(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
