"""Capturing the logging module: each record goes to the log of the step that made it, with its level.

Imported once user code imports logging, which costs several milliseconds and a megabyte.
"""

from __future__ import annotations

import logging
from typing import Any

from flowctl.sdk import capture


class LogCapture(logging.Handler):
    """Passes records on to the sink of the thread that logs."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass on one record."""
        sink = capture.sink_here()
        if sink is None:
            return
        try:
            text = self.format(record)
        except Exception:  # noqa: BLE001 — as every handler of the standard library: a bad record must not end the step
            self.handleError(record)
            return
        sink.log(record.levelname, text)


_basic_config = logging.basicConfig


def install() -> None:
    """Capture what reaches the root logger, from INFO on unless user code chooses another level."""
    logging.root.setLevel(logging.INFO)
    logging.basicConfig = _configure
    adopt()


def adopt() -> None:
    """Replace root handlers that print to a captured stream, so that their records keep their level."""
    for handler in list(logging.root.handlers):
        if type(handler) is logging.StreamHandler and isinstance(handler.stream, capture.Writer):
            ours = LogCapture(handler.level)
            ours.setFormatter(handler.formatter)
            ours.filters = list(handler.filters)
            logging.root.removeHandler(handler)
            logging.root.addHandler(ours)
    if not any(isinstance(handler, LogCapture) for handler in logging.root.handlers):
        logging.root.addHandler(LogCapture())


def _configure(**options: Any) -> None:
    """Do what logging.basicConfig does: it would do nothing while the root logger has a handler, even if it is ours."""
    for handler in list(logging.root.handlers):
        if isinstance(handler, LogCapture):
            logging.root.removeHandler(handler)
    try:
        _basic_config(**options)
    finally:
        adopt()
