"""A line of text to be typed, in which nothing stands that a terminal would obey."""

from __future__ import annotations

from textual.widgets import Input

from flowctl.core.text import safe_line


class SafeInput(Input):
    """What is pasted, or was recorded, becomes visible as everywhere else: ESC as the characters `\\x1b`."""

    def validate_value(self, value: str) -> str:
        """Return the text made safe."""
        return safe_line(value)
