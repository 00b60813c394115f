"""The file: the only package that opens the database."""

from __future__ import annotations

from flowctl.store.snapshots import code_of
from flowctl.store.store import Store

__all__ = ["Store", "code_of"]
