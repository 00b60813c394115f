"""The machine: facts that belong beside any figure, and whether it is quiet."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import apsw

from bench.contenders import CONTENDERS, ROOT, missing
from bench.measuring import clock

QUIET_CORES = 0.15  # what others may use before a measurement begins
DISTURBED_CORES = 0.25  # what others may use while it lasts
_SYNCS = 200
_VERSION = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"


def facts(folder: Path) -> dict[str, Any]:
    """Return what a figure depends on: processor, disk under this folder, versions, commit."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "file_system": file_system(folder),
        "fdatasync_us": round(_fdatasync_us(folder / "fdatasync")),
        "python": platform.python_version(),
        "sqlite": apsw.sqlite_lib_version(),
        "apsw": apsw.apsw_version(),
        "peers": _peers(),
        "commit": _commit(),
        "load": round(os.getloadavg()[0], 2),
    }


def file_system(folder: Path) -> str:
    """Return the kind of file system that a folder is on."""
    found, kind = "", "unknown"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount, type_, *_ = line.split()
        if len(mount) > len(found) and folder.resolve().is_relative_to(mount):
            found, kind = mount, type_
    return kind


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _fdatasync_us(path: Path) -> float:
    """Return the median of what it takes to write 4 KiB and have it on disk."""
    block, taken = os.urandom(4096), []  # noqa: TID251 — any bytes
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        for number in range(_SYNCS):
            began = clock()
            os.pwrite(fd, block, number % 20 * 4096)
            os.fdatasync(fd)
            taken.append((clock() - began) * 1e6)
    finally:
        os.close(fd)
        path.unlink()
    return statistics.median(taken)


def _peers() -> dict[str, str]:
    """Return the installed peers with their versions."""
    found = {}
    for name, contender in CONTENDERS.items():
        peer = contender.peer
        if peer is not None and missing(name) is None:
            words = [str(contender.python), "-c", _VERSION, peer]
            found[peer] = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    return found


def _commit() -> str:
    words = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


# -- quiet ----------------------------------------------------------------------------------------------------------


def wait_for_quiet(patience_s: float) -> None:
    """Wait until others use little of this machine, at most so long."""
    deadline = clock() + patience_s
    while clock() < deadline:
        others = Others()
        time.sleep(1.0)
        if others.cores() <= QUIET_CORES:
            return


class Others:
    """What processes that are not ours use of this machine from now on."""

    def __init__(self) -> None:
        self._began, self._busy, self._ours = clock(), _busy_s(), _ours_s()

    def cores(self) -> float:
        """Return how many cores they have used on average. Our own processes count once they have ended."""
        used = (_busy_s() - self._busy) - (_ours_s() - self._ours)
        return max(0.0, used) / (clock() - self._began)


def _busy_s() -> float:
    """Return the seconds that all cores together have worked, or were taken from this virtual machine."""
    user, nice, system, _idle, _wait, irq, soft, steal = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    )
    return (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")


def _ours_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
