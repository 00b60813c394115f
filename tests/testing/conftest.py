"""The fixture that authors get, and a workflow file that their tests would import."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from flowctl.pytest_plugin import flowctl_bench

__all__ = ["flowctl_bench", "imported"]


@pytest.fixture
def imported(tmp_path: Path) -> Iterator[Callable[[str], ModuleType]]:
    """Write a workflow file and import it, as the test of an author does."""
    names: list[str] = []

    def to(source: str) -> ModuleType:
        path = tmp_path / "flows.py"
        path.write_text("from flowctl import *\n" + source)
        spec = importlib.util.spec_from_file_location("flows", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["flows"] = module
        names.append("flows")
        spec.loader.exec_module(module)
        return module

    yield to
    for name in names:
        sys.modules.pop(name, None)
