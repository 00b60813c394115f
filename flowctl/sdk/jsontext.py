"""JSON text: written in one way, hashed in one way, and read strictly where a person wrote it."""

from __future__ import annotations

import math
from json import JSONDecodeError, JSONDecoder, JSONEncoder
from typing import Any, Optional

from flowctl.sdk.errors import Unstorable, shown

try:  # what hashlib hands out; hashlib itself loads OpenSSL first
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b

_dumps = JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False).encode
_dumps_ascii = JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode
_dumps_sorted = JSONEncoder(
    separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False, sort_keys=True
).encode
_SCALARS = frozenset({str, int, float, bool, type(None)})
loads = JSONDecoder().decode


def text_of(plain: Any) -> str:
    """Return JSON text in UTF-8 whatever the strings hold: lone surrogates become escapes."""
    text = _dumps(plain)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            text = _dumps_ascii(plain)
            if loads(text) != plain:
                raise Unstorable("holds text with surrogate pairs: decode it to proper text first") from None
    return text


def canonical_hash(text: str) -> bytes:
    """Return 16 bytes that are the same for equal JSON, whatever the order of its keys."""
    return hash_of_plain(loads(text))


def hash_of_plain(plain: Any) -> bytes:
    """Return the canonical hash of what a JSON text holds."""
    return blake2b(_dumps_sorted(plain).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def hash_of_one_scalar(plain: dict[str, Any], text: str) -> Optional[bytes]:
    """Return the canonical hash of an object that has one plain value: its text is canonical as it is. Else None."""
    if len(plain) != 1:
        return None
    (value,) = plain.values()
    if type(value) not in _SCALARS or not text.isascii() or (type(value) is str and not value.isascii()):
        return None
    return blake2b(text.encode(), digest_size=16).digest()


def parse_json(text: str) -> Any:
    """Return what a JSON text of a person holds. ValueError: bad JSON, NaN, numbers out of range, duplicate keys."""
    strict = JSONDecoder(object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_float=_finite)
    try:
        return strict.decode(text)
    except JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}" if "\n" in text else f"column {error.colno}"
        raise ValueError(f"{error.msg} at {where}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def in_stable_order(plain: list[Any]) -> list[Any]:
    """Return the forms of a set's elements in an order that does not depend on this process."""
    return sorted(plain, key=lambda item: _dumps_sorted(item).encode("utf-8", "surrogatepass"))


def step_into(key: str) -> str:
    """Return the part of a path that names a key of an object."""
    return f".{key}" if key.isidentifier() else f"[{_dumps_ascii(key)}]"


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {shown(twice)} stands twice in one object")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON: use null")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"{digits} is out of range")
    return value
