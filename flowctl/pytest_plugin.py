"""Fixtures for the tests of workflow authors; pytest finds them through flowctl's entry point."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from flowctl.testing import Bench


@pytest.fixture
def flowctl_bench(tmp_path: Path) -> Iterator[Bench]:
    """A bench in the test's temporary folder: workflows run on the real engine, and time passes when the test says."""
    from flowctl.testing import Bench  # loaded here, so that tests without it are not slower

    with Bench(tmp_path) as bench:
        yield bench
