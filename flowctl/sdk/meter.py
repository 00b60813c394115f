"""Passing on how far an attempt is, no more often than anybody can use."""

from __future__ import annotations

import math
import time
from threading import Lock
from typing import Any, Callable, Optional

from flowctl.sdk import capture

INTERVAL_S = 0.3  # between two words of one attempt: what comes faster replaces what has not been sent yet


class Meter:
    """Passes on how far one attempt is: a few times a second, and always its last word."""

    def __init__(self, post: Callable[[dict[str, Any]], None]) -> None:
        self._post = post
        self._latest: Optional[dict[str, Any]] = None
        self._posted_at = -math.inf
        self._lock = Lock()

    def tell(self, fields: dict[str, Any]) -> None:
        """Pass this on now, or soon if something was passed on a moment ago."""
        with self._lock:
            self._latest = fields
        capture.wait(self)
        self.flush()

    def flush(self) -> None:
        """Pass on what waits, unless something was passed on a moment ago."""
        if time.monotonic() - self._posted_at >= INTERVAL_S:
            self.close()
        else:
            capture.keep_waiting()

    def close(self) -> None:
        """Pass on what waits."""
        with self._lock:
            latest, self._latest = self._latest, None
        capture.wait_no_more(self)
        if latest is not None:
            self._posted_at = time.monotonic()
            self._post(latest)
