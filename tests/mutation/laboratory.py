"""Where a mutant lives: a copy of the checkout, in which the tests most likely to notice it run first."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.conftest import ROOT

_LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info", "bench")
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
_PATIENCE_S = 1800  # a single test ends itself after ten minutes

Stage = tuple[str, ...]  # tests that run together, as pytest names them


class Laboratory:
    """One copy of the checkout."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        shutil.copytree(ROOT, folder, ignore=_LEFT_OUT)

    def judge(self, changes: Mapping[str, str], stages: Sequence[Stage]) -> str:
        """Return the first test that fails with these files changed, '' if none does. The files are put back."""
        for stage in stages:
            killer = self._failing_with(changes, stage)
            if killer and (_is_steady(killer) or self._confirmed(changes, killer)):
                return killer
        return ""

    def failing(self, stage: Stage) -> str:
        """Return the first of these tests that fails, '' if none does."""
        environment = {**os.environ, "PYTHONPATH": str(self._folder), "PYTHONDONTWRITEBYTECODE": "1"}
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", *stage],
            cwd=self._folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            said, _ = process.communicate(timeout=_PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return "(took too long)"
        if process.returncode == 0:
            return ""
        found = _FAILED.search(said)
        return found[1] if found else f"(pytest ended with {process.returncode})"

    def _failing_with(self, changes: Mapping[str, str], stage: Stage) -> str:
        originals = {path: (self._folder / path).read_text() for path in changes}
        try:
            for path, text in changes.items():
                (self._folder / path).write_text(text)
            return self.failing(stage)
        finally:
            for path, text in originals.items():
                (self._folder / path).write_text(text)

    def _confirmed(self, changes: Mapping[str, str], killer: str) -> bool:
        """Tell whether a test fails again with the change, and not without it: a busy machine fails tests too."""
        return not self.failing((killer,)) and bool(self._failing_with(changes, (killer,)))


def _is_steady(killer: str) -> bool:
    """Tell whether a test depends on nothing but the code; or whether none failed, but all of pytest."""
    return killer.startswith(("tests/store", "tests/sdk/test_replay", "("))
