"""Variables of a person's shell that a daemon has not: captured where a workflow or a schedule is registered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flowctl.core.errors import UsageError

ALWAYS = "PATH"


def captured_environment(environ: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Return PATH and the variables of these names. Raises UsageError for one that is not set."""
    captured = {ALWAYS: environ[ALWAYS]} if ALWAYS in environ else {}
    for name in names:
        if name not in environ:
            raise UsageError(f"--env {name}: there is no such variable here", f"export {name}=…")
        captured[name] = environ[name]
    return captured


def captured_again(environ: Mapping[str, str], before: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that were captured before, each as it is now if it is set."""
    return {name: environ.get(name, value) for name, value in before.items()}
