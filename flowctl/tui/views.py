"""Saved views: filters of the list of runs on the number keys."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from flowctl.core.config import default_database
from flowctl.core.errors import UsageError

BUILT_IN = {"1": "", "2": "state:running", "3": "state:failed", "4": "is:dead", "5": "state:blocked"}
NUMBERS = "123456789"


def views_path(environ: Mapping[str, str]) -> Path:
    """Return the path of the file that keeps them, whether there is one or not."""
    return default_database(environ).parent / "views.json"


def load_views(path: Path) -> dict[str, str]:
    """Return the filter of each number. Raises UsageError for a file that cannot be read."""
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return dict(BUILT_IN)
    except (OSError, ValueError) as error:
        raise UsageError(f"the saved views in {path} cannot be read: {error}", "mend the file, or remove it") from None
    if not isinstance(saved, dict) or not all(key in NUMBERS and isinstance(saved[key], str) for key in saved):
        raise UsageError(f"{path} holds no saved views", 'it is {"6": "workflow:digest", …}: mend it, or remove it')
    return BUILT_IN | saved


def save_view(path: Path, number: str, text: str) -> None:
    """Keep a filter on a number, beside those that are saved. Raises UsageError."""
    views = load_views(path) | {number: text}
    saved = {key: views[key] for key in sorted(views) if views[key] != BUILT_IN.get(key)}
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd, name = tempfile.mkstemp(dir=path.parent, prefix=".views-")
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump(saved, file, indent=2, ensure_ascii=False)
        os.replace(name, path)
    except OSError as error:
        raise UsageError(f"the view cannot be saved in {path}: {error.strerror}") from None
