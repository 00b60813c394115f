"""How files look from outside, which changes when they do: times, sizes and numbers, and no content."""

from __future__ import annotations

import os
from collections.abc import Iterable

FileLook = tuple[int, int, int] | None
Look = tuple[FileLook, ...]


def look_of(paths: Iterable[str]) -> Look:
    """Return what changes when one of these files is edited, replaced or removed."""
    return tuple(map(look_of_one, sorted(paths)))


def look_of_one(path: str) -> FileLook:
    """Return what changes when a file is edited or replaced: time, size and number; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
