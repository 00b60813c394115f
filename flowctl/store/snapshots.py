"""Snapshots: the source that runs started with, each file stored once."""

from __future__ import annotations

import json

from flowctl.core.digests import sha256
from flowctl.core.errors import Damaged, NotFound
from flowctl.core.model import Snapshot
from flowctl.store.connection import Connection
from flowctl.store.payloads import read_column
from flowctl.store.queries import load

SQL = load("snapshots")


class Snapshots:
    """The snapshots of one file. Writes belong inside `store.transaction()`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put(self, snapshot: Snapshot, now: int) -> None:
        """Store a snapshot, unless it is there."""
        if self._connection.row(SQL["get"], {"code": snapshot.code}) is not None:
            return
        hashes = {path: sha256(text.encode()) for path, text in snapshot.files.items()}
        for path, digest in hashes.items():
            self._connection.write(SQL["add_source"], {"hash": digest, "text": snapshot.files[path]})
        fields = {"code": snapshot.code, "path": snapshot.path, "files": json.dumps(hashes), "now": now}
        self._connection.write(SQL["put"], fields)

    def get(self, code: str) -> Snapshot:
        """Return a snapshot. Raises NotFound, or Damaged when a text is not the one that was stored."""
        row = self._connection.row(SQL["get"], {"code": code})
        if row is None:
            raise NotFound(f"there is no snapshot {code[:12]}")
        files = read_column(row[2], dict, f"snapshot {code[:12]}")
        return Snapshot(row[0], row[1], {path: self._source(digest) for path, digest in files.items()})

    def _source(self, digest: str) -> str:
        data: bytes | None = self._connection.value(SQL["source"], {"hash": digest})
        if data is None or sha256(data) != digest:
            what = "missing" if data is None else "damaged"
            raise Damaged(f"source {digest[:12]} is {what} in {self._connection.path}", "See: flowctl db check")
        return data.decode()
