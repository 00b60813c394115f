"""What a workflow file's own import costs: the names an author uses come without what only an executor needs."""

from __future__ import annotations

import subprocess
import sys

COSTLY = {
    "asyncio",
    "concurrent.futures",
    "dataclasses",
    "datetime",
    "inspect",
    "json",
    "logging",
    "subprocess",
    "uuid",
}
EXECUTOR_ONLY = {f"flowctl.sdk.{name}" for name in ("codec", "hints", "jsontext", "runtime", "serving", "shell")}


def test_every_public_name_comes_without_what_only_an_executor_needs() -> None:
    code = "import sys; before = set(sys.modules); from flowctl import *; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "flowctl.sdk.operations" in loaded
    assert set() == loaded & (COSTLY | EXECUTOR_ONLY)
