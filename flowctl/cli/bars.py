"""How far a body is, as a bar."""

from __future__ import annotations

from flowctl.core.progress import Progress
from flowctl.core.text import safe_line

WIDTH = 20


def bar(progress: Progress, *, drawn: bool) -> str:
    """Return how far a body is, on one safe line; `drawn` with block characters, else in ASCII."""
    text = f"  {safe_line(progress.text)}" if progress.text else ""
    if not progress.total:
        return f"{_amount(progress.done)}{text}"
    part = min(progress.done / progress.total, 1.0)
    full = int(part * WIDTH)
    signs = "█" * full + "░" * (WIDTH - full) if drawn else f"[{'#' * full}{'.' * (WIDTH - full)}]"
    return f"{signs} {int(part * 100)}% {_amount(progress.done)}/{_amount(progress.total)}{text}"


def of_text(progress: str | None, *, drawn: bool) -> str:
    """Return what `steps.progress` holds as a bar, '' for nothing."""
    if progress is None:
        return ""
    try:
        return bar(Progress.of_text(progress), drawn=drawn)
    except (ValueError, TypeError):  # a damaged row is shown, not hidden behind an error
        return safe_line(progress)


def _amount(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
