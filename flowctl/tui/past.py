"""What happened last in a character each: the slots of a schedule, the runs of a workflow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from flowctl.cli.render_schedules import SLOT_LOOKS
from flowctl.cli.words import look
from flowctl.core.listing import RunLine
from flowctl.core.model import FINAL_STATES, Slot

LENGTH = 20  # slots or runs that are shown of each
_BLOCKS = "▁▂▃▄▅▆▇█"


def slot_strip(slots: Iterable[Slot]) -> str:
    """Return an icon for each slot, in the order given."""
    return "".join(SLOT_LOOKS[slot.outcome][0] for slot in slots)


def slot_legend() -> str:
    """Return what the icons of slots mean."""
    return " ".join(f"{icon} {outcome}" for outcome, (icon, _, _) in SLOT_LOOKS.items())


def run_strip(runs: Sequence[RunLine]) -> str:
    """Return a block for each run that succeeded, as high as it took long, and the icon of any other's state."""
    durations = [_duration(run) for run in runs if run.state == "succeeded"]
    longest = max(durations, default=0) or 1
    return "".join(
        _BLOCKS[_duration(run) * (len(_BLOCKS) - 1) // longest] if run.state == "succeeded" else look(run.state).icon
        for run in runs
    )


def success_text(runs: Iterable[RunLine]) -> str:
    """Return how many of the runs that have ended succeeded, '' when none has."""
    ended = [run for run in runs if run.state in FINAL_STATES]
    good = sum(run.state == "succeeded" for run in ended)
    return f"{good * 100 // len(ended)}% of {len(ended)}" if ended else ""


def typical_ms(runs: Iterable[RunLine]) -> int | None:
    """Return the median of how long the runs took that succeeded, None when none did."""
    durations = [_duration(run) for run in runs if run.state == "succeeded"]
    return int(median(durations)) if durations else None


def _duration(run: RunLine) -> int:
    if run.started_at is None or run.finished_at is None:
        return 0
    return max(0, run.finished_at - run.started_at)
