"""What cron has: the person's own crontab through crontab(1), and the crontabs of the system as files."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
from pathlib import Path

from flowctl.core.crontab import CrontabEntry, decode, encode, read_crontab
from flowctl.core.errors import Conflict, FlowctlError, NotFound, NotPermitted

SYSTEM_TABLE = Path("/etc/crontab")
SYSTEM_TABLES = Path("/etc/cron.d")
_READ_BY_CRON = re.compile(r"[A-Za-z0-9_-]+")  # file names in SYSTEM_TABLES
_NONE = re.compile(r"no crontab for|No such file")
_PATIENCE_S = 20
_NO_CRON = "name a file instead: flowctl crontab import FILE"


def own_crontab() -> str:
    """Return the person's own crontab, as `crontab -l` prints it. Raises NotFound or NotPermitted."""
    done = _crontab("-l")
    said = _said(done)
    if done.returncode != 0:
        if _NONE.search(said):
            raise NotFound("you have no crontab", _NO_CRON)
        raise NotPermitted(f"crontab -l refused: {said}", _NO_CRON)
    return decode(done.stdout)


def comment_out(text: str, lines: dict[int, str]) -> None:
    """Comment lines of the person's own crontab out, each below the reason given for it; `text` is all that it holds.

    Raises Conflict when it holds something else by now, and NotPermitted when crontab(1) refuses the new one.
    """
    if own_crontab() != text:
        raise Conflict("your crontab has changed meanwhile", "flowctl crontab import, and look again")
    written = []
    for number, line in enumerate(text.split("\n"), start=1):
        written += [f"# {lines[number]}", f"# {line}"] if number in lines else [line]
    done = _crontab("-", text="\n".join(written))
    if done.returncode != 0:
        raise NotPermitted(f"crontab - refused the new crontab: {_said(done)}", "comment the lines out: crontab -e")


def active_entries() -> tuple[list[CrontabEntry], bool]:
    """Return what cron runs as this person now, and whether that is all: True unless something cannot be read."""
    user, certain = user_name(), True
    found: list[CrontabEntry] = []
    try:
        found += _entries(own_crontab(), system=False, user=user)
    except NotFound:
        pass
    except FlowctlError:
        certain = False
    for path in _system_tables():
        try:
            found += _entries(decode(path.read_bytes()), system=True, user=user)
        except FileNotFoundError:
            pass
        except OSError:
            certain = False
    return found, certain


def is_system_table(path: str) -> bool:
    """Tell whether a file is one of the system's, which have a column for the user."""
    full = Path(os.path.realpath(path))
    return full == SYSTEM_TABLE or full.parent == SYSTEM_TABLES


def user_name() -> str:
    """Return the name of the user that this process runs as."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _entries(text: str, *, system: bool, user: str) -> list[CrontabEntry]:
    lines = read_crontab(text, system=system, owner=user)
    return [line.entry for line in lines if line.entry is not None]


def _system_tables() -> list[Path]:
    try:
        names = sorted(os.listdir(SYSTEM_TABLES))
    except OSError:
        names = []
    return [SYSTEM_TABLE, *(SYSTEM_TABLES / name for name in names if _READ_BY_CRON.fullmatch(name))]


def _crontab(argument: str, text: str = "") -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["crontab", argument],
            input=encode(text),
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            timeout=_PATIENCE_S,
            check=False,
        )
    except FileNotFoundError:
        raise NotFound("there is no program crontab on this machine", _NO_CRON) from None
    except OSError as error:
        raise NotPermitted(f"crontab cannot be started: {error.strerror}", _NO_CRON) from None
    except subprocess.TimeoutExpired:
        raise FlowctlError(f"crontab {argument} does not answer", _NO_CRON) from None


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    return " ".join(done.stderr.decode(errors="replace").split()) or f"exit code {done.returncode}"
