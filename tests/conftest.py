"""What every test stands on: a world of its own, and the real command line in it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
FLOWCTL = [sys.executable, "-P", "-m", "flowctl"]  # -P: a json.py in the current folder is not ours

# Whoever runs the tests in the background may ignore these: what the tests start is to heed them.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# What a loaded machine is slow at, and what a rare draw makes large, is no failure of the code under test.
SAME_EXAMPLES = "FLOWCTL_FUZZ" not in os.environ  # in every run, unless something else is asked for each time
settings.register_profile(
    "flowctl", deadline=None, suppress_health_check=list(HealthCheck), derandomize=SAME_EXAMPLES, database=None
)
settings.load_profile("flowctl")


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what it said."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests of a worker: the private copy of the SDK is made once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def world(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep the person's own database, configuration and environment out of the tests."""
    for name in ("VIRTUAL_ENV", "FLOWCTL_DB", "FLOWCTL_NAMESPACE", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    for name in ("STATE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / ".xdg" / name.lower()))
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    mask = os.umask(0o022)  # a usual one, whatever the caller's: flowctl has to be stricter by itself
    yield
    os.umask(mask)


@pytest.fixture
def flowctl(tmp_path: Path) -> Callable[..., Outcome]:
    """Run the real command line in the test's folder; no answer may be a traceback."""

    def run(*words: str | Path, code: int | None = 0, cwd: Path = tmp_path, input: str = "", **env: str) -> Outcome:
        done = subprocess.run(
            [*FLOWCTL, *map(str, words)],
            cwd=cwd,
            env={**os.environ, **env},
            input=input,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        said = f"flowctl {' '.join(map(str, words))}\n{done.stdout}\n{done.stderr}"
        assert "Traceback (most recent call last)" not in done.stderr, said
        assert code is None or code == done.returncode, said
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run
