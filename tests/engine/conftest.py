"""Fixtures of the engine's tests: those of the fault tests, which drive the real command line too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.rhythm import Rhythm
from tests.faults.conftest import bench, ledger, run_of, shown, sound, spawn, store, wait_for, write

__all__ = ["bench", "ledger", "run_of", "shown", "sound", "spawn", "store", "wait_for", "write"]


@pytest.fixture
def rhythm(tmp_path: Path) -> Iterator[Rhythm]:
    """A file with schedules and a clock that is moved."""
    made = Rhythm(tmp_path)
    yield made
    made.store.close()
