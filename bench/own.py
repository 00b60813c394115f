"""Measures flowctl in one case: `python -m bench.own CASE CONTENDER SIZE FOLDER`, in a process of its own."""

from __future__ import annotations

import sys

from bench import cases
from bench.measuring import report

if __name__ == "__main__":
    report(cases.module(sys.argv[1]).measure, sys.argv[2:])
