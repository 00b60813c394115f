"""What the machine's service manager is told and given: systemd on Linux, launchd on macOS.

The protocol of systemd is that of sd_notify(3): datagrams with lines such as READY=1 to the socket it names.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from flowctl.core.clock import Clock
from flowctl.core.errors import FlowctlError, NotFound
from flowctl.engine.journal import journal_path
from flowctl.store.files import disk_error

LABEL = "org.flowctl.daemon"
UNIT = "flowctl.service"
WATCHDOG_S = 60


class Notifier:
    """Tells systemd how the daemon stands; without systemd it does nothing."""

    def __init__(self, environ: Mapping[str, str], clock: Clock) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._clock = clock
        period_us = environ.get("WATCHDOG_USEC", "")
        self._period = int(period_us) / 2_000_000 if period_us.isdecimal() else None
        self._next = 0.0

    def tell(self, *lines: str) -> None:
        """Send lines such as READY=1."""
        if not self._address:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.sendto("\n".join(lines).encode(), address)

    def alive(self) -> None:
        """Say that the loop turns, as often as the watchdog wants to hear it."""
        if self._period is not None and self._clock.monotonic() >= self._next:
            self._next = self._clock.monotonic() + self._period
            self.tell("WATCHDOG=1")

    def reloading(self) -> None:
        """Say that the configuration is being read again; READY=1 ends that."""
        self.tell("RELOADING=1", f"MONOTONIC_USEC={int(self._clock.monotonic() * 1_000_000)}")


class Service(NamedTuple):
    """The file that a service manager wants, and the commands that switch it on and off."""

    path: Path
    text: str
    enable: list[list[str]]
    disable: list[list[str]]
    link: Path | None  # what enabling puts elsewhere


def service(program: Sequence[str], database: str, environ: Mapping[str, str]) -> Service:
    """Return the service of the daemon of a database for this machine's service manager."""
    words = [*program, "--db", database, "daemon", "run"]
    if sys.platform == "darwin":
        return _launchd([*words, f"--log={journal_path(database)}"], environ)  # launchd keeps no log of its own
    return _systemd(words, environ)


def _systemd(words: Sequence[str], environ: Mapping[str, str]) -> Service:
    config = environ.get("XDG_CONFIG_HOME") or os.path.join(_home(environ), ".config")
    text = f"""\
[Unit]
Description=flowctl: schedules and workflows of this machine

[Service]
Type=notify
ExecStart={" ".join(map(_systemd_word, words))}
ExecReload=/bin/kill -HUP $MAINPID
{"".join(_systemd_setting(name, value) for name, value in _variables(environ).items())}\
Restart=on-failure
RestartSec=2
RestartPreventExitStatus=3
WatchdogSec={WATCHDOG_S}
KillMode=mixed
TimeoutStopSec=20
UMask=0077

[Install]
WantedBy=default.target
"""
    user = ["systemctl", "--user"]
    units = Path(config) / "systemd" / "user"
    return Service(
        units / UNIT,
        text,
        [[*user, "daemon-reload"], [*user, "enable", "--now", UNIT]],
        [[*user, "disable", "--now", UNIT]],
        units / "default.target.wants" / UNIT,
    )


def _variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what the daemon must know to read the configuration that the person has."""
    folder = environ.get("XDG_CONFIG_HOME", "")
    return {"XDG_CONFIG_HOME": folder} if os.path.isabs(folder) else {}


def _systemd_setting(name: str, value: str) -> str:
    escaped = f"{name}={value}".replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'Environment="{escaped}"\n'


def _systemd_word(word: str) -> str:
    """Quote a word for a unit file, where % and $ have a meaning of their own."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return escaped if escaped and not set(escaped) & set(" \t'\"\\;") else f'"{escaped}"'


def _launchd(words: Sequence[str], environ: Mapping[str, str]) -> Service:
    import plistlib  # with an XML parser that no daemon needs

    settings = {
        "Label": LABEL,
        "ProgramArguments": list(words),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ProcessType": "Background",
        "Umask": 0o077,
        "EnvironmentVariables": _variables(environ),
    }
    path = Path(_home(environ)) / "Library" / "LaunchAgents" / f"{LABEL}.plist"
    domain = f"gui/{os.getuid()}"
    return Service(
        path,
        plistlib.dumps(settings).decode(),
        [["launchctl", "bootstrap", domain, str(path)]],
        [["launchctl", "bootout", f"{domain}/{LABEL}"]],
        None,
    )


def _home(environ: Mapping[str, str]) -> str:
    return environ.get("HOME") or os.path.expanduser("~")


def install(made: Service) -> None:
    """Write the service's file and switch it on. Raises NotFound or FlowctlError when that cannot be."""
    try:
        made.path.parent.mkdir(parents=True, exist_ok=True)
        draft = made.path.with_name(f"{made.path.name}.new")
        draft.write_text(made.text, encoding="utf-8")
        draft.replace(made.path)
    except OSError as error:
        raise disk_error(error, f"write {made.path}") from None
    for words in made.enable:
        _call(words, f"{made.path} is written, but not switched on", "flowctl daemon start")


def uninstall(made: Service) -> None:
    """Switch the service off and remove its file, whether the service manager lets itself be told or not.

    Raises NotFound when it is not installed, and NotFound or FlowctlError when it may still run.
    """
    if not made.path.exists():
        raise NotFound(f"there is no {made.path}: the daemon is not installed", "flowctl daemon install")
    try:
        for words in made.disable:
            _call(words, f"{made.path} is removed, but its daemon may still run", "flowctl daemon stop")
    finally:
        for path in (made.path, made.link):
            if path is not None:
                path.unlink(missing_ok=True)


def installed(environ: Mapping[str, str]) -> bool:
    """Tell whether systemd starts the daemon, and keeps what it logs."""
    return sys.platform != "darwin" and service([], "", environ).path.exists()


def _call(words: list[str], otherwise: str, hint: str) -> None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=60, check=False)
    except FileNotFoundError:
        raise NotFound(f"there is no {words[0]} on this machine; {otherwise}", hint) from None
    except subprocess.TimeoutExpired:
        raise FlowctlError(f"{words[0]} does not answer; {otherwise}", hint) from None
    if done.returncode != 0:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise FlowctlError(f"{words[0]} refused: {said}; {otherwise}", hint)


def lingers(environ: Mapping[str, str]) -> bool | None:
    """Tell whether this user's services run without a login; None where nobody can tell."""
    user = environ.get("USER") or str(os.getuid())
    words = ["loginctl", "show-user", user, "--property=Linger", "--value"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return {"yes": True, "no": False}.get(done.stdout.strip())
