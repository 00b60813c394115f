"""Looking whether conditions hold. It runs in a process of its own: a file or a host may take long, or never answer.

python -c BOOT FOLDER      questions as JSON on stdin; for each, what it lacks or null, as JSON on stdout
"""

from __future__ import annotations

import glob
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.instants import short
from flowctl.core.text import safe_line, shorten
from flowctl.engine.interpreter import executor_environment, own_python
from flowctl.sdk.conditions import Condition, parse_condition

CONNECT_S = 1.0
COMMAND_S = 10.0
# The folder of the package comes first on the path, and the current folder never does.
_BOOT = "import sys; sys.path[0] = sys.argv.pop(1); from flowctl.engine.probing import main; main()"


class Question(NamedTuple):
    """A condition of a run: relative paths and commands are those of its folder."""

    condition: str
    directory: str
    since_at: int | None = None  # `changed` means: after that instant
    variables: Mapping[str, str] = {}  # further ones, for commands


class Machine(NamedTuple):
    """Where the machine tells about itself; tests have others."""

    power: str = "/sys/class/power_supply"
    routes: str = "/proc/net/route"
    routes6: str = "/proc/net/ipv6_route"
    terminals: str = "/dev/pts/[0-9]*"


def command_line() -> list[str]:
    """Return the words that start the process that looks."""
    folder = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return [*own_python(), "-c", _BOOT, folder]


def main() -> None:
    """Answer the questions that stdin holds."""
    machine, now = Machine(), SYSTEM_CLOCK.now()
    answers = [lack(Question(*fields), machine, now) for fields in json.load(sys.stdin)]
    json.dump(answers, sys.stdout)


def lack(question: Question, machine: Machine, now: int) -> str | None:
    """Return why a condition does not hold, None when it does."""
    condition = parse_condition(question.condition)
    return _PROBES[condition.kind](condition, question, machine, now)


def _ac_power(condition: Condition, question: Question, machine: Machine, now: int) -> str | None:
    batteries = [each for each in _supplies(machine) if _read(each / "type") == "Battery"]
    mains = [each for each in _supplies(machine) if _read(each / "type") in ("Mains", "USB")]
    if not batteries or any(_read(each / "online") == "1" for each in mains):
        return None
    if not mains and any(_read(each / "status") in ("Charging", "Full", "Not charging") for each in batteries):
        return None
    return "on battery power"


def _battery(condition: Condition, question: Question, machine: Machine, now: int) -> str | None:
    levels = [_read(each / "capacity") for each in _supplies(machine) if _read(each / "type") == "Battery"]
    known = [int(level) for level in levels if level.isdecimal()]
    if not known or max(known) > condition.number:
        return None
    return f"the battery is at {max(known)}%, not over {condition.number}%"


def _supplies(machine: Machine) -> Iterator[Path]:
    """Yield the power supplies of the machine itself: those of a mouse or a headset have the scope Device."""
    with suppress(OSError):
        for folder in sorted(Path(machine.power).iterdir()):
            if _read(folder / "scope") != "Device":
                yield folder


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _online(condition: Condition, question: Question, machine: Machine, now: int) -> str | None:
    if condition.text:
        try:
            socket.create_connection((condition.text, condition.number), CONNECT_S).close()
        except OSError as error:
            return f"{condition.text}:{condition.number} cannot be reached: {error.strerror or error}"
        return None
    lines = [line.split() for line in _read(Path(machine.routes)).splitlines()[1:]]
    lines6 = [line.split() for line in _read(Path(machine.routes6)).splitlines()]
    if any(line[1:2] == ["00000000"] for line in lines):
        return None
    if any(line[:2] == ["0" * 32, "00"] and line[-1] != "lo" for line in lines6):
        return None
    return "no network: there is no default route"


def _file_exists(condition: Condition, question: Question, machine: Machine, now: int) -> str | None:
    path = _full(condition.text, question)
    return None if os.path.exists(path) else f"there is no {path}"


def _changed(condition: Condition, question: Question, machine: Machine, now: int) -> str | None:
    since, pattern = question.since_at, _full(condition.text, question)
    for path in glob.iglob(pattern, recursive=True):
        with suppress(OSError):
            if since is None or os.stat(path).st_mtime_ns // 1_000_000 >= since:
                return None
    return f"nothing has changed in {pattern}" + ("" if since is None else " since the run before")


def _idle(condition: Condition, question: Question, machine: Machine, now: int) -> str | None:
    """Somebody types: the kernel keeps when each terminal was last read from or written to."""
    latest = 0
    for path in glob.iglob(machine.terminals):
        with suppress(OSError):
            latest = max(latest, os.stat(path).st_atime_ns // 1_000_000)
    if now - latest >= condition.number:
        return None
    return f"a terminal was in use {short(now - latest)} ago, not {short(condition.number)}"


def _command(condition: Condition, question: Question, machine: Machine, now: int) -> str | None:
    try:
        done = subprocess.run(
            condition.text,
            shell=True,
            cwd=question.directory,
            env=executor_environment(os.environ, None, None, question.variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=COMMAND_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{_told(condition.text)} took longer than {COMMAND_S:g} s"
    except OSError as error:
        return f"{_told(condition.text)} cannot be run: {error.strerror}"
    return None if done.returncode == 0 else f"{_told(condition.text)} ended with exit code {done.returncode}"


def _told(command: str) -> str:
    return shorten(safe_line(command), 100)


def _full(path: str, question: Question) -> str:
    return os.path.join(question.directory, os.path.expanduser(path))


_PROBES: dict[str, Callable[[Condition, Question, Machine, int], str | None]] = {
    "ac_power": _ac_power,
    "battery": _battery,
    "online": _online,
    "file_exists": _file_exists,
    "changed": _changed,
    "idle": _idle,
    "cmd": _command,
}
