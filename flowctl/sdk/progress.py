"""What a body tells while it runs: how far it is, and what it has begun elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, Union

from flowctl.sdk.context import current, step_info

if TYPE_CHECKING:
    from flowctl.sdk.context import StepInfo

TEXT_LIMIT = 200  # characters
ID_LIMIT = 1000  # characters
_MOST = 1 << 53


def progress(done: float, total: Optional[float] = None, text: str = "") -> None:
    """Say in a step how far it is. It shows while the run is watched, and in `flowctl show`.

    The last word is recorded with the step. Outside a run this does nothing.
    """
    fields = {"done": _amount(done, "done"), "total": None if total is None else _amount(total, "total")}
    info = _step("progress()")
    if info is not None and info.meter is not None:
        info.meter.tell({**fields, "text": _line(text)})


def external_id(text: str) -> None:
    """Record in a step what it has begun elsewhere, such as the number of a batch; it is on disk on return.

    When the attempt is cut short, the step's `reconcile` function is given it before the body runs again.
    """
    if not isinstance(text, str) or not text or len(text) > ID_LIMIT:
        raise ValueError(f"external_id() takes text of 1 to {ID_LIMIT} characters, not {_line(repr(text))}")
    info = _step("external_id()")
    if info is not None and info.keep is not None and not info.keep(_clean(text)):
        raise RuntimeError("external_id() works only in a step that is not pure, and while its attempt lasts")


def _step(what: str) -> Optional[StepInfo]:
    """Return the step whose body this is, None outside of runs."""
    info = step_info()
    if info is None and current() is not None:
        raise RuntimeError(f"{what} works only in a step")
    return info


def _amount(value: Any, name: str) -> Union[int, float]:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _MOST:
        raise ValueError(f"progress(): {name} is {_line(repr(value))}, not a number from 0")
    return value


def _line(text: str) -> str:
    return " ".join(_clean(str(text)).split())[:TEXT_LIMIT]


def _clean(text: str) -> str:
    from flowctl.sdk.masking import mask

    return mask(text.encode("utf-8", "backslashreplace").decode())
