"""The settings of the screen: whether the themes, names and keys in `[tui]` are such."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from textual.binding import Binding
from textual.keys import KEY_NAME_REPLACEMENTS, Keys, key_to_character
from textual.theme import BUILTIN_THEMES

from flowctl.core.config import ScreenSettings
from flowctl.core.errors import UsageError
from flowctl.core.text import quoted

TERMINAL = "terminal"  # the theme that has the terminal's own colours
_MODIFIERS = frozenset({"alt", "ctrl", "hyper", "meta", "shift", "super"})
_KEYS = frozenset({*(str(key.value) for key in Keys), *KEY_NAME_REPLACEMENTS.values()})


class Bound(NamedTuple):
    """What a key does: the name by which it is bound to another one, its own keys, and the words for it."""

    name: str
    keys: str
    does: str


def check_settings(settings: ScreenSettings, path: Path) -> None:
    """Raise UsageError for a theme, an action or a key that there is not."""
    themes = [TERMINAL, *BUILTIN_THEMES]
    if settings.theme not in themes:
        raise UsageError(f"{path}: there is no theme {quoted(settings.theme)}", _near(settings.theme, themes))
    if not settings.keys:
        return
    names = [bound.name for bound in bindings()]
    for name, keys in settings.keys.items():
        if name not in names:
            raise UsageError(f"{path}: tui.keys: there is no action {quoted(name)}", _near(name, names))
        for key in keys.split(","):
            if not _is_key(key.strip()):
                hint = f'such as {name} = "ctrl+r", "R" or "f5,r"'
                raise UsageError(f"{path}: tui.keys: {name} has no key {quoted(key.strip())}", hint)


def bindings() -> list[Bound]:
    """Return everything that can be bound to another key, by name."""
    from flowctl.tui.app import FlowctlApp

    found: dict[str, Bound] = {}
    for owner in (FlowctlApp, *_classes("screens"), *_classes("widgets")):
        own = [binding for binding in vars(owner).get("BINDINGS", ()) if isinstance(binding, Binding)]
        bound = [Bound(each.id, each.key, each.description) for each in own if each.id is not None]
        bound += [Bound(action.name, action.key, action.title) for action in vars(owner).get("actions", ())]
        for each in bound:
            found.setdefault(each.name, each)
    return sorted(found.values())


def _classes(folder: str) -> Iterator[type]:
    package = importlib.import_module(f"flowctl.tui.{folder}")
    for entry in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{entry.name}")
        for member in vars(module).values():
            if isinstance(member, type) and member.__module__ == module.__name__:
                yield member


def _is_key(key: str) -> bool:
    *modifiers, last = key.split("+") if key != "+" else ["plus"]
    return set(modifiers) <= _MODIFIERS and (len(last) == 1 or last in _KEYS or key_to_character(last) is not None)


def _near(name: str, names: Iterable[str]) -> str:
    known = list(names)
    near = difflib.get_close_matches(name, known, n=3)
    return f"did you mean {' or '.join(near)}?" if near else f"give one of {', '.join(known)}"
