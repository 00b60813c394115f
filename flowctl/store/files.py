"""The files on disk: whose they are, who may read them, and how they come into being.

Nothing here opens an existing database: in a process that has it open, closing any other descriptor of the file would
drop SQLite's POSIX locks, and acknowledged rows would be lost.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from _blake2 import blake2b  # hashlib would load OpenSSL, at 4 ms
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EDQUOT, EFBIG, EIO, ENOSPC

from flowctl.core.errors import Busy, Damaged, DiskTrouble, FlowctlError, NotPermitted, UsageError

SIDE_FILES = ("-wal", "-shm", "-journal")
_LOCK_POLL_SECONDS = 0.02


def canonical(path: str | os.PathLike[str]) -> str:
    """Return the one absolute name of a database: links among its folders are resolved, a link as the file is not."""
    text = os.path.abspath(os.path.expanduser(os.fspath(path)))
    if "\0" in text or not _is_unicode(text):
        raise UsageError(f"the path {text!r} of the database is not valid", "SQLite needs a name in UTF-8.")
    folder, name = os.path.split(text)
    return os.path.join(os.path.realpath(folder), name)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def disk_error(error: OSError, doing: str) -> FlowctlError:
    """Return what a person is told when the operating system refuses."""
    kind = DiskTrouble if error.errno in (ENOSPC, EDQUOT, EIO, EFBIG) else NotPermitted
    return kind(f"cannot {doing}: {error.strerror or error}")


def make_folder(folder: str) -> None:
    """Create a folder and its missing parents, for the owner only."""
    if os.path.isdir(folder):
        return
    make_folder(os.path.dirname(folder))
    try:
        with suppress(FileExistsError):
            os.mkdir(folder, 0o700)
    except OSError as error:
        raise disk_error(error, f"create the folder {folder}") from None


def check_folder(folder: str) -> None:
    """Refuse a folder in which somebody else could replace the database."""
    try:
        found = os.stat(folder)
    except OSError as error:
        raise disk_error(error, f"use the folder {folder}") from None
    if found.st_uid not in (0, os.geteuid()):
        raise NotPermitted(f"the folder {folder} belongs to another user", "Choose a folder of your own with --db.")
    if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
        raise NotPermitted(f"every user may write to the folder {folder}", f"Forbid it with: chmod o-w {folder}")


def check_name(path: str) -> None:
    """Refuse a link in the place of the database: what stands beside the file has the file's own name."""
    if os.path.islink(path):
        raise NotPermitted(f"{path} is a symbolic link", f"Name the file itself: --db {os.path.realpath(path)}")


def check_log_has_database(path: str) -> None:
    """Refuse a log whose database is gone: a new database would be given what the old one had not written yet."""
    if size(path + "-wal") or size(path + "-journal"):
        raise Damaged(
            f"{path} is gone, but the log that belongs to it is still there",
            "Put the database back, or remove the files beside it.",
        )


def check_file(path: str) -> None:
    """Refuse a database that is not a private regular file of ours with one name."""
    check_name(path)
    found = _lstat(path)
    if not stat.S_ISREG(found.st_mode):
        raise Damaged(f"{path} is not a file", "Name another file with --db.")
    if found.st_uid != os.geteuid():
        raise NotPermitted(f"the database {path} belongs to another user", "Run flowctl as the user who owns it.")
    if found.st_nlink > 1:
        raise NotPermitted(
            f"the database {path} has a second name (a hard link), which would give it a second log",
            "Remove one of the names.",
        )
    if found.st_size == 0:
        raise Damaged(f"{path} is empty: it is not a flowctl database", "Remove it, then run: flowctl init")
    for side in SIDE_FILES:
        _check_side_file(path + side)


def _check_side_file(path: str) -> None:
    try:
        found = os.lstat(path)
    except OSError:
        return
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        raise NotPermitted(f"{path} is a link or belongs to another user", "Look at who put it there, then remove it.")


def _lstat(path: str) -> os.stat_result:
    try:
        return os.lstat(path)
    except OSError as error:
        raise disk_error(error, f"open the database {path}") from None


def make_private(path: str) -> None:
    """Take the permissions of group and others away, which a copy may have. SQLite's files beside it inherit."""
    if _lstat(path).st_mode & 0o077:
        try:
            os.chmod(path, 0o600)
        except OSError as error:
            raise disk_error(error, f"make {path} private") from None


def create_private(path: str) -> None:
    """Create an empty file for the owner only, whatever the umask. What stood there under this name is not followed."""
    try:
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        try:
            os.fchmod(fd, 0o600)
        finally:
            os.close(fd)
    except OSError as error:
        raise disk_error(error, f"create {path}") from None


def remove(path: str) -> None:
    """Remove a file that may not be there, and SQLite's files beside it."""
    with suppress(FileNotFoundError):
        os.unlink(path)
    remove_side_files(path)


def remove_side_files(path: str) -> None:
    """Remove SQLite's files beside a database that nobody has open."""
    for side in SIDE_FILES:
        with suppress(FileNotFoundError):
            os.unlink(path + side)


def place(source: str, target: str) -> None:
    """Give a finished file its final name, durably."""
    try:
        os.rename(source, target)
        fd = os.open(os.path.dirname(target), os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise disk_error(error, f"create {target}") from None


@contextmanager
def folder_lock(folder: str, timeout_ms: int) -> Iterator[None]:
    """Hold a folder's lock, so that of many who start at once one creates the database. It leaves no file behind."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise disk_error(error, f"use the folder {folder}") from None
    try:
        for _ in range(int(timeout_ms / 1_000 / _LOCK_POLL_SECONDS) + 1):
            with suppress(BlockingIOError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(_LOCK_POLL_SECONDS)
        else:
            raise Busy(f"another process is creating a database in {folder}", "Try again in a moment.")
        yield
    finally:
        os.close(fd)


def inode(path: str) -> tuple[int, int] | None:
    """Return what identifies the file that has this name now, or None."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def size(path: str) -> int:
    """Return the size of a file, 0 when there is none."""
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def free_space(path: str) -> int:
    """Return how many bytes a file there can grow by."""
    try:
        found = os.statvfs(path)
    except OSError as error:
        raise disk_error(error, f"use {path}") from None
    return found.f_bavail * found.f_frsize


def machine() -> str:
    """Return what stands for this machine in the files that it makes, '' where it has no identity."""
    try:
        with open("/etc/machine-id", "rb") as file:
            found = file.read(64).strip()
    except OSError:
        return ""
    return blake2b(found, key=b"flowctl", digest_size=12).hexdigest() if found else ""  # it is not to be told as it is
