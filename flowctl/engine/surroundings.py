"""What surrounds the database: its file system, the folders above it, how long this machine has been up."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

_NETWORK = (
    "nfs",
    "cifs",
    "smb",
    "9p",
    "afs",
    "ceph",
    "gluster",
    "lustre",
    "beegfs",
    "fuse.sshfs",
    "fuse.rclone",
    "davfs",
)
_LOCAL_FUSE = ("fuse.portal", "fuse.gocryptfs", "fuse.encfs", "fuse.ntfs-3g")
_SYNCED = (
    "dropbox",
    "onedrive",
    "google drive",
    "googledrive",
    "icloud",
    "mobile documents",
    "nextcloud",
    "owncloud",
    "pcloud",
)
_MARKS = (".stfolder", ".dropbox", ".dropbox.cache", ".sync", ".owncloudsync.log")
_ESCAPES = {"\\040": " ", "\\011": "\t", "\\012": "\n", "\\134": "\\"}


def file_system(path: str, mounts: str = "/proc/self/mounts") -> str:
    """Return the type of the file system that a path is on, '' when it cannot be told."""
    try:
        lines = Path(mounts).read_text(errors="surrogateescape").splitlines()
    except OSError:
        return ""
    best, kind = "", ""
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = fields[1]
        for escape, char in _ESCAPES.items():
            point = point.replace(escape, char)
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):  # the last one mounted there counts
            best, kind = point, fields[2]
    return kind


def is_network(kind: str) -> bool:
    """Tell whether a type of file system is one whose locks other machines share, or not."""
    return kind.startswith(_NETWORK) or (kind.startswith("fuse.") and kind not in _LOCAL_FUSE)


def synced_folder(path: str) -> str | None:
    """Return the folder above a path that some program copies to other machines."""
    for folder in Path(path).parents:
        if folder.name.lower().startswith(_SYNCED) or any((folder / mark).exists() for mark in _MARKS):
            return str(folder)
    return None


def doubts(path: str) -> list[str]:
    """Return why the place of a database is no good one: other machines share it, and its locks do not reach them."""
    found = []
    kind = file_system(path)
    if is_network(kind):
        found.append(f"is on a network file system ({kind}), where locks may not hold and rows may be lost")
    folder = synced_folder(path)
    if folder is not None:
        found.append(f"is in {folder}, which seems to be copied to other machines while it changes")
    return found


def uptime_ms() -> int | None:
    """Return how long this machine has been up, suspended or not."""
    try:
        return int(float(Path("/proc/uptime").read_text().split()[0]) * 1000)
    except (OSError, ValueError, IndexError):
        return None


def writable_by_others(path: str) -> str | None:
    """Return the file, or the folder it is in, that another user may change; None when there is none."""
    for each in (path, os.path.dirname(path)):
        try:
            found = os.stat(each)
        except OSError:
            continue
        sticky = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
        if (found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not sticky) or found.st_uid not in (0, os.geteuid()):
            return each
    return None


def lingers() -> bool | None:
    """Tell whether systemd keeps this user's services running after a logout; None where there is no systemd."""
    program = shutil.which("loginctl")
    if program is None or not os.path.isdir("/run/systemd/system"):
        return None
    words = [program, "show-user", str(os.getuid()), "--property=Linger", "--value"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return {"yes": True, "no": False}.get(done.stdout.strip())
