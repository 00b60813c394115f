"""Environments: variables captured where a workflow or a schedule was registered, each set stored once."""

from __future__ import annotations

import json

from flowctl.core.errors import Damaged
from flowctl.store.connection import Connection
from flowctl.store.payloads import read_column, sha256
from flowctl.store.queries import load

SQL = load("environments")


class Environments:
    """The captured environments of one file. Writes belong inside `store.transaction()`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put(self, variables: dict[str, str]) -> str:
        """Store variables, unless they are there, and return the hash that names them."""
        text = json.dumps(variables, ensure_ascii=False, sort_keys=True)
        digest = sha256(text.encode())
        self._connection.write(SQL["put"], {"hash": digest, "text": text})
        return digest

    def get(self, digest: str) -> dict[str, str]:
        """Return the variables of a hash. Raises Damaged when they are not what was stored."""
        text: str | None = self._connection.value(SQL["get"], {"hash": digest})
        if text is None or sha256(text.encode()) != digest:
            raise Damaged(f"the environment {digest[:12]} is missing or damaged", "See: flowctl db check")
        return read_column(text, dict, f"environment {digest[:12]}")
