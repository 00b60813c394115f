"""Digests are those of every other program, whichever code makes them."""

from __future__ import annotations

import hashlib

import pytest

from flowctl.core.digests import LARGE_BYTES, sha256


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, LARGE_BYTES - 1, LARGE_BYTES, LARGE_BYTES + 1])
def test_a_small_and_a_large_text_have_the_usual_digest(size: int) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    assert hashlib.sha256(data).hexdigest() == sha256(data)
