"""Reads of the file: each is short, read-only, and made by one thread that owns the connection."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from flowctl.core.errors import NotFound
from flowctl.store import Store

T = TypeVar("T")
BUSY_TIMEOUT_MS = 500  # then it is said that the data is old


class Reader:
    """Answers questions about the file. Between two of them no transaction is open, so that the WAL can be emptied."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._store: Store | None = None
        self._thread = ThreadPoolExecutor(1, "reader")

    async def ask(self, question: Callable[[Store], T]) -> T:
        """Return the answer to a question, from one consistent snapshot. Raises FlowctlError."""
        return await asyncio.wrap_future(self._thread.submit(self._answer, question))

    async def changed(self) -> bool:
        """Tell whether another process has written since the last call, or the file could not be read then."""
        return await asyncio.wrap_future(self._thread.submit(self._changed))

    def close(self) -> None:
        """Close the file; a question that is under way is given up."""
        store = self._store
        if store is not None:
            store.connection.raw.interrupt()
        self._thread.submit(self._forget)
        self._thread.shutdown()

    def _answer(self, question: Callable[[Store], T]) -> T:
        store = self._opened()
        with store.reading():
            return question(store)

    def _changed(self) -> bool:
        known = self._store is not None
        return self._opened().changed() or not known

    def _opened(self) -> Store:
        if self._store is not None:
            try:
                self._store.check_moved()
            except BaseException:
                self._forget()
                raise
            return self._store
        if not os.path.lexists(self.path):
            raise NotFound(f"there is no run yet: the database {self.path} does not exist", "flowctl init")
        self._store = Store.open(self.path, create=False, read_only=True, busy_timeout=BUSY_TIMEOUT_MS)
        return self._store

    def _forget(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None
