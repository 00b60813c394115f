"""How states look, and what a person may do about a run: an icon and a word, a reason, the next command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from flowctl.cli.terminal import can_draw
from flowctl.core.policy import step_in_doubt

if TYPE_CHECKING:
    from flowctl.core.model import Run
    from flowctl.store import Store


class Look(NamedTuple):
    """Icon, the same in ASCII, and colour of a state."""

    icon: str
    ascii: str
    style: str


LOOKS = {
    "queued": Look("○", ".", "cyan"),
    "running": Look("▶", ">", "blue"),
    "sleeping": Look("◷", "z", "cyan"),
    "waiting": Look("◌", "w", "cyan"),
    "paused": Look("‖", "=", "yellow"),
    "blocked": Look("■", "#", "magenta"),
    "succeeded": Look("✓", "+", "green"),
    "failed": Look("✗", "x", "red"),
    "cancelled": Look("⊘", "-", "bright_black"),
    "interrupted": Look("↯", "!", "yellow"),
}
_UNKNOWN = Look("?", "?", "")
_EXITS = {"succeeded": 0, "failed": 1, "cancelled": 6, "blocked": 8, "waiting": 8, "paused": 130}
TIMED_OUT = 7


def look(state: str) -> Look:
    """Return how a state looks."""
    return LOOKS.get(state, _UNKNOWN)


def icon(state: str, *, stderr: bool = False) -> str:
    """Return a state's icon, in ASCII where the stream's encoding has nothing better."""
    found = look(state)
    return found.icon if can_draw(sys.stderr if stderr else sys.stdout) else found.ascii


def labelled(state: str, *, stderr: bool = False) -> str:
    """Return a state as icon and word."""
    return f"{icon(state, stderr=stderr)} {state}"


def exit_code(run: Run) -> int:
    """Return the exit code that tells how a run stands."""
    if run.state == "failed" and error_type(run.error) == "RunTimedOut":
        return TIMED_OUT
    return _EXITS.get(run.state, 0)


def error_type(error: str | None) -> str:
    """Return the type in an error's JSON text, '' when there is none."""
    import json

    try:
        return str(json.loads(error or "{}").get("type", ""))
    except (ValueError, AttributeError):
        return ""


class Reasons:
    """Why runs are in their states. An engine's death is noticed here, before anybody has freed its runs."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[int, int | None] = {}  # engine: its process number when it is gone

    def of(self, run: Run) -> str | None:
        """Return why a run is in its state, None when that says it all."""
        if run.state == "running" and run.engine_id is not None:
            pid = self.gone(run.engine_id)
            if pid is not None:
                return f"its engine (pid {pid}) is gone: flowctl resume {run.id} continues it"
            if run.request is not None:
                return f"asked to {run.request}"
        return run.reason

    def gone(self, engine_id: int) -> int | None:
        """Return the process number of an engine that is dead, None for one that is alive."""
        if engine_id not in self._known:
            self._known[engine_id] = self._look(engine_id)
        return self._known[engine_id]

    def _look(self, engine_id: int) -> int | None:
        from flowctl.engine.claim import engine_alive

        engine = self._store.engines.get(engine_id)
        if engine is None:
            return None
        try:
            return None if engine_alive(self._store.path, engine) else engine.pid
        except OSError:  # a lock file that cannot be read tells nothing
            return None


def advice(run: Run, gone: bool = False, awaited: Sequence[str] = ()) -> str:
    """Return the command that helps a run along, '' when none is needed; `awaited` are signals that it waits for."""
    if run.state == "blocked":
        return _decision(run)
    if run.state == "waiting" and awaited:
        import shlex

        return f"flowctl signal {run.id} {shlex.quote(awaited[0])} JSON"
    if run.state == "failed":
        return f"flowctl retry {run.id}"
    if run.state in ("paused", "queued", "sleeping", "waiting") or gone:
        return f"flowctl resume {run.id}"
    return ""


def _decision(run: Run) -> str:
    """Return how a person decides about a blocked run."""
    key = step_in_doubt(run.reason)
    if key is None:
        return f"flowctl retry {run.id} (also: --same-code, --accept, --from STEP)"
    import shlex

    return f"flowctl resolve {run.id} {shlex.quote(key)} --done JSON (or: --fail TEXT, --retry)"
