"""Fixtures of the engine's tests: those of the fault tests, which drive the real command line too."""

from __future__ import annotations

from tests.faults.conftest import bench, ledger, run_of, shown, sound, spawn, store, wait_for, write

__all__ = ["bench", "ledger", "run_of", "shown", "sound", "spawn", "store", "wait_for", "write"]
