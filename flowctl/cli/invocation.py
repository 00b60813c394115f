"""What one call of flowctl was asked globally: which database, which namespace, how to print."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Concatenate, NamedTuple, ParamSpec

import click

from flowctl.cli.group import GLOBALS
from flowctl.cli.terminal import Terminal
from flowctl.core.errors import NotFound, UsageError

if TYPE_CHECKING:
    from flowctl.store import Store

P = ParamSpec("P")
_NAMESPACE = re.compile(r"\w[\w.-]{0,99}")


class Invocation(NamedTuple):
    """The global options, resolved."""

    db: str
    namespace: str
    json: bool
    quiet: bool
    verbose: bool
    debug: bool
    terminal: Terminal

    @contextmanager
    def reading(self) -> Iterator[Store]:
        """Open the database to read. Raises NotFound when there is none yet."""
        from flowctl.store import Store

        if not self.has_database():
            raise NotFound(f"there is no run yet: the database {self.db} does not exist", "flowctl init")
        with Store.open(self.db, create=False, read_only=True) as store:
            yield store

    @contextmanager
    def writing(self, *, create: bool = False) -> Iterator[Store]:
        """Open the database to write; with `create`, make it where it is missing."""
        from flowctl.store import Store

        if not create and not self.has_database():
            raise NotFound(f"there is no run yet: the database {self.db} does not exist", "flowctl init")
        with Store.open(self.db, create=create, actor=actor()) as store:
            store.connection.knock = functools.partial(_ring, store, knock=True)
            try:
                yield store
            finally:
                if store.writes:
                    _ring(store)

    def answer(self, shape: dict[str, Any], text: str) -> None:
        """Print what a command has to say: the shape with --json, else the text."""
        if self.json:
            from flowctl.cli.json_shapes import dumps

            self.terminal.data_json(dumps(shape))
        else:
            self.terminal.data(text)

    def has_database(self) -> bool:
        """Tell whether the database exists, or its log: opening says what is wrong with a log alone."""
        return os.path.lexists(self.db) or _is_file_with_content(f"{self.db}-wal")


def _is_file_with_content(path: str) -> bool:
    try:
        return os.path.getsize(path) > 0
    except OSError:
        return False


def actor() -> str:
    """Return who does what this process does, for the audit log: the person and the command, without its words."""
    import pwd

    try:
        person = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        person = f"user {os.geteuid()}"
    context = click.get_current_context(silent=True)
    return f"{person}: {context.command_path if context is not None else 'flowctl'}"


def _ring(store: Store, *, knock: bool = False) -> None:
    from flowctl.engine.doorbell import KNOCK, RING, ring

    ring(store.path, KNOCK if knock else RING)


def resolve(given: Mapping[str, Any], environ: Mapping[str, str]) -> Invocation:
    """Return what the given global options and the environment mean together. Raises UsageError."""
    quiet, verbose = bool(given.get("quiet")), bool(given.get("verbose"))
    if quiet and verbose:
        raise UsageError("--quiet and --verbose exclude each other")
    namespace = given.get("namespace") or environ.get("FLOWCTL_NAMESPACE") or "default"
    if not _NAMESPACE.fullmatch(namespace):
        raise UsageError(
            f"{namespace!r} is not a namespace", "use letters, digits, '.', '_' and '-', at most 100 of them"
        )
    if given.get("db") == "":
        raise UsageError("--db is empty", "name a file: --db PATH")
    database = given.get("db") or environ.get("FLOWCTL_DB") or _default_database(environ)
    as_json = bool(given.get("json"))
    terminal = Terminal(color=given.get("color") or "auto", quiet=quiet, plain=as_json)
    return Invocation(
        os.path.abspath(os.path.expanduser(database)),
        namespace,
        as_json,
        quiet,
        verbose,
        bool(given.get("debug")),
        terminal,
    )


def _default_database(environ: Mapping[str, str]) -> str:
    from flowctl.core.config import default_database

    return str(default_database(environ))


def pass_invocation(function: Callable[Concatenate[Invocation, P], int]) -> Callable[P, int]:
    """Give a command the global options of its call as first argument."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> int:
        given = click.get_current_context().meta.get(GLOBALS, {})
        return function(resolve(given, os.environ), *args, **kwargs)

    return call
