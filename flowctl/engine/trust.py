"""Whose word code is: a file that others can write, or whose folder they can, is never taken up by itself."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterable
from pathlib import Path


def distrusted(paths: Iterable[str]) -> str | None:
    """Return why the code in these files is not to be taken up by itself, None when nobody else can have put it there.

    A missing file says nothing. Folders count up to the root: who can write one can put another in its place.
    """
    seen: set[str] = set()
    for path in sorted(paths):
        for place in (path, *map(str, Path(os.path.realpath(path)).parents)):
            if place not in seen:
                seen.add(place)
                reason = _reason(place)
                if reason is not None:
                    return reason
    return None


def _reason(place: str) -> str | None:
    try:
        found = os.stat(place)
    except OSError:
        return None
    what = "the folder " if stat.S_ISDIR(found.st_mode) else ""
    if found.st_uid not in (0, os.geteuid()):
        return f"{what}{place} belongs to another user"
    if stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX:
        return None  # there everybody can make files, and none can replace another's
    if found.st_mode & stat.S_IWOTH:
        return f"every user can write {what}{place}"
    if found.st_mode & stat.S_IWGRP and not _is_private(found.st_gid):
        return f"every member of its group can write {what}{place}"
    return None


def _is_private(group: int) -> bool:
    """Tell whether a group is root's, or one of this user alone, as many systems give each user one."""
    if group == 0:
        return True
    try:
        found, user = grp.getgrgid(group), pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return group == user.pw_gid and found.gr_name == user.pw_name and not set(found.gr_mem) - {user.pw_name}
