"""What the fuzz tests share: how much they try. FLOWCTL_FUZZ=N tries N times as much, and something else each time."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from flowctl.store import connection

_MORE = int(os.environ.get("FLOWCTL_FUZZ", "0"))


def tries(count: int) -> settings:
    """Return the settings of a test that tries so many examples in CI, the same in every run."""
    return settings(
        max_examples=count * max(1, _MORE),
        derandomize=not _MORE,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture
def fleeting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commits not wait for the disk: what is made up does not have to outlive the machine."""
    monkeypatch.setattr(connection, "_PRAGMAS", connection._PRAGMAS.replace("synchronous = FULL", "synchronous = OFF"))
