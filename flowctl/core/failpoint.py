"""Places where a test makes flowctl die, stop or fail: only in a process that was started with FLOWCTL_TESTING=1.

FLOWCTL_FAILPOINT=NAME[@N]:kill|stop|raise     at the Nth time (default: the first) that NAME is reached
"""

from __future__ import annotations

import os
import signal
from collections import Counter

_PLAN = os.environ.get("FLOWCTL_FAILPOINT", "") if os.environ.get("FLOWCTL_TESTING") == "1" else ""
ARMED = bool(_PLAN)
_reached: Counter[str] = Counter()


class FailpointReached(Exception):
    """What `raise` raises."""


def reach(name: str) -> None:
    """Do what the plan says for this place; without a plan, nothing."""
    if not ARMED:
        return
    _reached[name] += 1
    where, _, action = _PLAN.rpartition(":")
    wanted, _, count = where.partition("@")
    if name != wanted or _reached[name] != int(count or 1):
        return
    if action == "raise":
        raise FailpointReached(name)
    os.kill(os.getpid(), signal.SIGKILL if action == "kill" else signal.SIGSTOP)
