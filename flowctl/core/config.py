"""Where things are, and the few settings of `config.toml`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from flowctl.core.errors import UsageError


class Source(NamedTuple):
    """Where a secret comes from: a variable, a file, a command, or a service in the system's keyring."""

    kind: str  # env, file, command or keyring
    what: str
    argv: tuple[str, ...] = ()  # of a command


class ScreenSettings(NamedTuple):
    """The `[tui]` table: how the screen looks and is worked."""

    theme: str = "terminal"  # the terminal's own colours; or a theme of the command palette
    mouse: bool = True
    keys: Mapping[str, str] = {}  # name of an action: keys, with commas between them


class Config(NamedTuple):
    """The settings, with their defaults."""

    payload_limit: int = 10 << 20  # bytes of one input or output
    pass_environment: tuple[str, ...] = ()  # names of variables, or prefixes ending in *, that executors get too
    secrets: Mapping[str, tuple[Source, ...]] = {}  # sources in the order they are asked
    search: bool = True  # whether there is a full-text index; without it `flowctl grep` reads every row
    tui: ScreenSettings = ScreenSettings()


def config_path(environ: Mapping[str, str]) -> Path:
    """Return the path of the configuration file, whether there is one or not."""
    return _folder(environ, "XDG_CONFIG_HOME", ".config") / "flowctl" / "config.toml"


def default_database(environ: Mapping[str, str]) -> Path:
    """Return the path of the database that is used when none is named."""
    return _folder(environ, "XDG_STATE_HOME", ".local/state") / "flowctl" / "flowctl.db"


def load_config(environ: Mapping[str, str]) -> Config:
    """Return the settings of the configuration file; without one, the defaults. Raises UsageError for a bad one."""
    path = config_path(environ)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Config()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    import tomllib

    try:
        settings = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    names = list(Config._fields)
    for name in settings:
        if name not in names:
            import difflib

            near = difflib.get_close_matches(name, names, n=1)
            raise UsageError(f"{path}: there is no setting {name}", f"did you mean {(near or names)[0]}?")
    return Config(
        payload_limit=_positive(path, settings.get("payload_limit", Config().payload_limit)),
        pass_environment=_names(path, settings.get("pass_environment", [])),
        secrets=_secrets(path, settings.get("secrets", {})),
        search=_flag(path, "search", settings.get("search", Config().search)),
        tui=_screen(path, settings.get("tui", {})),
    )


def _positive(path: Path, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UsageError(f"{path}: payload_limit is a number of bytes, and {value!r} is not")
    return value


def _flag(path: Path, name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{path}: {name} is true or false, and {value!r} is neither")
    return value


def _screen(path: Path, table: object) -> ScreenSettings:
    if not isinstance(table, dict):
        raise UsageError(f"{path}: tui is a table", '[tui]\ntheme = "nord"\nmouse = false')
    for name in table:
        if name not in ScreenSettings._fields:
            raise UsageError(f"{path}: there is no setting tui.{name}", f"give {', '.join(ScreenSettings._fields)}")
    theme, keys = table.get("theme", ScreenSettings().theme), table.get("keys", {})
    if not isinstance(theme, str):
        raise UsageError(f"{path}: tui.theme is a name, and {theme!r} is not")
    if not isinstance(keys, dict) or not all(isinstance(key, str) for key in keys.values()):
        raise UsageError(f"{path}: tui.keys is a table of actions and keys", '[tui.keys]\nretry = "R"')
    return ScreenSettings(theme, _flag(path, "tui.mouse", table.get("mouse", True)), keys)


def _names(path: Path, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise UsageError(f"{path}: pass_environment is a list of names, and {value!r} is not")
    return tuple(value)


def _secrets(path: Path, value: object) -> dict[str, tuple[Source, ...]]:
    if not isinstance(value, dict):
        raise UsageError(f"{path}: secrets is a table of names", '[secrets]\nTOKEN = { command = ["pass", "token"] }')
    return {name: _sources(f"{path}: secret {name}", table) for name, table in value.items()}


def _sources(where: str, table: object) -> tuple[Source, ...]:
    if not isinstance(table, dict) or not table:
        raise UsageError(f"{where} has no source", "give one of env, file, command, keyring")
    return tuple(_source(where, kind, value) for kind, value in table.items())


def _source(where: str, kind: str, value: object) -> Source:
    if kind not in ("env", "file", "command", "keyring"):
        raise UsageError(f"{where}: there is no source {kind}", "give one of env, file, command, keyring")
    if kind == "file" and isinstance(value, str) and not value.startswith(("/", "~/")):
        raise UsageError(f"{where}: file is a path from / or ~/ on, and {value!r} is not")
    if kind != "command" and isinstance(value, str) and value:
        return Source(kind, value)
    if kind == "command" and isinstance(value, list) and value and all(isinstance(word, str) for word in value):
        return Source(kind, value[0], tuple(value))
    raise UsageError(f"{where}: {kind} is {'a list of words' if kind == 'command' else 'a text'}, and this is not")


def _folder(environ: Mapping[str, str], variable: str, below_home: str) -> Path:
    named = environ.get(variable, "")
    if os.path.isabs(named):  # the XDG specification: a relative path is ignored
        return Path(named)
    home = environ.get("HOME") or os.path.expanduser("~")
    if not os.path.isabs(home):
        raise UsageError("there is no home folder", "name the database with --db PATH")
    return Path(home) / below_home
