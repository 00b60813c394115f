"""How far a body is, as its step records it."""

from __future__ import annotations

import json
from typing import NamedTuple


class Progress(NamedTuple):
    """How far a body is, in its own words."""

    done: float
    total: float | None = None
    text: str = ""

    @property
    def text_form(self) -> str:
        """Return the JSON text that `steps.progress` holds."""
        return json.dumps(self._asdict(), ensure_ascii=False)

    @classmethod
    def of_text(cls, text: str) -> Progress:
        """Return what `steps.progress` holds."""
        return cls(**json.loads(text))
