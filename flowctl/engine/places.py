"""Where the code of a run is to run: its file, folder, interpreter and variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from flowctl.engine.environment import captured_environment
from flowctl.engine.supervisor import CodeTarget

if TYPE_CHECKING:
    from flowctl.core.model import Run
    from flowctl.store import Store

_SHELL = ("VIRTUAL_ENV", "LANG")
_SHELL_PREFIX = "LC_"


def target_of(store: Store, run: Run) -> CodeTarget:
    """Return what the code of a run is to run in."""
    variables = store.environments.get(run.environment) if run.environment is not None else {}
    return CodeTarget(run.path, run.directory, run.python, run.env_file, tuple(sorted(variables.items())))


def shell_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what makes a run elsewhere find the same programs, interpreter and language as in this shell."""
    names = [name for name in sorted(environ) if name in _SHELL or name.startswith(_SHELL_PREFIX)]
    return captured_environment(environ, names)


def keep_variables(store: Store, variables: Mapping[str, str]) -> str:
    """Store variables, unless the file has them, and return the hash that names them."""
    digest = store.environments.find(variables)
    if digest is None:
        with store.transaction():
            digest = store.environments.put(variables)
    return digest
