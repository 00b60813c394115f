"""What the tests of the executor share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sdk.scripted_engine import ScriptedEngine


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[ScriptedEngine]:
    """Start an executor in a folder of its own."""
    with ScriptedEngine(tmp_path) as engine:
        yield engine
