"""Async bodies: run to their end wherever they are called."""

from __future__ import annotations

from types import CoroutineType
from typing import Any


def finish(result: Any, plain: bool = False) -> Any:
    """Return what a coroutine returns, or the result itself when it is none.

    A plain call inside a running event loop gets the coroutine, to await it. A body waits in a thread of its own.
    """
    if not isinstance(result, CoroutineType):
        return result
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(result)
    return result if plain else _elsewhere(result)


def _elsewhere(coroutine: Any) -> Any:
    import asyncio
    from concurrent.futures import ThreadPoolExecutor
    from contextvars import copy_context

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(copy_context().run, asyncio.run, coroutine).result()
