"""Environments: variables captured where a workflow or a schedule was registered, each set stored once."""

from __future__ import annotations

import json
from collections.abc import Mapping

from flowctl.core.digests import sha256
from flowctl.core.errors import Damaged
from flowctl.store.connection import Connection
from flowctl.store.payloads import read_column
from flowctl.store.queries import load

SQL = load("environments")
_KEPT = 64


class Environments:
    """The captured environments of one file. Writes belong inside `store.transaction()`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[str, dict[str, str]] = {}  # those read last: what a hash names never changes

    def put(self, variables: Mapping[str, str]) -> str:
        """Store variables, unless they are there, and return the hash that names them."""
        digest, text = _named(variables)
        self._connection.write(SQL["put"], {"hash": digest, "text": text})
        return digest

    def find(self, variables: Mapping[str, str]) -> str | None:
        """Return the hash of variables that are stored already."""
        digest, _ = _named(variables)
        return None if self._connection.row(SQL["get"], {"hash": digest}) is None else digest

    def get(self, digest: str) -> dict[str, str]:
        """Return the variables of a hash. Raises Damaged when they are not what was stored."""
        if digest in self._known:
            return self._known[digest]
        text: str | None = self._connection.value(SQL["get"], {"hash": digest})
        if text is None or sha256(text.encode()) != digest:
            raise Damaged(f"the environment {digest[:12]} is missing or damaged", "See: flowctl db check")
        if len(self._known) >= _KEPT:
            self._known = {}
        found: dict[str, str] = read_column(text, dict, f"environment {digest[:12]}")
        self._known[digest] = found
        return found


def _named(variables: Mapping[str, str]) -> tuple[str, str]:
    text = json.dumps(variables, sort_keys=True)
    return sha256(text.encode()), text
