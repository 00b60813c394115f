"""Compare the store and the commands with the model for longer: python -m tests.model --rules 2000000 --seed 1."""

from __future__ import annotations

import argparse
import sys

from tests.model.exploring import explore


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--rules", type=int, default=2_000_000, help="how many rule calls at least")
    parser.add_argument("--seed", type=int, default=0, help="of the first batch; each further batch has the next one")
    asked = parser.parse_args()
    statistics = explore(asked.rules, asked.seed, lambda told: print(told, file=sys.stderr))
    print("\n".join(statistics.lines()))
    if missing := statistics.never_done():
        raise SystemExit("never seen: " + ", ".join(missing))


if __name__ == "__main__":
    main()
