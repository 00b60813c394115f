"""Payloads: JSON text with a checksum, stored in its row, or once by hash when it is large."""

from __future__ import annotations

import json
import zlib
from typing import TypeVar

from flowctl.core.digests import sha256
from flowctl.core.errors import Damaged
from flowctl.store.connection import Connection
from flowctl.store.queries import load

SQL = load("payloads")
SPILL_BYTES = 256 * 1024  # longer texts go to the table `payloads`
PREFIX = '{"$payload":"'
_SUFFIX = '"}'
REFERENCE_BYTES = len(PREFIX) + 64 + len(_SUFFIX)

T = TypeVar("T")


def reference(text: str) -> str | None:
    """Return the hash that a stored text refers to, or None when it is the payload itself."""
    if len(text) == REFERENCE_BYTES and text.startswith(PREFIX):
        return text[len(PREFIX) : -len(_SUFFIX)]
    return None


def read_column(text: str, kind: type[T], what: str) -> T:
    """Return the dict or list that a JSON column of flowctl's own holds. Raises Damaged, which says of what."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, kind):
        raise Damaged(f"{what} is damaged: it is not what flowctl writes", "See: flowctl db check")
    return value


def pack(text: str) -> tuple[str, int]:
    """Return what the row holds for a payload, and its checksum. `Payloads.spill` stores the rest."""
    data = text.encode()
    if len(data) > SPILL_BYTES:
        text = f"{PREFIX}{sha256(data)}{_SUFFIX}"
        data = text.encode()
    return text, zlib.crc32(data)


class Payloads:
    """The large payloads of one file."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def spill(self, stored: str, text: str) -> None:
        """Store the text of a packed payload if its row only refers to it. Call it after the guarded write."""
        if stored is not text:
            self._connection.write(SQL["add"], {"hash": reference(stored), "text": text})

    def unpack(self, stored: str) -> str:
        """Return the payload that a row holds or refers to.

        Raises Damaged when the text is missing or is not the one that was stored.
        """
        digest = reference(stored)
        return stored if digest is None else self.get(digest)

    def unpack_optional(self, stored: str | None) -> str | None:
        """Return the payload that a row holds or refers to, or None for none."""
        return None if stored is None else self.unpack(stored)

    def get(self, digest: str) -> str:
        """Return the text with that hash."""
        data: bytes | None = self._connection.value(SQL["get"], {"hash": digest})
        if data is None or sha256(data) != digest:
            what = "missing" if data is None else "damaged"
            raise Damaged(f"payload {digest[:12]}… is {what} in {self._connection.path}", "See: flowctl db check")
        return data.decode()
