"""Where secrets come from: the environment, a private file, a command, or the system's keyring.

Nothing that is found here is written down, and no error repeats what a source has said.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from flowctl.core.config import Source, config_path
from flowctl.core.errors import UsageError

if TYPE_CHECKING:
    from queue import SimpleQueue

COMMAND_S = 10  # that a command may take
LIMIT_BYTES = 64 * 1024  # of a value
_FILE_NAME = re.compile(r"\w[\w.-]{0,200}")


class NoSecret(LookupError):
    """A source has no secret, for the reason given as a sentence."""


class Found(NamedTuple):
    """What became of a question: a value, or why there is none."""

    executor: Any
    name: str
    value: str | None
    problem: str | None


def secrets_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder whose files are the secrets of their names."""
    return config_path(environ).parent / "secrets"


def sources_of(
    name: str, configured: Mapping[str, tuple[Source, ...]], environ: Mapping[str, str]
) -> tuple[Source, ...]:
    """Return the sources of a secret in the order in which they are asked: its own, or else environment and file."""
    if name in configured:
        return configured[name]
    sources = [Source("env", name)]
    if _FILE_NAME.fullmatch(name):
        with suppress(UsageError):  # there is no home folder
            sources.append(Source("file", str(secrets_folder(environ) / name)))
    return tuple(sources)


def is_slow(sources: tuple[Source, ...]) -> bool:
    """Tell whether asking may take longer than a file does."""
    return any(source.kind in ("command", "keyring") for source in sources)


def resolve(name: str, sources: tuple[Source, ...], environ: Mapping[str, str]) -> str:
    """Return the value that the first source has which has one. Raises NoSecret that says why none has."""
    problems: list[str] = []
    for source in sources:
        try:
            return _READERS[source.kind](name, source, environ)
        except NoSecret as error:
            problems.append(str(error))
    raise NoSecret(f"there is no secret {name}: {'; '.join(problems)}")


def _from_environment(_name: str, source: Source, environ: Mapping[str, str]) -> str:
    value = environ.get(source.what)
    if value is None:
        raise NoSecret(f"the variable {source.what} is not set")
    return value


def _from_file(_name: str, source: Source, _environ: Mapping[str, str]) -> str:
    """Return what a file has, but for the line feed at its end. It must be private: others could have written it."""
    path = os.path.expanduser(source.what)
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise NoSecret(f"{path} is not a file")
            if facts.st_mode & 0o077 or facts.st_uid not in (os.geteuid(), 0):
                raise NoSecret(f"{path} can be read by others: chmod 600 it")
            data = file.read(LIMIT_BYTES + 1)
    except OSError as error:
        raise NoSecret(f"{path} cannot be read ({error.strerror})") from None
    return _text(data, path)


def _from_command(_name: str, source: Source, environ: Mapping[str, str]) -> str:
    return _output_of(list(source.argv), environ)


def _from_keyring(name: str, source: Source, environ: Mapping[str, str]) -> str:
    """Ask the system's keyring for the password of a service whose user has the name of the secret."""
    from shutil import which

    programs = (
        ["keyring", "get", source.what, name],
        ["secret-tool", "lookup", "service", source.what, "username", name],
        ["security", "find-generic-password", "-s", source.what, "-a", name, "-w"],
    )
    for argv in programs:
        if which(argv[0], path=environ.get("PATH")):
            return _output_of(argv, environ)
    raise NoSecret("there is no program for the keyring: keyring, secret-tool or security")


def _output_of(argv: list[str], environ: Mapping[str, str]) -> str:
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(environ),
            timeout=COMMAND_S,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NoSecret(f"{argv[0]} took longer than {COMMAND_S} s") from None
    except (OSError, ValueError):
        raise NoSecret(f"{argv[0]} cannot be started") from None
    if done.returncode != 0:
        raise NoSecret(f"{argv[0]} ended with exit code {done.returncode}")
    return _text(done.stdout.strip(), argv[0])


def _text(data: bytes, where: str) -> str:
    if len(data) > LIMIT_BYTES:
        raise NoSecret(f"{where} has more than {LIMIT_BYTES >> 10} KB")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise NoSecret(f"{where} has something else than text") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise NoSecret(f"{where} is empty")
    return text


_READERS = {"env": _from_environment, "file": _from_file, "command": _from_command, "keyring": _from_keyring}


class Desk:
    """Asks slow sources while the engine goes on: each question in a thread, which writes nothing but its answer."""

    def __init__(self) -> None:
        from queue import SimpleQueue

        self._found: SimpleQueue[Found] = SimpleQueue()
        self._ear, self._mouth = os.pipe()
        os.set_blocking(self._ear, False)

    def fileno(self) -> int:
        """Return what becomes readable when there is an answer."""
        return self._ear

    def ask(self, executor: object, name: str, sources: tuple[Source, ...], environ: Mapping[str, str]) -> None:
        """Begin to look for a secret."""
        arguments = (executor, name, sources, environ)
        threading.Thread(target=self._look, args=arguments, name="flowctl-secret", daemon=True).start()

    def answers(self) -> list[Found]:
        """Return what was found since the last call."""
        os.read(self._ear, 4096)
        found = []
        while not self._found.empty():
            found.append(self._found.get())
        return found

    def _look(self, executor: object, name: str, sources: tuple[Source, ...], environ: Mapping[str, str]) -> None:
        try:
            found = Found(executor, name, resolve(name, sources, environ), None)
        except NoSecret as error:
            found = Found(executor, name, None, str(error))
        self._found.put(found)
        os.write(self._mouth, b".")
