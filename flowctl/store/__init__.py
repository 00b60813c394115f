"""The file: the only package that opens the database."""

from __future__ import annotations

from flowctl.store.store import Store

__all__ = ["Store"]
