"""How long runs are kept: the defaults, and what they mean at an instant."""

from __future__ import annotations

from typing import NamedTuple

DAY_MS = 86_400_000


class Keep(NamedTuple):
    """How long the finished runs of a workflow are kept."""

    keep_ms: int  # since they ended
    keep_runs: int  # the newest of them; older ones go even before that, unless they failed
    keep_failed_ms: int  # those that failed


class Limits(NamedTuple):
    """What a `Keep` means at one instant: runs that ended before go."""

    before: int
    failed_before: int


class Retained(NamedTuple):
    """One row of `retention`: what a workflow has set, None for each that it leaves at the default."""

    namespace: str
    workflow: str
    keep_ms: int | None = None
    keep_runs: int | None = None
    keep_failed_ms: int | None = None


DEFAULT_KEEP = Keep(90 * DAY_MS, 200, 180 * DAY_MS)


def keep_of(own: Retained | None) -> Keep:
    """Return what is in force for a workflow: its own settings over the defaults.

    Failed runs are kept twice as long as the others, unless they have a setting of their own.
    """
    if own is None:
        return DEFAULT_KEEP
    keep_ms = DEFAULT_KEEP.keep_ms if own.keep_ms is None else own.keep_ms
    keep_runs = DEFAULT_KEEP.keep_runs if own.keep_runs is None else own.keep_runs
    return Keep(keep_ms, keep_runs, 2 * keep_ms if own.keep_failed_ms is None else own.keep_failed_ms)


def limits(keep: Keep, now: int) -> Limits:
    """Return the instants before which runs must have ended to go now."""
    return Limits(now - keep.keep_ms, now - keep.keep_failed_ms)
