"""SHA-256 without OpenSSL, which costs a process 4 ms and as many megabytes: worth it only for what is large."""

from __future__ import annotations

try:
    from _sha2 import sha256 as _small  # type: ignore[import-not-found, unused-ignore]
except ImportError:  # Python 3.11
    from _sha256 import sha256 as _small  # type: ignore[import-not-found, unused-ignore]

LARGE_BYTES = 1 << 18


def sha256(data: bytes) -> str:
    """Return the SHA-256 of some bytes, as hexadecimal text."""
    if len(data) < LARGE_BYTES:
        return str(_small(data).hexdigest())
    import hashlib

    return hashlib.sha256(data).hexdigest()
