"""Chooses the interpreter that runs a workflow file, and prepares what it starts with."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from flowctl.core.errors import UsageError
from flowctl.engine.env_file import read_env_file
from flowctl.engine.private_sdk import sdk_folder

__all__ = [
    "Interpreter",
    "choose_interpreter",
    "executor_environment",
    "own_program",
    "own_python",
    "sdk_folder",
    "seen_by_person",
]

OLDEST = (3, 9)  # what flowctl.sdk runs in

_METADATA = re.compile(r"(?m)^# /// script[ \t]*$\n((?:^#(?:| .*)$\n)*?)^# ///[ \t]*$")  # PEP 723, of type `script`
_PERSON = {"HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "TZ", "TMPDIR", "TERM"}
_DESKTOP = {"SSH_AUTH_SOCK", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "DBUS_SESSION_BUS_ADDRESS"}
_PROXIES = {"http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"}
_ALLOWED = _PERSON | _DESKTOP | _PROXIES | {name.upper() for name in _PROXIES}
_ALLOWED_PREFIXES = ("LC_", "XDG_", "SSL_CERT_", "COVERAGE_PROCESS_")


class Interpreter(NamedTuple):
    """An interpreter and why it was chosen."""

    python: str  # '' for flowctl's own, which `own_python` starts
    source: str  # for people: "--python 3.12", ".venv beside digest.py"
    note: str | None = None  # what else a person should know
    virtual_env: str | None = None  # folder of the virtual environment it belongs to


def choose_interpreter(path: str, explicit: str | None, environ: Mapping[str, str]) -> Interpreter:
    """Return the interpreter for a workflow file ('' for a shell command, which needs none of the user's).

    In this order: `--python`, the script's inline metadata (PEP 723, with uv), `$VIRTUAL_ENV`, the nearest `.venv`
    above the file, flowctl's own. Raises UsageError when the one that is due is missing or too old.
    """
    if explicit:
        return _explicit(explicit, environ)
    if not path:
        return _own(None)
    note = None
    if dependencies := _inline_dependencies(path):
        from shutil import which

        uv = which("uv", path=environ.get("PATH"))
        if uv:
            return _with_uv(uv, path, environ)
        names = ", ".join(dependencies)
        note = f"{os.path.basename(path)} declares dependencies ({names}), but uv, which installs them, was not found"
    return _of_environment(path, note, environ) or _own(note)


def own_python() -> list[str]:
    """Return the words that start flowctl's own interpreter. Nothing else but `own_program` reads sys.executable.

    A frozen program has no interpreter beside it: there the program itself is one, for `-c CODE ARGUMENT…`.
    """
    return [sys.executable, "_python"] if _is_frozen() else [sys.executable]


def own_program() -> list[str]:
    """Return the words that start flowctl itself."""
    return [sys.executable] if _is_frozen() else [sys.executable, "-m", "flowctl"]


def seen_by_person(environ: Mapping[str, str], captured: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which a person made a run, as far as it was captured; the host's where it was not.

    The host's own virtual environment is none of the person's.
    """
    return {name: value for name, value in environ.items() if name != "VIRTUAL_ENV" or not captured} | {**captured}


def executor_environment(
    environ: Mapping[str, str],
    env_file: str | None,
    virtual_env: str | None = None,
    captured: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the environment of an executor: allowed variables of the host, captured ones, those of the .env file.

    Of equal names the later counts. A virtual environment adds what activating it would set. PYTHONPATH,
    LD_LIBRARY_PATH and everything else that is meant for flowctl's own process stay behind.
    """
    found = {name: value for name, value in environ.items() if _is_allowed(name)} | {**(captured or {})}
    found.pop("VIRTUAL_ENV", None)  # that of the interpreter counts, which may be another one
    if virtual_env is not None:
        folder = os.path.join(virtual_env, "bin")
        found["VIRTUAL_ENV"] = virtual_env
        if folder not in found.get("PATH", "").split(os.pathsep):
            found["PATH"] = os.pathsep.join([folder, found["PATH"]]) if found.get("PATH") else folder
    if env_file is not None:
        found |= read_env_file(env_file)
    return found


def _is_allowed(name: str) -> bool:
    return name in _ALLOWED or name.startswith(_ALLOWED_PREFIXES)


def _is_frozen() -> bool:
    return bool(getattr(sys, "frozen", False))


def _own(note: str | None) -> Interpreter:
    return Interpreter("", "flowctl's own Python", note)


def _explicit(given: str, environ: Mapping[str, str]) -> Interpreter:
    from shutil import which

    python = given if os.sep in given else which(given, path=environ.get("PATH")) or given
    python = os.path.abspath(os.path.expanduser(python))
    if os.path.isdir(python):  # a virtual environment
        python = os.path.join(python, "bin", "python")
    return _checked(python, f"--python {given}", None)


def _of_environment(path: str, note: str | None, environ: Mapping[str, str]) -> Interpreter | None:
    active = environ.get("VIRTUAL_ENV")
    if active:
        return _checked(os.path.join(active, "bin", "python"), "$VIRTUAL_ENV", note)
    beside = _nearest_environment(Path(os.path.abspath(path)).parent)
    if beside:
        return _checked(os.path.join(beside, "bin", "python"), _where(beside, path), note)
    return None


def _where(environment: str, path: str) -> str:
    parent = os.path.dirname(environment)
    beside = parent == os.path.dirname(os.path.abspath(path))
    return f".venv beside {os.path.basename(path)}" if beside else f".venv in {parent}"


def _nearest_environment(folder: Path) -> str | None:
    """Return the nearest .venv that this user or root made: one put above a shared folder could be anybody's."""
    for parent in (folder, *folder.parents):
        candidate = parent / ".venv"
        try:
            owner = candidate.stat().st_uid
        except OSError:
            continue
        if owner in (0, os.geteuid()) and (candidate / "pyvenv.cfg").is_file():
            return str(candidate)
    return None


def _inline_dependencies(path: str) -> list[str]:
    """Return the dependencies in a file's inline metadata; none if it cannot be read, which loading reports."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    blocks = _METADATA.findall(text.replace("\r\n", "\n"))
    if not blocks:
        return []
    import tomllib

    lines = [line[2:] if line.startswith("# ") else line[1:] for line in blocks[0].splitlines()]
    try:
        dependencies = tomllib.loads("\n".join(lines)).get("dependencies", [])
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"the inline metadata of {path} is not valid TOML: {error}") from None
    if len(blocks) > 1 or not isinstance(dependencies, list) or not all(isinstance(each, str) for each in dependencies):
        raise UsageError(f"the inline metadata of {path} must be one block, and its dependencies a list of strings")
    return dependencies


def _with_uv(uv: str, path: str, environ: Mapping[str, str]) -> Interpreter:
    _ask_uv([uv, "sync", "--quiet", "--script", path], environ)
    python = _ask_uv([uv, "python", "find", "--script", path], environ).strip()
    return _checked(python, f"inline metadata of {os.path.basename(path)}", None)


def _ask_uv(words: list[str], environ: Mapping[str, str]) -> str:
    done = subprocess.run(
        words,
        env=_for_other_programs(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise UsageError(f"uv cannot make the environment that {words[-1]} declares: {said}", shlex.join(words))
    return done.stdout


def _for_other_programs(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the host's environment without what a frozen program's loader added for itself."""
    found = {name: value for name, value in environ.items() if name != "VIRTUAL_ENV"}
    if _is_frozen():
        found.pop("LD_LIBRARY_PATH", None)
        if "LD_LIBRARY_PATH_ORIG" in found:
            found["LD_LIBRARY_PATH"] = found.pop("LD_LIBRARY_PATH_ORIG")
    return found


def _checked(python: str, source: str, note: str | None) -> Interpreter:
    if not os.path.isfile(python):
        raise UsageError(f"there is no interpreter {python} ({source})", "flowctl run --python PATH …")
    if not os.access(python, os.X_OK):
        raise UsageError(f"{python} cannot be executed ({source})", "flowctl run --python PATH …")
    environment = os.path.dirname(os.path.dirname(python))
    settings = os.path.join(environment, "pyvenv.cfg")
    version = _recorded_version(settings) or _asked_version(python, source)
    if version < OLDEST:
        found, oldest = ".".join(map(str, version)), ".".join(map(str, OLDEST))
        raise UsageError(f"{python} is Python {found}, and workflows need {oldest} or newer ({source})")
    return Interpreter(python, source, note, environment if os.path.isfile(settings) else None)


def _recorded_version(settings: str) -> tuple[int, ...] | None:
    """Return the version in a pyvenv.cfg, which spares the start of an interpreter."""
    try:
        text = Path(settings).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    match = re.search(r"(?m)^version(?:_info)?\s*=\s*(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else None


def _asked_version(python: str, source: str) -> tuple[int, ...]:
    words = [python, "-E", "-s", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=20, check=False
        )
        major, minor = done.stdout.strip().split(".")
        return int(major), int(minor)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        raise UsageError(f"{python} is not a Python interpreter ({source})", "flowctl run --python PATH …") from None
